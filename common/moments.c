/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Welford's recurrence with the mean in two doubles; see moments.h. It relies on
 * IEEE arithmetic as written: no -ffast-math, no contraction.
 */
#include "common/moments.h"

#include <math.h>

/* Makes high + *low of big + small, exactly, if |big| >= |small| (Dekker's
 * Fast2Sum). */
static double fast_two_sum(double big, double small, double *low)
{
    double high = big + small;
    *low = small - (high - big);
    return high;
}

/* Adds step to the mean. */
static void move_mean(struct moments *m, double step)
{
    double low;
    double high = fabs(m->mean) >= fabs(step) ? fast_two_sum(m->mean, step, &low)
                                              : fast_two_sum(step, m->mean, &low);
    m->mean = fast_two_sum(high, low + m->mean_low, &m->mean_low);
}

void moments_add(struct moments *m, double x)
{
    double delta = (x - m->mean) - m->mean_low;
    m->n++;
    move_mean(m, delta / (double)m->n);
    m->m2 += delta * ((x - m->mean) - m->mean_low);
}

double moments_difference(const struct moments *a, const struct moments *b)
{
    return (b->mean - a->mean) + (b->mean_low - a->mean_low);
}

void moments_merge(struct moments *into, const struct moments *from)
{
    if (from->n == 0)
        return;
    if (into->n == 0) {
        *into = *from;
        return;
    }
    double n_into = (double)into->n;
    double n_from = (double)from->n;
    double n = n_into + n_from;
    double delta = moments_difference(into, from);
    move_mean(into, delta * (n_from / n));
    into->m2 += from->m2 + delta * delta * (n_into * (n_from / n));
    into->n += from->n;
}

double moments_variance(const struct moments *m)
{
    if (m->n < 2)
        return NAN;
    return fmax(m->m2, 0) / (double)(m->n - 1);
}

struct moments moments_shift_scale(const struct moments *m, double shift, double scale)
{
    struct moments moved = *m;
    if (m->n == 0)
        return moved;
    move_mean(&moved, shift);
    double mean = moved.mean * scale;
    double low = fma(moved.mean, scale, -mean) + moved.mean_low * scale;
    moved.mean = fast_two_sum(mean, low, &moved.mean_low);
    moved.m2 *= scale * scale;
    return moved;
}
