/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Running count, mean and variance in O(1) per sample and without the
 * cancellation of a sum of squares.
 * Source: Welford 1962, Technometrics 4:419; merging: Chan, Golub and LeVeque
 * 1983, Am. Stat. 37:242.
 */
#ifndef CANARYD_MOMENTS_H
#define CANARYD_MOMENTS_H

#include <stdint.h>

struct moments {
    uint64_t n;
    double mean; /* in the unit of the samples */
    double m2;   /* sum of squared deviations from the mean */
};

void moments_add(struct moments *m, double x);
void moments_merge(struct moments *into, const struct moments *from);

/* Unbiased variance m2 / (n - 1), never below 0; NAN for n < 2. */
double moments_variance(const struct moments *m);

/* The moments of (x + shift) * scale for every sample x: as if each had been
 * changed before it was added, but for rounding. */
struct moments moments_shift_scale(const struct moments *m, double shift, double scale);

#endif
