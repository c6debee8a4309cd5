/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The paired t of a series of differences, its neighbours' likeness allowed
 * for, as it is held against a boundary.
 */
#ifndef CANARYD_PAIRED_H
#define CANARYD_PAIRED_H

#include <stdint.h>

#include "judge/boundary.h"
#include "judge/dependence.h"

struct paired {
    double difference;     /* the mean; NAN: no numbers */
    double standard_error; /* of the mean; NAN: fewer than 2 */
    double t;              /* NAN where there is no variance: that says nothing */
    double df;             /* n - 1 */
    double ln_r;           /* ln of max(1, n / first_look) */
};

/* first_look: n at the first look; 0: there was none yet, R is 1. */
struct paired paired_of(const struct series *s, uint64_t first_look);

/* The same with the standard error raised to at least floor. */
struct paired paired_with_floor(const struct paired *p, double floor);

/* The interval that holds the true difference at all times with probability 1 - the
 * alpha of which half belongs to the boundary. */
struct interval {
    double low;
    double high;
};
struct interval paired_interval(const struct paired *p, const struct boundary *half);

/* The difference that would be found now with probability .8: SE (z + .84). */
double paired_detectable(const struct paired *p, const struct boundary *b);

/* How many times the n of now until t reaches the boundary, if the numbers go on as they
 * are (t grows as sqrt(n)): 1 when it has, NAN when it never will or not within a thousand times.
 */
double paired_growth_needed(const struct paired *p, const struct boundary *b);

#endif
