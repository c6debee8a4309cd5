/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * See decimal.h. 10^k is 5^k times a power of two, and 5^27 fits 64 bits: the product
 * is exact in 128 bits, the quotient is cut after 63 bits or 64, and a bit for what
 * was cut off makes its rounding right.
 */
#include "supervisor/decimal.h"

#include <string.h>

#define MAX_POWER 27 /* 5^27 < 2^63 */

__extension__ typedef unsigned __int128 uint128;

static const uint64_t fives[MAX_POWER + 1] = {
    UINT64_C(1),
    UINT64_C(5),
    UINT64_C(25),
    UINT64_C(125),
    UINT64_C(625),
    UINT64_C(3125),
    UINT64_C(15625),
    UINT64_C(78125),
    UINT64_C(390625),
    UINT64_C(1953125),
    UINT64_C(9765625),
    UINT64_C(48828125),
    UINT64_C(244140625),
    UINT64_C(1220703125),
    UINT64_C(6103515625),
    UINT64_C(30517578125),
    UINT64_C(152587890625),
    UINT64_C(762939453125),
    UINT64_C(3814697265625),
    UINT64_C(19073486328125),
    UINT64_C(95367431640625),
    UINT64_C(476837158203125),
    UINT64_C(2384185791015625),
    UINT64_C(11920928955078125),
    UINT64_C(59604644775390625),
    UINT64_C(298023223876953125),
    UINT64_C(1490116119384765625),
    UINT64_C(7450580596923828125),
};

/* 2^exponent, of a normal number; several times faster than ldexp. */
static double power_of_two(int exponent)
{
    uint64_t bits = (uint64_t)(1023 + exponent) << 52;
    double x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* mantissa / 10^power. Both are shifted up to their top bit, so the quotient has 63
 * bits or 64: ten more than a double, of which the last is also set when there is a
 * remainder. The conversion then rounds as the exact quotient would be. */
static double divide(uint64_t mantissa, int power)
{
    int up = __builtin_clzll(mantissa), up_five = __builtin_clzll(fives[power]);
    uint128 dividend = (uint128)(mantissa << up) << 63;
    uint64_t divisor = fives[power] << up_five;
    uint64_t quotient = (uint64_t)(dividend / divisor);
    quotient |= (uint128)quotient * divisor != dividend;
    return (double)quotient * power_of_two(up_five - up - 63 - power);
}

bool decimal_to_double(uint64_t mantissa, int exponent, double *value)
{
    if (exponent < -MAX_POWER || exponent > MAX_POWER)
        return false;
    if (mantissa == 0)
        *value = 0;
    else if (exponent < 0)
        *value = divide(mantissa, -exponent);
    else
        *value = (double)((uint128)mantissa * fives[exponent]) * power_of_two(exponent);
    return true;
}
