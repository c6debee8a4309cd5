/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A log-linear histogram of durations: every octave [2^k, 2^(k+1)) ns is cut
 * into 64 equal buckets, so a bucket's midpoint is within 1/128 (0.8 %) of any
 * duration in it; below 128 ns it is exact. About 18 kB of plain data without
 * pointers, fit for shared memory and for memcpy. All zero is empty.
 * The idea is HdrHistogram's (Tene 2013); the code is not.
 */
#ifndef CANARYD_HISTOGRAM_H
#define CANARYD_HISTOGRAM_H

#include <stddef.h>
#include <stdint.h>

#define HISTOGRAM_SUB_BITS 6  /* 2^6 buckets an octave */
#define HISTOGRAM_MAX_BITS 40 /* durations end below 2^40 ns, about 1,100 s */
#define HISTOGRAM_MAX_NS   ((UINT64_C(1) << HISTOGRAM_MAX_BITS) - 1)
#define HISTOGRAM_BUCKETS  ((HISTOGRAM_MAX_BITS - HISTOGRAM_SUB_BITS + 1) << HISTOGRAM_SUB_BITS)

struct histogram {
    uint64_t n; /* the sum of count[] */
    uint64_t count[HISTOGRAM_BUCKETS];
};

/* Counts one duration; what is above HISTOGRAM_MAX_NS counts as that. O(1). */
void histogram_add(struct histogram *h, uint64_t ns);

/* Adds all of from to into. */
void histogram_merge(struct histogram *into, const struct histogram *from);

/* The q-quantile in ns by nearest rank: the midpoint of the bucket that holds
 * the ceil(q n)-th smallest duration (the first for q = 0). q is in 0..1; NAN
 * when empty. One pass over the buckets, about 1 us. */
double histogram_quantile(const struct histogram *h, double q);

/* The bucket of a duration: 0 .. HISTOGRAM_BUCKETS - 1, never falling. */
size_t histogram_bucket(uint64_t ns);

/* The middle of a bucket's whole-numbered durations, in ns. */
double histogram_midpoint(size_t bucket);

#endif
