/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What one block says: the moments of its two sides and the differences of
 * their means. Load that both had to bear cancels in it.
 */
#ifndef CANARYD_COMPARISON_H
#define CANARYD_COMPARISON_H

#include <stdbool.h>

#include "common/moments.h"
#include "judge/blocks.h"
#include "judge/welch.h"

struct comparison {
    struct moments side[N_SIDES]; /* raw, in ns */
    double raw;                   /* mean of the canary - mean of the reference, in ns */
    double decisive;              /* the same with the margin taken off the canary */
};

/* Compares a ripe block. False, and *out untouched, when a side has no latency:
 * then the block says nothing about them. */
bool comparison_of(const struct block *block, const struct welch_margin *margin,
                   struct comparison *out);

#endif
