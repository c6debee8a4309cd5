/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * How many samples a comparison needs: the exact power of the two-sample t
 * test, looked at once, with equal variances in both arms. The guard looks all
 * the time and needs somewhat more (docs/statistics.md).
 */
#ifndef CANARYD_POWER_H
#define CANARYD_POWER_H

#include <stdint.h>

#include "common/err.h"

/* What a test is to find. effect and sd in one unit, any. */
struct power_design {
    double effect; /* true difference of the means, > 0 */
    double sd;     /* of one sample, > 0 */
    double alpha;  /* chance of a false alarm, above 0, below 1 */
    int sides;     /* 1: looks for slower only; 2: for a difference either way */
};

/* P(T > t) for T noncentral t with df > 0 degrees of freedom and noncentrality
 * ncp, t >= 0; absolute error below 1e-12. Some 10 us.
 * T is (Z + ncp) / S with Z normal and S^2 chi square over df, so that this is
 * the mean of Phi(ncp - t S), or of P(S < (Z + ncp) / t); whichever is smooth on
 * the grid is summed by the trapezoidal rule, which on such bells converges
 * faster than any power of the step. libRmath's pnt is not used: it changes to
 * a normal approximation at |ncp| 37.6 that is off by .05 at df 2, and it writes
 * its warnings to standard output.
 * Source: Johnson, Kotz and Balakrishnan 1995, Continuous Univariate
 * Distributions 2, 31.1; Trefethen and Weideman 2014, SIAM Review 56:385. */
double power_noncentral_tail(double t, double df, double ncp);

/* The chance that the test finds the effect with n_a and n_b samples, both
 * above 0 and together above 2 (need not be whole). sides 2 counts both tails.
 * ncp = effect / (sd sqrt(1/n_a + 1/n_b)), df = n_a + n_b - 2.
 * Source: Cohen 1988, Statistical Power Analysis, 2.3 and 12.2. */
double power_of_test(const struct power_design *design, double n_a, double n_b);

#define POWER_MAX_N 1e12 /* samples an arm that anybody would plan with */

/* The fewest canary samples (2 and more), each with `ratio` reference samples
 * beside it (1: equal arms; 8: 80/10 without a baseline), that give at least
 * this power. target: above alpha, below 1. Returns 0, or -1 with err
 * "out-of-reach" where POWER_MAX_N do not do; *n is untouched then. */
int power_needed_samples(const struct power_design *design, double ratio, double target,
                         uint64_t *n, struct err *e);

#endif
