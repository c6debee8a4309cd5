/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * See dependence.h. The sum of products of neighbours' deviations, which r1
 * needs, follows from what is kept: 2 sum (x_i - m)(x_(i+1) - m) =
 * 2 M2 - (first - m)^2 - (last - m)^2 - steps, and likewise for merged series
 * about their common mean.
 */
#include "judge/dependence.h"

#include <math.h>

#define MIN_NUMBERS 8 /* fewer say nothing about neighbours */
#define CAP         2.5
#define CAP_GROWS   40.0 /* numbers from which the cap rises with sqrt(n) */

void series_add(struct series *s, double x)
{
    if (s->x.n == 0)
        s->first = x;
    else
        s->steps += (x - s->last) * (x - s->last);
    s->last = x;
    moments_add(&s->x, x);
}

void series_merge(struct series *into, const struct series *from)
{
    if (from->x.n == 0)
        return;
    if (into->x.n == 0) {
        *into = *from;
        return;
    }
    moments_add(&into->ends, from->first);
    moments_add(&into->ends, from->last);
    moments_merge(&into->ends, &from->ends);
    moments_merge(&into->x, &from->x);
    into->steps += from->steps;
}

/* (x - mean)^2 */
static double squared_deviation(const struct moments *m, double x)
{
    double deviation = (x - m->mean) - m->mean_low;
    return deviation * deviation;
}

static double ends_about_mean(const struct series *s)
{
    double own = squared_deviation(&s->x, s->first) + squared_deviation(&s->x, s->last);
    double apart = moments_difference(&s->x, &s->ends);
    return s->ends.n == 0 ? own : own + s->ends.m2 + (double)s->ends.n * apart * apart;
}

double series_vif(const struct series *s)
{
    double n = (double)s->x.n;
    if (s->x.n < MIN_NUMBERS || s->x.m2 <= 0)
        return 1;
    double r1 = 1 - (s->steps + ends_about_mean(s)) / (2 * s->x.m2);
    double r = (n * r1 + 1) / (n - 4);
    double cap = CAP * sqrt(fmax(1, n / CAP_GROWS));
    if (r >= 1)
        return cap;
    return fmin(fmax(1, (1 + r) / (1 - r)), cap);
}

double series_standard_error(const struct series *s)
{
    return sqrt(series_vif(s) * moments_variance(&s->x) / (double)s->x.n);
}

bool series_is_sound(const struct series *s)
{
    return isfinite(s->x.mean) && isfinite(s->x.mean_low) && isfinite(s->x.m2) &&
           isfinite(s->first) && isfinite(s->last) && isfinite(s->steps) && s->steps >= 0 &&
           isfinite(s->ends.mean) && isfinite(s->ends.m2);
}
