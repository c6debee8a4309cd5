/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Power by the noncentral t distribution; see power.h.
 */
#include "judge/power.h"

#include <assert.h>
#include <math.h>
#include <stdbool.h>

#include <Rmath.h>

enum { LOWER_TAIL = 1, UPPER_TAIL = 0, PLAIN = 0 }; /* libRmath's arguments */

#define STEP       0.2   /* of a bell's width; .5 would still do */
#define NEGLIGIBLE 1e-19 /* weight at which a bell ends, its top being 1 */
#define NORMAL_END 9.0   /* 1 - Phi(9) is 1e-19 */
#define LARGE_NCP  20.0  /* from here on Z + ncp is positive for all that counts */

static double phi_upper(double x) /* P(Z > x) */
{
    return erfc(x / M_SQRT2) / 2;
}

/* ln of the density of u = ln S, less its value at the top, u = 0:
 * df (u - (e^2u - 1) / 2). */
static double ln_weight(double u, double df)
{
    return df * (u - expm1(2 * u) / 2);
}

/* The mean of Phi(ncp - t S) over u = ln S. The weights' own sum is the
 * normaliser: no gamma function, whose digits large df would eat. */
static double sum_over_spread(double t, double df, double ncp)
{
    double step = STEP / fmax(sqrt(2 * df), 1 + fmin(fabs(ncp), LARGE_NCP));
    double weights = 1;
    double sum = phi_upper(t - ncp);
    for (int side = -1; side <= 1; side += 2) {
        double weight = 1;
        for (int k = 1; weight > NEGLIGIBLE; k++) {
            double u = side * k * step;
            weight = exp(ln_weight(u, df));
            weights += weight;
            sum += weight * phi_upper(t * exp(u) - ncp);
        }
    }
    return sum / weights;
}

/* The mean of P(S < (Z + ncp) / t) over Z. */
static double sum_over_normal(double t, double df, double ncp)
{
    int n = (int)(NORMAL_END / STEP);
    double weights = 0;
    double sum = 0;
    for (int k = -n; k <= n; k++) {
        double z = k * STEP;
        double s = (z + ncp) / t;
        double weight = exp(-z * z / 2);
        weights += weight;
        sum += weight * pchisq(df * s * s, df, LOWER_TAIL, PLAIN);
    }
    return sum / weights;
}

double power_noncentral_tail(double t, double df, double ncp)
{
    assert(t >= 0 && df > 0);
    bool z_is_smooth = ncp > LARGE_NCP && t * t > 2 * df;
    return z_is_smooth ? sum_over_normal(t, df, ncp) : sum_over_spread(t, df, ncp);
}

double power_of_test(const struct power_design *design, double n_a, double n_b)
{
    double df = n_a + n_b - 2;
    double ncp = design->effect / (design->sd * sqrt(1 / n_a + 1 / n_b));
    double t = qt(design->alpha / design->sides, df, UPPER_TAIL, PLAIN);
    assert(design->sides == 1 || design->sides == 2);
    if (t < 0) /* one-sided, alpha above 1/2 */
        return 1 - power_noncentral_tail(-t, df, -ncp);
    double power = power_noncentral_tail(t, df, ncp);
    return design->sides == 1 ? power : power + power_noncentral_tail(t, df, -ncp);
}

static bool suffices(const struct power_design *design, double ratio, double target, double n)
{
    return power_of_test(design, n, ratio * n) >= target;
}

int power_needed_samples(const struct power_design *design, double ratio, double target,
                         uint64_t *n, struct err *e)
{
    double enough = 2;
    double too_few = 1; /* both whole: the power rises with n */
    assert(ratio >= 1 && target > design->alpha && target < 1);
    while (enough < POWER_MAX_N && !suffices(design, ratio, target, enough)) {
        too_few = enough;
        enough *= 2;
    }
    if (enough >= POWER_MAX_N)
        return err_set(e, "out-of-reach",
                       "an effect of %g at a standard deviation of %g needs more than %g samples",
                       design->effect, design->sd, POWER_MAX_N);
    while (enough - too_few > 1) {
        double middle = floor((enough + too_few) / 2);
        if (suffices(design, ratio, target, middle))
            enough = middle;
        else
            too_few = middle;
    }
    *n = (uint64_t)enough;
    return 0;
}
