/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What is simulated: every cell of the tables, and the figure that was stated
 * for it before (docs/statistics.md tells where those come from).
 */
#ifndef CANARYD_TESTS_SIMULATE_PLAN_H
#define CANARYD_TESTS_SIMULATE_PLAN_H

#include <stdbool.h>
#include <stddef.h>

#include "tests/simulate/trial.h"

enum cell_group {
    GROUP_FALSE_ALARMS, /* an equal canary, 10,000 requests */
    GROUP_LONG,         /* the same over 200,000 */
    GROUP_DETECTION,    /* one pair a block */
    GROUP_FAST,         /* 5,000 requests a second, blocks of 10 ms */
    GROUP_ERRORS,
    GROUP_PROMOTION, /* of an equal canary, and of one that is 10 % slower */
    GROUP_WALK,      /* the specification's: 200 requests, then 200 with 10 ms more */
    GROUP_STOPS,     /* what "GC by the clock" depends on: the rate, and what a pause costs */
    N_CELL_GROUPS
};

/* Requests by which a walk-through's alert is looked for. */
#define FIGURES_BY 3
extern const uint64_t plan_by[FIGURES_BY];

/* NAN: none was stated. */
struct stated {
    double naive, mean, tail, either; /* parts of the runs in which it fired */
    double median;                    /* requests until the verdict */
    double naive_median;
    double by[FIGURES_BY]; /* parts of the runs */
};

struct cell {
    enum cell_group group;
    const char *row;    /* "x 1.2" */
    const char *column; /* "normal 15/15"; "" in tables of one column */
    bool beyond_reach;  /* keeps no promise, or makes none */
    struct trial trial; /* figures are left to plan_measure */
    struct stated stated;
};

const char *plan_group_name(enum cell_group group); /* "false-alarms", ... */

/* All cells; group by group, row by row. The caller frees the array. */
struct cell *plan_new(size_t *n);

/* Fills the trials' figures, of the cells that are wanted. */
void plan_measure(struct cell *cells, size_t n, const bool *wanted);

#endif
