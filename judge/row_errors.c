/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * See row_errors.h.
 */
#include "judge/row_errors.h"

#include <math.h>

static double failed_part(const struct block_side *side)
{
    return (double)side->n_failed / (double)side->n_ended;
}

void row_errors_weigh(struct row_errors *row, const struct block *block)
{
    const struct block_side *reference = &block->side[SIDE_REFERENCE];
    const struct block_side *canary = &block->side[SIDE_CANARY];
    if (reference->n_ended == 0 || canary->n_ended == 0)
        return;
    bet_add(&row->bet, failed_part(canary) - failed_part(reference));
    for (int side = 0; side < N_SIDES; side++) {
        row->n_ended[side] += block->side[side].n_ended;
        row->n_failed[side] += block->side[side].n_failed;
    }
}

bool row_errors_fire(const struct row_errors *row, double alpha)
{
    double threshold = bet_threshold(alpha);
    return bet_upper_bound(&row->bet) >= threshold && bet_ln_e(&row->bet) >= threshold;
}

void row_errors_describe(const struct row_errors *row, double alpha, struct rule_metric *out)
{
    out->basis = (struct rule_basis){
        .n_blocks = row->bet.g.x.n, .n_bets = 1, .bets = {bet_basis(&row->bet)}};
    out->threshold = bet_threshold(alpha);
    out->evidence = row->bet.g.x.n > 0 ? bet_ln_e(&row->bet) : NAN;
    out->anytime_p_value = row->bet.g.x.n > 0 ? bet_anytime_p(out->evidence) : NAN;
}

bool row_errors_are_even(const struct row_errors *row)
{
    return row->n_failed[SIDE_CANARY] == 0 ||
           (double)row->n_failed[SIDE_CANARY] * (double)row->n_ended[SIDE_REFERENCE] <=
               (double)row->n_failed[SIDE_REFERENCE] * (double)row->n_ended[SIDE_CANARY];
}

void row_errors_merge(struct row_errors *into, const struct row_errors *from)
{
    bet_merge(&into->bet, &from->bet);
    for (int side = 0; side < N_SIDES; side++) {
        into->n_ended[side] += from->n_ended[side];
        into->n_failed[side] += from->n_failed[side];
    }
}

bool row_errors_is_sound(const struct row_errors *row)
{
    return bet_is_sound(&row->bet) &&
           row->n_failed[SIDE_REFERENCE] <= row->n_ended[SIDE_REFERENCE] &&
           row->n_failed[SIDE_CANARY] <= row->n_ended[SIDE_CANARY];
}
