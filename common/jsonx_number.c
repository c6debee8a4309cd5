/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Numbers of jsonx.h in their shortest form. What models answer is mostly a
 * probability, and there all is exact in 128-bit integers: with x = m / 2^k, the
 * decimal D / 10^p next to x reads back as x when |D 2^k - m 10^p| < 10^p / 2.
 */
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/jsonx.h"

#define MANTISSA_BITS 53
#define MIN_DIGITS    15 /* any decimal of so many digits survives a double */
#define MAX_DIGITS    17 /* any double survives so many */
#define MAX_PLACES    21 /* 17 digits from 0.0001 on; 2^53 * 10^21 fits 128 bits */

__extension__ typedef unsigned __int128 uint128;

/* 10^p for p up to MAX_PLACES. */
static uint128 power_of_ten(int p)
{
    uint128 x = UINT64_C(1000000000000000);
    for (; p > 15; p--)
        x *= 10;
    return x;
}

/* The decimals of 0.0001 <= x < 1 that are 0 before the first other one. */
static int leading_zeros(double x)
{
    return (x < 0.1) + (x < 0.01) + (x < 0.001);
}

/* The integer D for which D / 10^p is next to m / 2^k, half to even, and whether it
 * reads back as m / 2^k. */
static bool round_to(uint64_t m, int k, int p, uint64_t *d)
{
    uint128 power = power_of_ten(p);
    uint128 exact = m * power;
    uint128 half = (uint128)1 << (k - 1);
    uint128 rest = exact & ((half << 1) - 1);
    *d = (uint64_t)(exact >> k);
    bool up = rest > half || (rest == half && (*d & 1) != 0);
    *d += up;
    uint128 error = up ? (half << 1) - rest : rest;
    return error < power >> 1;
}

/* "0." and p digits of d without the zeros at their end. */
static size_t print_fraction(char *text, uint64_t d, int p)
{
    while (d % 10 == 0) {
        d /= 10;
        p--;
    }
    text[0] = '0';
    text[1] = '.';
    text[p + 2] = '\0';
    for (int i = p + 1; i > 1; i--, d /= 10)
        text[i] = (char)('0' + d % 10);
    return (size_t)p + 2;
}

/* False when x is not one of those that this is for. */
static bool print_probability(char *text, double x, size_t *n)
{
    int exponent;
    uint64_t d = 0;
    if (!(x >= 0.0001 && x < 1))
        return false;
    uint64_t m = (uint64_t)ldexp(frexp(x, &exponent), MANTISSA_BITS);
    if (m == UINT64_C(1) << (MANTISSA_BITS - 1)) /* its neighbour below is nearer */
        return false;
    for (int digits = MIN_DIGITS; digits <= MAX_DIGITS; digits++) {
        int p = digits + leading_zeros(x);
        if (round_to(m, MANTISSA_BITS - exponent, p, &d) || digits == MAX_DIGITS) {
            *n = print_fraction(text, d, p);
            break;
        }
    }
    return true;
}

size_t jsonx_print_number(char text[JSONX_NUMBER_SIZE], double x)
{
    size_t n = 0;
    if (print_probability(text, x, &n))
        return n;
    for (int digits = MIN_DIGITS; digits <= MAX_DIGITS; digits++) {
        n = (size_t)snprintf(text, JSONX_NUMBER_SIZE, "%.*g", digits, x);
        if (digits == MAX_DIGITS || strtod(text, NULL) == x)
            break;
    }
    return n;
}

size_t jsonx_print_whole(char *text, uint64_t x)
{
    char reversed[20];
    size_t n = 0;
    do
        reversed[n++] = (char)('0' + x % 10);
    while ((x /= 10) > 0);
    for (size_t i = 0; i < n; i++)
        text[i] = reversed[n - 1 - i];
    text[n] = '\0';
    return n;
}
