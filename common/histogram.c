/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The log-linear histogram; see histogram.h. With k the position of a
 * duration's highest bit, its bucket is (k - 6) * 64 + (ns >> (k - 6)): the
 * second term runs over 64..127, so octaves follow each other without a gap.
 */
#include "common/histogram.h"

#include <assert.h>
#include <float.h>
#include <math.h>

#define SUB_BUCKETS (1U << HISTOGRAM_SUB_BITS)

size_t histogram_bucket(uint64_t ns)
{
    if (ns < SUB_BUCKETS)
        return (size_t)ns;
    if (ns > HISTOGRAM_MAX_NS)
        ns = HISTOGRAM_MAX_NS;
    unsigned shift = 63 - HISTOGRAM_SUB_BITS - (unsigned)__builtin_clzll(ns);
    return (size_t)shift * SUB_BUCKETS + (size_t)(ns >> shift);
}

double histogram_midpoint(size_t bucket)
{
    assert(bucket < HISTOGRAM_BUCKETS);
    if (bucket < 2 * (size_t)SUB_BUCKETS)
        return (double)bucket;
    size_t shift = bucket / SUB_BUCKETS - 1;
    uint64_t low = (uint64_t)(bucket - shift * SUB_BUCKETS) << shift;
    uint64_t width = UINT64_C(1) << shift;
    return (double)low + (double)(width - 1) / 2;
}

void histogram_add(struct histogram *h, uint64_t ns)
{
    h->count[histogram_bucket(ns)]++;
    h->n++;
}

void histogram_merge(struct histogram *into, const struct histogram *from)
{
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++)
        into->count[i] += from->count[i];
    into->n += from->n;
}

/* ceil(q n) in 1..n. The product is rounded: 0.07 * 100 comes out above 7 and
 * must not become rank 8, so the last bits are given away. */
static uint64_t nearest_rank(uint64_t n, double q)
{
    double rank = ceil(q * (double)n * (1 - 4 * DBL_EPSILON));
    if (rank < 1)
        return 1;
    return rank >= (double)n ? n : (uint64_t)rank;
}

double histogram_quantile(const struct histogram *h, double q)
{
    assert(q >= 0 && q <= 1);
    if (h->n == 0)
        return NAN;
    uint64_t left = nearest_rank(h->n, q);
    size_t i = 0;
    /* The last bucket ends the walk even where n says more than the counts. */
    while (i < HISTOGRAM_BUCKETS - 1 && h->count[i] < left)
        left -= h->count[i++];
    return histogram_midpoint(i);
}
