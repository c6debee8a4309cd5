/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * See features.h. A number whose digits fit 53 bits and whose power of ten is
 * exact in binary needs one correctly rounded operation; most others go to decimal.h,
 * those of very many digits or far from 1 to strtod.
 * Source: Clinger 1990, "How to read floating point numbers accurately", PLDI.
 */
#include "supervisor/features.h"

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/jsonx.h"
#include "supervisor/decimal.h"

#define MAX_EXPONENT 9999

#define MAX_EXACT_MANTISSA (UINT64_C(1) << 53)
#define MAX_EXACT_POWER    22 /* 10^22 = 2^22 * 5^22, and 5^22 < 2^53 */

static const double powers[MAX_EXACT_POWER + 1] = {
    1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
    1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
};

struct cursor {
    const char *at;
    const char *end;
};

/* Most bytes are above all blanks: one comparison for these. */
static bool is_blank(char c)
{
    return c <= ' ' && (c == ' ' || c == '\n' || c == '\r' || c == '\t');
}

static void skip_blanks(struct cursor *c)
{
    while (c->at < c->end && is_blank(*c->at))
        c->at++;
}

/* Skips blanks, then the character if it is there. */
static bool take(struct cursor *c, char wanted)
{
    skip_blanks(c);
    if (c->at == c->end || *c->at != wanted)
        return false;
    c->at++;
    return true;
}

static bool is_digit(const struct cursor *c)
{
    return c->at < c->end && *c->at >= '0' && *c->at <= '9';
}

struct decimal {
    bool negative;
    uint64_t mantissa;
    ptrdiff_t n_digits; /* of the mantissa, leading zeros too */
    int exponent;       /* of ten */
};

/* One digit or more. */
static inline bool take_digits(struct cursor *c, struct decimal *d)
{
    const char *start = c->at;
    for (; is_digit(c); c->at++)
        d->mantissa = d->mantissa * 10 + (uint64_t)(*c->at - '0');
    d->n_digits += c->at - start;
    return c->at > start;
}

static bool take_exponent(struct cursor *c, struct decimal *d)
{
    int value = 0;
    bool negative = false;
    c->at++; /* the e */
    if (c->at < c->end && (*c->at == '+' || *c->at == '-'))
        negative = *c->at++ == '-';
    if (!is_digit(c))
        return false;
    for (; is_digit(c); c->at++)
        value = value < MAX_EXPONENT ? value * 10 + (*c->at - '0') : value;
    d->exponent += negative ? -value : value;
    return true;
}

static bool take_decimal(struct cursor *c, struct decimal *d)
{
    *d = (struct decimal){.negative = c->at < c->end && *c->at == '-'};
    c->at += d->negative;
    bool zero = is_digit(c) && *c->at == '0';
    const char *start = c->at;
    if (!take_digits(c, d) || (zero && c->at != start + 1))
        return false;
    if (c->at < c->end && *c->at == '.') {
        const char *point = c->at++;
        if (!take_digits(c, d))
            return false;
        d->exponent = -(int)(c->at - point - 1);
    }
    if (c->at < c->end && (*c->at == 'e' || *c->at == 'E'))
        return take_exponent(c, d);
    return true;
}

static bool convert_slowly(const char *text, size_t n, double *value)
{
    char copy[JSONX_MAX_NUMBER + 1];
    memcpy(copy, text, n);
    copy[n] = '\0';
    *value = strtod(copy, NULL);
    return isfinite(*value);
}

/* Whether the digits fit the mantissa: zeros in front, of which there may be many, always do. */
static bool fits_mantissa(const struct decimal *d, const char *number)
{
    long n = (long)d->n_digits;
    for (; n > DECIMAL_MAX_DIGITS && (*number == '0' || *number == '.' || *number == '-'); number++)
        n -= *number == '0';
    return n <= DECIMAL_MAX_DIGITS;
}

static bool take_number(struct cursor *c, double *value)
{
    struct decimal d;
    double x;
    skip_blanks(c);
    const char *start = c->at;
    if (!take_decimal(c, &d) || c->at - start > JSONX_MAX_NUMBER)
        return false;
    bool fits = d.n_digits <= DECIMAL_MAX_DIGITS || fits_mantissa(&d, start);
    if (fits && d.mantissa <= MAX_EXACT_MANTISSA && abs(d.exponent) <= MAX_EXACT_POWER)
        x = d.exponent < 0 ? (double)d.mantissa / powers[-d.exponent]
                           : (double)d.mantissa * powers[d.exponent];
    else if (!fits || !decimal_to_double(d.mantissa, d.exponent, &x))
        return convert_slowly(start, (size_t)(c->at - start), value);
    *value = d.negative ? -x : x;
    return true;
}

static bool take_key(struct cursor *c)
{
    static const char key[] = "\"features\"";
    skip_blanks(c);
    if ((size_t)(c->end - c->at) < sizeof key - 1 || memcmp(c->at, key, sizeof key - 1) != 0)
        return false;
    c->at += sizeof key - 1;
    return true;
}

bool features_read(const char *body, size_t n_bytes, double *features, size_t n)
{
    struct cursor c = {.at = body, .end = body + n_bytes};
    if (n == 0 || !take(&c, '{') || !take_key(&c) || !take(&c, ':') || !take(&c, '['))
        return false;
    for (size_t i = 0; i < n; i++)
        if ((i > 0 && !take(&c, ',')) || !take_number(&c, &features[i]))
            return false;
    if (!take(&c, ']') || !take(&c, '}'))
        return false;
    skip_blanks(&c);
    return c.at == c.end;
}
