/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Strict numbers; see number.h.
 */
#include "ctl/number.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* strtod alone takes blanks, "inf" and hexadecimal. */
static bool read_prefix(const char *text, size_t n, double *value)
{
    char *end;
    if (n == 0 || strspn(text, "0123456789+-.eE") < n)
        return false;
    double x = strtod(text, &end);
    if (end != text + n || !isfinite(x))
        return false;
    *value = x;
    return true;
}

bool number_read(const char *text, double *value)
{
    return read_prefix(text, strlen(text), value);
}

bool number_read_whole(const char *text, int64_t min, int64_t max, int64_t *value)
{
    char *end;
    if (text[0] == '\0' || strspn(text, "0123456789-") != strlen(text))
        return false;
    errno = 0;
    long long x = strtoll(text, &end, 10);
    if (*end != '\0' || errno != 0 || x < min || x > max)
        return false;
    *value = x;
    return true;
}

size_t number_read_list(const char *text, double *values, size_t max)
{
    size_t count = 0;
    for (;; text++) {
        size_t n = strcspn(text, ",");
        if (count == max || !read_prefix(text, n, &values[count]))
            return 0;
        count++;
        text += n;
        if (*text == '\0')
            return count;
    }
}
