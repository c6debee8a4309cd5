/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The guard: a table of rows, each of which watches one thing with a part of
 * alpha of its own. Any row that fires is the verdict; the union bound makes the
 * sum of the parts hold. Looks are taken at the end of each block.
 */
#ifndef CANARYD_GUARD_H
#define CANARYD_GUARD_H

#include <stdbool.h>
#include <stdint.h>

#include "judge/blocks.h"
#include "judge/boundary.h"
#include "judge/dependence.h"
#include "judge/promotion.h"
#include "judge/row_errors.h"
#include "judge/row_mean.h"
#include "judge/row_tail.h"
#include "judge/rule_report.h"
#include "judge/rule_settings.h"

#define GUARD_MIN_BLOCKS 12 /* before latencies are looked at */

/* What one clock's blocks have said. */
struct clock_evidence {
    struct moments latency[N_SIDES]; /* weighed, raw, in ns */
    struct series raw;               /* the blocks' differences, margin not taken off */
    uint64_t first_look;             /* blocks at it; 0: there was none yet */
    struct row_mean mean;
    struct row_tail tail;
    struct promotion promotion;
};

/* Plain data without pointers: it is written down and restored. All zero is empty. */
struct guard_state {
    struct clock_evidence clock[N_RULE_CLOCKS];
    struct row_errors errors;
    uint64_t fired_at[N_RULE_ROWS]; /* last draw of the block at which it first did, or 0 */
    uint64_t verdict;               /* the row that gave it, from 1; 0: there is none */
    uint64_t subject;               /* enum guard_subject of the verdict */
    uint64_t promoted_at;           /* as fired_at */
};

/* What a verdict says is higher. */
enum guard_subject { SUBJECT_LATENCY, SUBJECT_TAIL, SUBJECT_ERRORS, N_SUBJECTS };

struct guard {
    struct rule_settings settings;
    struct boundary mean[N_RULE_CLOCKS];     /* of rows M */
    struct boundary interval[N_RULE_CLOCKS]; /* at half their alpha */
    struct boundary promotion;
    struct guard_state state;
};

/* Computes the boundaries; about 50 us. */
void guard_init(struct guard *g, const struct rule_settings *settings);

/* Weighs a ripe block of that clock and looks. */
void guard_weigh(struct guard *g, enum rule_clock clock, const struct block *block);

/* Fills in metrics, effects, promotion and which row gave the verdict. */
void guard_describe(const struct guard *g, struct rule_report *report);

/* By how many times what was weighed must grow until the present effect fires a
 * row M, or until an equal canary would be promoted; at least 1, NAN where nothing can be
 * foreseen. */
double guard_growth_to_rollback(const struct guard *g);
double guard_growth_to_promotion(const struct guard *g);

bool guard_has_fired(const struct guard *g);
bool guard_has_promoted(const struct guard *g);

/* Whether the latencies of any clock have been looked at. */
bool guard_has_looked(const struct guard *g);

/* Adds what a replica's guard with the same settings has seen. */
void guard_merge(struct guard_state *into, const struct guard_state *from);

/* Whether bytes from outside may be a state. */
bool guard_is_sound(const struct guard_state *s);

#endif
