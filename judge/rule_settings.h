/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What a rule may be told: how sure, how much slower is still well, how much of
 * alpha is whose.
 */
#ifndef CANARYD_RULE_SETTINGS_H
#define CANARYD_RULE_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "judge/arm.h"
#include "judge/welch.h"

/* The guard's rows: what is watched. */
enum rule_row { ROW_MEAN, ROW_SERVICE_MEAN, ROW_TAIL, ROW_SERVICE_TAIL, ROW_ERRORS, N_RULE_ROWS };

struct rule_clock_settings {
    int64_t block_ns; /* 0 or more: the least a block lasts */
    struct welch_margin margin;
};

struct rule_row_settings {
    double part;  /* of alpha: above 0; all rows together at most 1 */
    bool observe; /* its firing is told and is never the verdict */
};

struct rule_settings {
    double alpha;         /* above 0, below 1: chance of ever rolling back an equal canary */
    uint64_t min_samples; /* weighed, of each side, before latencies are looked at; below 2 is 2 */
    struct rule_clock_settings clock[N_RULE_CLOCKS];
    struct rule_row_settings row[N_RULE_ROWS];
    double promotion_alpha;         /* chance of promoting a canary as bad as the margin */
    double promotion_margin;        /* above 0: of the baseline's mean */
    uint64_t promotion_min_samples; /* weighed, of the canary, before the first look */
};

/* alpha .05, 36 samples; 50 ms, .1 ms and 20 % for round trips, 10 ms, .01 ms and
 * 5 % for service times; parts .25, .25, .15, .15, .10 (the rest is kept for
 * output drift); promotion .05, 10 %, 200 samples. */
struct rule_settings rule_default_settings(void);

/* "mean", "service-mean", "tail", "service-tail", "errors": for settings. */
const char *rule_row_name(enum rule_row row);

/* Marks the rows that a list names, with commas between them; "" names none. False
 * when a name is none of theirs (an empty one too); the marks are unspecified then. */
bool rule_read_rows(const char *list, bool marks[N_RULE_ROWS]);

/* The row of that name among the n characters at name, or N_RULE_ROWS. */
enum rule_row rule_row_by_name(const char *name, size_t n);

#endif
