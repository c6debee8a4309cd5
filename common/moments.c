/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Welford's recurrence; see moments.h.
 */
#include "common/moments.h"

#include <math.h>

void moments_add(struct moments *m, double x)
{
    double delta = x - m->mean;
    m->n++;
    m->mean += delta / (double)m->n;
    m->m2 += delta * (x - m->mean);
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
    double delta = from->mean - into->mean;
    into->mean += delta * n_from / n;
    into->m2 += from->m2 + delta * delta * n_into * n_from / n;
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
    if (m->n == 0)
        return *m;
    return (struct moments){
        .n = m->n,
        .mean = (m->mean + shift) * scale,
        .m2 = m->m2 * scale * scale,
    };
}
