/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The guard's table of rows, for its own files. A new row is an entry of the
 * table in guard_rows.c, a name in enum rule_row, and a field of the state.
 */
#ifndef CANARYD_GUARD_PRIVATE_H
#define CANARYD_GUARD_PRIVATE_H

#include "judge/guard.h"

/* What a row is handed: a ripe block, and its comparison or NULL where a side has
 * no latency. */
struct weighing {
    const struct block *block;
    const struct comparison *latencies;
};

struct guard_row {
    const char *test;
    enum rule_clock clock; /* whose blocks it weighs */
    const char *clock_name;
    bool waits; /* for the first look at latencies */
    void (*weigh)(struct guard *g, enum rule_clock clock, const struct weighing *w);
    bool (*fires)(const struct guard *g, enum rule_clock clock);
    void (*describe)(const struct guard *g, enum rule_clock clock, struct rule_metric *out);
    enum guard_subject (*subject)(const struct guard *g, enum rule_clock clock);
};

const struct guard_row *guard_row(enum rule_row row);

/* A row's part of the settings' alpha. */
double guard_alpha(const struct guard *g, enum rule_row row);

/* The clock's row M. */
enum rule_row guard_mean_row(enum rule_clock clock);

/* Borrows from g. */
struct promotion_view guard_promotion_view(const struct guard *g, enum rule_clock clock);

/* Whether promotion asks this clock: one whose mean may not roll back must not
 * promote either, and need not; nor need one that has weighed nothing. */
bool guard_clock_counts(const struct guard *g, enum rule_clock clock);

#endif
