/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Welch's unequal-variance t-test from running moments: what a textbook says
 * about the samples so far. It is right for one look; looking again and again
 * is the business of whoever decides (rule.h).
 */
#ifndef CANARYD_WELCH_H
#define CANARYD_WELCH_H

#include "common/err.h"
#include "common/moments.h"

#define WELCH_LEVEL 0.95 /* of a report's confidence interval */
#define WELCH_POWER 0.80 /* of a report's minimum detectable effect */

/* a is the reference, b the canary; differences and the interval are in the
 * unit of the samples. */
struct welch {
    double difference;     /* mean(b) - mean(a) */
    double standard_error; /* of the difference, >= 0 */
    double t;              /* difference / standard_error; may be +-INFINITY */
    double df;             /* Satterthwaite; min(n_a, n_b) - 1 .. n_a + n_b - 2 */
    double p_greater;      /* P(T >= t): small when b is larger */
    double p_less;         /* P(T <= t): small when b is smaller */
    double p_two_sided;    /* P(|T| >= |t|) */
    double ln_p_greater;   /* exact where p_greater is 0 for want of exponents */
    double interval_low;   /* two-sided confidence interval of the true difference */
    double interval_high;
};

/* Tests mean(b) against mean(a). level of the interval: above 0, below 1.
 * Returns 0, or -1 with err and *out untouched: "too-few-samples" when n < 2 in
 * an arm, "not-finite" when a moment is not a finite number. Where both
 * variances are 0, equal means give t 0 and p 1/2, others t +-INFINITY and p 0
 * or 1, with df n_a + n_b - 2 and an interval of no width. About 1 us.
 * Source: Welch 1947, Biometrika 34:28; df: Satterthwaite 1946, Biometrics
 * Bull. 2:110; tails: libRmath's pt and qt. */
int welch_test(const struct moments *a, const struct moments *b, double level, struct welch *out,
               struct err *e);

/* The smallest true difference that a one-sided test at alpha finds with this
 * power, if standard error and df stay as they are in w:
 *     standard_error * (t[1 - alpha; df] + t[power; df])
 * in the unit of the samples; 0 when the standard error is 0. alpha and power
 * are above 0 and below 1. This is SE (z + .84) with t quantiles for the
 * normal ones. The exact answer needs the noncentral t, which libRmath gives
 * with warnings; at alpha .05 it differs by at most 1.1 % from df 2 on, by 6 %
 * at df 1 (SciPy's nct).
 * Source: Cohen 1988, Statistical Power Analysis, 12.4 (with t for z). */
double welch_minimum_detectable_effect(const struct welch *w, double alpha, double power);

/* How much slower a canary may be before it counts against it. */
struct welch_margin {
    double absolute_ns; /* >= 0 */
    double ratio;       /* >= 0; 0.2: a fifth */
};

/* The canary's moments with the margin taken off every sample:
 * (y - absolute_ns) / (1 + ratio). */
struct moments welch_take_margin(const struct moments *canary, const struct welch_margin *margin);

#endif
