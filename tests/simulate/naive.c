/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * See naive.h. Millions of looks a second: t is compared with the normal
 * quantile first, and only what is near it with libRmath.
 */
#include "tests/simulate/naive.h"

#include <stddef.h>

#include "judge/welch.h"

#define SURELY_NOT 1.64 /* below the 95 % point of every t */

static bool is_small(const struct naive *n)
{
    const struct moments *s = &n->reference, *c = &n->canary;
    double v =
        s->m2 / (double)(s->n - 1) / (double)s->n + c->m2 / (double)(c->n - 1) / (double)c->n;
    double difference = c->mean - s->mean;
    struct welch w;
    if (difference <= 0 || difference * difference < SURELY_NOT * SURELY_NOT * v)
        return false;
    return welch_test(s, c, WELCH_LEVEL, &w, NULL) == 0 && w.p_greater < NAIVE_ALPHA;
}

bool naive_add(struct naive *n, bool is_canary, double latency)
{
    moments_add(is_canary ? &n->canary : &n->reference, latency);
    return n->canary.n >= NAIVE_MIN_SAMPLES && n->reference.n >= NAIVE_MIN_SAMPLES && is_small(n);
}
