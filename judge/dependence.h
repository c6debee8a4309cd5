/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A series of numbers that follow each other in time, such as the blocks'
 * differences, in O(1): its moments, and by how much its neighbours' likeness
 * makes the mean less certain than so many independent numbers would be.
 */
#ifndef CANARYD_DEPENDENCE_H
#define CANARYD_DEPENDENCE_H

#include <stdbool.h>

#include "common/moments.h"

/* Plain data without pointers; all zero is empty. */
struct series {
    struct moments x;
    double first; /* of the numbers, and */
    double last;
    double steps;        /* sum of (x_i - x_(i-1))^2 */
    struct moments ends; /* first and last of the series that were merged into this one */
};

void series_add(struct series *s, double x);

/* As if from had been watched elsewhere, by another replica: it has neighbours
 * of its own, and none across the seam. */
void series_merge(struct series *into, const struct series *from);

/* The variance inflation factor of the mean, at least 1:
 *     r1 = 1 - (steps + (first - m)^2 + (last - m)^2) / (2 M2),
 *     r = (n r1 + 1) / (n - 4), which takes r1's bias out,
 *     VIF = (1 + r) / (1 - r), cut at 2.5 sqrt(max(1, n / 40)):
 * a canary that turns slow in mid-life looks like a neighbour of itself and must
 * not hide behind that. 1 for fewer than 8 numbers and for equal ones.
 * Source: the lag-1 case of Kendall 1954, Biometrika 41:403 (bias), and of Bartlett 1946,
 * Suppl. J. R. Stat. Soc. 8:27 (variance of a mean under AR(1)). */
double series_vif(const struct series *s);

/* Of the mean: sqrt(VIF v / n); NAN for fewer than 2 numbers. */
double series_standard_error(const struct series *s);

/* Whether the bytes may be a series: for memories that come back from a disk. */
bool series_is_sound(const struct series *s);

#endif
