/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What a cell's runs come to, and how that compares with what was stated.
 */
#ifndef CANARYD_TESTS_SIMULATE_FIGURES_H
#define CANARYD_TESTS_SIMULATE_FIGURES_H

#include <stdbool.h>
#include <stddef.h>

#include "tests/simulate/plan.h"

/* A part of the runs, and its standard error sqrt(p (1 - p) / n), p no nearer to
 * 0 than half a run. */
struct part {
    double p, se;
};

struct figures {
    struct part naive;
    struct part mean, tail; /* of the round trip */
    struct part either;     /* one of these two */
    struct part any;        /* the verdict: any row of either clock */
    struct part promoted;
    struct part by[FIGURES_BY]; /* rolled back by these requests, see plan_by */
    double median;    /* requests until the verdict; INFINITY: not half of them came to one */
    double low, high; /* a tenth of the runs are below, a tenth above */
    double naive_median;
    double promoted_median;
};

/* results: n runs, in any order. */
struct figures figures_of(const struct trial_result *results, size_t n);

/* What is promised of a cell: an equal canary is rolled back, or one that is as
 * slow as the margin promoted, in at most alpha of the runs, two standard errors
 * allowed; a fault is found within 1.2 times of the stated median, an equal
 * canary promoted within 1.3; the walk-through comes to its end in as many runs. */
bool figures_keep(const struct cell *cell, const struct figures *figures);

#define FIGURES_ALPHA    0.05
#define FIGURES_SLOWNESS 1.2
#define FIGURES_BOTH     1.3 /* promotion: the later of two times, stated one by one */

#endif
