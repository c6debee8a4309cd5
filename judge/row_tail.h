/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Row T of the guard: five bets (bet.h) on whether more of the canary's latencies
 * lie high, each on a difference g of the two sides of a block:
 *     score    s = clip((y - level) / spread, -1, 1); g = (mean s - mean s) / 2
 *     c50, c95, c99, max    g = part above the threshold - part above it
 * Level and thresholds come from the reference's past only: its histogram at
 * 32, 64, 128, ... latencies, its largest latency, and for the level a running
 * correction. The family is their mean.
 */
#ifndef CANARYD_ROW_TAIL_H
#define CANARYD_ROW_TAIL_H

#include <stdbool.h>
#include <stdint.h>

#include "common/histogram.h"
#include "judge/bet.h"
#include "judge/blocks.h"
#include "judge/rule_report.h"
#include "judge/welch.h"

enum tail_bet { TAIL_SCORE, TAIL_C50, TAIL_C95, TAIL_C99, TAIL_MAX, N_TAIL_BETS };

#define TAIL_FIRST 32 /* latencies of the reference before the first thresholds */

/* Where latencies are cut, in ns. */
struct tail_thresholds {
    double level;            /* B: the middle of the score */
    double spread;           /* c95 - c50, at least a millionth of a ns */
    double cut[N_TAIL_BETS]; /* of TAIL_C50 and on: above it counts */
};

/* Plain data; all zero is empty. */
struct row_tail {
    struct histogram reference;
    struct tail_thresholds at;
    uint64_t max_ns;     /* the reference's largest latency so far */
    uint64_t renewed_at; /* latencies at the last thresholds; 0: there are none yet */
    uint64_t is_fixed;   /* thresholds came from outside and stay */
    struct bet bet[N_TAIL_BETS];
};

/* Weighs a ripe block with latencies on both sides, the margin taken off the
 * canary's, and then learns from its reference. */
void row_tail_weigh(struct row_tail *row, const struct welch_margin *margin,
                    const struct block *block);

bool row_tail_fires(const struct row_tail *row, double alpha);

/* evidence and threshold: ln E of the family. */
void row_tail_describe(const struct row_tail *row, double alpha, struct rule_metric *out);

/* Whether the bulk of the latencies moved and not just their tail: the score or
 * c50 speak against the canary too. */
bool row_tail_is_shift(const struct row_tail *row);

/* The parts of a block's latencies, margin taken off the canary's, that lie above
 * c95 now. False while there are no thresholds. */
bool row_tail_slow_parts(const struct row_tail *row, const struct welch_margin *margin,
                         const struct block *block, double parts[N_SIDES]);

/* For comparison with other programs: bets begin now, with these thresholds (cut
 * of TAIL_MAX in whole ns), and keep them. */
void row_tail_set_thresholds(struct row_tail *row, const struct tail_thresholds *at);

/* Wealths multiply, histograms add; thresholds stay those of into if it has any. */
void row_tail_merge(struct row_tail *into, const struct row_tail *from);

bool row_tail_is_sound(const struct row_tail *row);

#endif
