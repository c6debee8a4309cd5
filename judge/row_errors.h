/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Row E of the guard: does more of what the canary is asked fail (faults,
 * timeouts, deaths)? A bet on each block's difference of the failed parts. No
 * minimum of samples: eleven blocks in which only the canary fails suffice.
 */
#ifndef CANARYD_ROW_ERRORS_H
#define CANARYD_ROW_ERRORS_H

#include <stdbool.h>
#include <stdint.h>

#include "judge/bet.h"
#include "judge/blocks.h"
#include "judge/rule_report.h"

/* Plain data; all zero is empty. */
struct row_errors {
    struct bet bet;
    uint64_t n_ended[N_SIDES]; /* calls in the blocks that were weighed */
    uint64_t n_failed[N_SIDES];
};

/* A ripe block; one in which a side has no call that ended says nothing. */
void row_errors_weigh(struct row_errors *row, const struct block *block);

bool row_errors_fire(const struct row_errors *row, double alpha);

/* evidence and threshold: ln E. */
void row_errors_describe(const struct row_errors *row, double alpha, struct rule_metric *out);

/* Whether no larger part of the canary's calls failed than of the reference's. */
bool row_errors_are_even(const struct row_errors *row);

void row_errors_merge(struct row_errors *into, const struct row_errors *from);
bool row_errors_is_sound(const struct row_errors *row);

#endif
