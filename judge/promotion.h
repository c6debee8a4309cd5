/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The question turned round: is the canary shown not to be worse than a margin?
 * By the mean: the machinery of row M on D = (1 + margin) mean of the reference -
 * mean of the canary. By the tail: a bet that its slow answers (above c95) are
 * less than twice the reference's, g = (2 f_reference - f_canary) / 2. One of
 * these for each clock; what a canary needs beside them is the guard's to know.
 */
#ifndef CANARYD_PROMOTION_H
#define CANARYD_PROMOTION_H

#include <stdbool.h>
#include <stdint.h>

#include "judge/bet.h"
#include "judge/boundary.h"
#include "judge/comparison.h"
#include "judge/dependence.h"
#include "judge/rule_report.h"
#include "judge/welch.h"

/* Plain data; all zero is empty. */
struct promotion {
    struct series spare; /* D per block with the promotion's own margin, in ns */
    struct bet tail;
    uint64_t first_look; /* blocks at it; 0: there was none yet */
};

/* All that a look needs; borrowed. */
struct promotion_view {
    const struct promotion *promotion;
    const struct moments *latency;     /* [N_SIDES], weighed, in ns */
    const struct series *decisive;     /* the guard's differences, clock's margin taken off */
    const struct welch_margin *margin; /* of the clock: stands where it is the larger */
    const struct rule_settings *settings;
    const struct boundary *boundary; /* at promotion_alpha */
};

/* A block; parts: of the two sides above c95, or NULL while there is no c95. */
void promotion_weigh(struct promotion *p, double margin, const struct comparison *c,
                     const double parts[]);

/* Whether this clock shows both. Needs no distribution function while a bound
 * refuses. */
bool promotion_holds(const struct promotion_view *v);

/* Fills in what this clock shows by now. About 1 us. */
void promotion_look(const struct promotion_view *v, struct rule_promotion_clock *out);

/* By how many times the blocks so far must grow until an equal canary would be
 * shown to be one, both ways: at least 1; NAN where nothing can be foreseen. */
double promotion_growth_needed(const struct promotion_view *v);

void promotion_merge(struct promotion *into, const struct promotion *from);
bool promotion_is_sound(const struct promotion *p);

#endif
