/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Decimals of up to 19 digits as doubles, exactly rounded, without strtod: a number
 * that was printed so that it reads back has 16 or 17 digits, and a vector of
 * features may have thousands of them.
 */
#ifndef CANARYD_DECIMAL_H
#define CANARYD_DECIMAL_H

#include <stdbool.h>
#include <stdint.h>

#define DECIMAL_MAX_DIGITS 19 /* that fit 64 bits whatever they are */

/* The double next to mantissa * 10^exponent, ties to even, into *value. False where the
 * exponent is out of the range in which this is exact (-27 to 27); *value is
 * untouched then. About 10 ns. */
bool decimal_to_double(uint64_t mantissa, int exponent, double *value);

#endif
