/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Numbers on the command line: all of the text or nothing, decimal, finite.
 */
#ifndef CANARYD_CTL_NUMBER_H
#define CANARYD_CTL_NUMBER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Each returns false and leaves *value alone when text is not such a number. */
bool number_read(const char *text, double *value);
bool number_read_whole(const char *text, int64_t min, int64_t max, int64_t *value);

/* "0.5,-1.2,3e2": returns how many there are, 0 when the text is not 1..max
 * numbers with single commas between; values is unspecified then. */
size_t number_read_list(const char *text, double *values, size_t max);

#endif
