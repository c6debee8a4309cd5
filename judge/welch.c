/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Welch's t-test; see welch.h. Everything is computed from the arms' standard
 * errors and their ratio, not from variances and their squares, so that
 * variances of 1e-300 and of 1e300 come out alike.
 */
#include "judge/welch.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdbool.h>

#include <Rmath.h>

enum tail { TAIL_UPPER = 0, TAIL_LOWER = 1 };  /* libRmath's argument lower_tail */
enum scale { SCALE_PLAIN = 0, SCALE_LOG = 1 }; /* and its log_p */

/* Of the mean: sqrt(variance / n). */
static double standard_error(const struct moments *m)
{
    double n = (double)m->n;
    return sqrt(fmax(m->m2, 0)) / sqrt(n - 1) / sqrt(n);
}

/* With w the part of a in the squared standard error:
 * 1/df = w^2 / (n_a - 1) + (1 - w)^2 / (n_b - 1), and its bounds in exact
 * arithmetic restored, which qt relies on at its lower end, 1. */
static double satterthwaite(const struct moments *a, const struct moments *b, double se_a,
                            double se_b)
{
    double df_a = (double)(a->n - 1);
    double df_b = (double)(b->n - 1);
    double se = hypot(se_a, se_b);
    if (se == 0)
        return df_a + df_b;
    double w_a = (se_a / se) * (se_a / se);
    double w_b = (se_b / se) * (se_b / se);
    double df = 1 / (w_a * w_a / df_a + w_b * w_b / df_b);
    return fmin(fmax(df, fmin(df_a, df_b)), df_a + df_b);
}

static double t_statistic(double difference, double se)
{
    if (se == 0 && difference == 0)
        return 0;
    return se == 0 ? copysign(INFINITY, difference) : difference / se;
}

static bool is_finite(const struct moments *m)
{
    return isfinite(m->mean) && isfinite(m->m2);
}

static int check(const struct moments *a, const struct moments *b, struct err *e)
{
    if (a->n < 2 || b->n < 2)
        return err_set(e, "too-few-samples",
                       "Welch's test needs 2 samples in each arm, got %" PRIu64 " and %" PRIu64,
                       a->n, b->n);
    if (!is_finite(a) || !is_finite(b))
        return err_set(e, "not-finite",
                       "Welch's test needs finite moments, got means %g and %g, squares %g and %g",
                       a->mean, b->mean, a->m2, b->m2);
    return 0;
}

int welch_test(const struct moments *a, const struct moments *b, double level, struct welch *out,
               struct err *e)
{
    assert(level > 0 && level < 1);
    if (check(a, b, e) < 0)
        return -1;
    double se_a = standard_error(a);
    double se_b = standard_error(b);
    double difference = moments_difference(a, b);
    double se = hypot(se_a, se_b);
    double t = t_statistic(difference, se);
    double df = satterthwaite(a, b, se_a, se_b);
    double half_width = se > 0 ? se * qt((1 - level) / 2, df, TAIL_UPPER, SCALE_PLAIN) : 0;
    *out = (struct welch){
        .difference = difference,
        .standard_error = se,
        .t = t,
        .df = df,
        .p_greater = pt(t, df, TAIL_UPPER, SCALE_PLAIN),
        .p_less = pt(t, df, TAIL_LOWER, SCALE_PLAIN),
        .p_two_sided = fmin(1, 2 * pt(fabs(t), df, TAIL_UPPER, SCALE_PLAIN)),
        .ln_p_greater = pt(t, df, TAIL_UPPER, SCALE_LOG),
        .interval_low = difference - half_width,
        .interval_high = difference + half_width,
    };
    return 0;
}

double welch_minimum_detectable_effect(const struct welch *w, double alpha, double power)
{
    assert(alpha > 0 && alpha < 1 && power > 0 && power < 1);
    if (w->standard_error == 0)
        return 0;
    return w->standard_error *
           (qt(alpha, w->df, TAIL_UPPER, SCALE_PLAIN) + qt(power, w->df, TAIL_LOWER, SCALE_PLAIN));
}

struct moments welch_take_margin(const struct moments *canary, const struct welch_margin *margin)
{
    assert(margin->absolute_ns >= 0 && margin->ratio >= 0);
    return moments_shift_scale(canary, -margin->absolute_ns, 1 / (1 + margin->ratio));
}
