/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Running count, mean and variance in O(1) per sample and without the
 * cancellation of a sum of squares. The mean is kept in two doubles, so that
 * the difference of two close means at a large offset keeps its digits.
 * Source: Welford 1962, Technometrics 4:419; merging: Chan, Golub and LeVeque
 * 1983, Am. Stat. 37:242; the second double: Dekker 1971, Numer. Math. 18:224.
 */
#ifndef CANARYD_MOMENTS_H
#define CANARYD_MOMENTS_H

#include <stdint.h>

struct moments {
    uint64_t n;
    double mean;     /* in the unit of the samples */
    double mean_low; /* what rounding took from mean; at most half its last bit */
    double m2;       /* sum of squared deviations from the mean */
};

void moments_add(struct moments *m, double x);
void moments_merge(struct moments *into, const struct moments *from);

/* Unbiased variance m2 / (n - 1), never below 0; NAN for n < 2. */
double moments_variance(const struct moments *m);

/* mean(b) - mean(a), correct to about 1e-32 of the means. */
double moments_difference(const struct moments *a, const struct moments *b);

/* The moments of (x + shift) * scale for every sample x: as if each had been
 * changed before it was added, but for rounding. */
struct moments moments_shift_scale(const struct moments *m, double shift, double scale);

#endif
