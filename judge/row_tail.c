/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * See row_tail.h. The margin is put on the thresholds instead of taken off each
 * latency: (y - absolute) / (1 + ratio) > c is y > c (1 + ratio) + absolute.
 */
#include "judge/row_tail.h"

#include <math.h>

_Static_assert(N_TAIL_BETS <= RULE_MAX_BETS, "a report has room for all bets");

#define MIN_SPREAD_NS 1e-6
#define CORRECTION    0.25 /* of the mean score: how fast the level follows */

/* --- Bets --------------------------------------------------------------------*/

static struct tail_thresholds with_margin(const struct tail_thresholds *at,
                                          const struct welch_margin *margin)
{
    struct tail_thresholds moved = {
        .level = at->level * (1 + margin->ratio) + margin->absolute_ns,
        .spread = at->spread * (1 + margin->ratio),
    };
    for (int i = TAIL_C50; i < N_TAIL_BETS; i++)
        moved.cut[i] = at->cut[i] * (1 + margin->ratio) + margin->absolute_ns;
    return moved;
}

/* A side's mean score and its parts above the cuts. */
static void measure(const struct block_side *side, const struct tail_thresholds *at,
                    double mean[N_TAIL_BETS])
{
    double score = 0;
    uint64_t n_above[N_TAIL_BETS] = {0};
    double scale = 1 / at->spread;
    for (size_t i = 0; i < side->n_latencies; i++) {
        double y = (double)side->latency_ns[i];
        score += fmin(fmax((y - at->level) * scale, -1), 1);
        for (int k = TAIL_C50; k < N_TAIL_BETS; k++)
            n_above[k] += y > at->cut[k];
    }
    mean[TAIL_SCORE] = score / (double)side->n_latencies;
    for (int k = TAIL_C50; k < N_TAIL_BETS; k++)
        mean[k] = (double)n_above[k] / (double)side->n_latencies;
}

static void bet_on(struct row_tail *row, const struct welch_margin *margin,
                   const struct block *block)
{
    struct tail_thresholds for_canary = with_margin(&row->at, margin);
    double reference[N_TAIL_BETS];
    double canary[N_TAIL_BETS];
    measure(&block->side[SIDE_REFERENCE], &row->at, reference);
    measure(&block->side[SIDE_CANARY], &for_canary, canary);
    bet_add(&row->bet[TAIL_SCORE], (canary[TAIL_SCORE] - reference[TAIL_SCORE]) / 2);
    for (int k = TAIL_C50; k < N_TAIL_BETS; k++)
        bet_add(&row->bet[k], canary[k] - reference[k]);
    row->at.level += row->at.spread * reference[TAIL_SCORE] * CORRECTION;
}

/* --- Thresholds --------------------------------------------------------------*/

/* The level is set once: later it follows by itself. */
static void renew(struct row_tail *row)
{
    double c50 = histogram_quantile(&row->reference, 0.50);
    if (row->renewed_at == 0)
        row->at.level = c50;
    row->renewed_at = row->reference.n;
    row->at.cut[TAIL_C50] = c50;
    row->at.cut[TAIL_C95] = histogram_quantile(&row->reference, 0.95);
    row->at.cut[TAIL_C99] = histogram_quantile(&row->reference, 0.99);
    row->at.spread = fmax(row->at.cut[TAIL_C95] - c50, MIN_SPREAD_NS);
}

/* The next of 32, 64, 128, ... after n; nobody gets to the last. */
static uint64_t next_renewal(uint64_t n)
{
    uint64_t next = TAIL_FIRST;
    while (next <= n && next < UINT64_MAX / 2)
        next *= 2;
    return next;
}

static void learn(struct row_tail *row, const struct block_side *reference)
{
    for (size_t i = 0; i < reference->n_latencies; i++) {
        histogram_add(&row->reference, reference->latency_ns[i]);
        if (reference->latency_ns[i] > row->max_ns)
            row->max_ns = reference->latency_ns[i];
    }
    row->at.cut[TAIL_MAX] = (double)row->max_ns;
    if (row->is_fixed == 0 && row->reference.n >= next_renewal(row->renewed_at))
        renew(row);
}

void row_tail_set_thresholds(struct row_tail *row, const struct tail_thresholds *at)
{
    row->at = *at;
    row->max_ns = (uint64_t)at->cut[TAIL_MAX];
    row->is_fixed = 1;
    for (int i = 0; i < N_TAIL_BETS; i++)
        row->bet[i] = (struct bet){0};
}

static bool has_thresholds(const struct row_tail *row)
{
    return row->renewed_at > 0 || row->is_fixed != 0;
}

/* --- The row -----------------------------------------------------------------*/

void row_tail_weigh(struct row_tail *row, const struct welch_margin *margin,
                    const struct block *block)
{
    if (has_thresholds(row))
        bet_on(row, margin, block);
    learn(row, &block->side[SIDE_REFERENCE]);
}

static double family(const struct row_tail *row)
{
    double ln_e[N_TAIL_BETS];
    for (int i = 0; i < N_TAIL_BETS; i++)
        ln_e[i] = bet_ln_e(&row->bet[i]);
    return bet_family(ln_e, N_TAIL_BETS);
}

bool row_tail_fires(const struct row_tail *row, double alpha)
{
    double threshold = bet_threshold(alpha);
    double bound = bet_upper_bound(&row->bet[0]);
    for (int i = 1; i < N_TAIL_BETS; i++)
        bound = fmax(bound, bet_upper_bound(&row->bet[i]));
    return bound >= threshold && family(row) >= threshold;
}

void row_tail_describe(const struct row_tail *row, double alpha, struct rule_metric *out)
{
    bool has_begun = row->bet[0].g.x.n > 0;
    out->basis = (struct rule_basis){.n_blocks = row->bet[0].g.x.n, .n_bets = N_TAIL_BETS};
    for (int i = 0; i < N_TAIL_BETS; i++)
        out->basis.bets[i] = bet_basis(&row->bet[i]);
    out->threshold = bet_threshold(alpha);
    out->evidence = has_begun ? family(row) : NAN;
    out->anytime_p_value = has_begun ? bet_anytime_p(out->evidence) : NAN;
}

bool row_tail_is_shift(const struct row_tail *row)
{
    return bet_ln_e(&row->bet[TAIL_SCORE]) > 0 || bet_ln_e(&row->bet[TAIL_C50]) > 0;
}

static double part_above(const struct block_side *side, double cut)
{
    uint64_t n = 0;
    for (size_t i = 0; i < side->n_latencies; i++)
        n += (double)side->latency_ns[i] > cut;
    return (double)n / (double)side->n_latencies;
}

bool row_tail_slow_parts(const struct row_tail *row, const struct welch_margin *margin,
                         const struct block *block, double parts[N_SIDES])
{
    struct tail_thresholds for_canary = with_margin(&row->at, margin);
    if (!has_thresholds(row))
        return false;
    parts[SIDE_REFERENCE] = part_above(&block->side[SIDE_REFERENCE], row->at.cut[TAIL_C95]);
    parts[SIDE_CANARY] = part_above(&block->side[SIDE_CANARY], for_canary.cut[TAIL_C95]);
    return true;
}

/* --- Memory ------------------------------------------------------------------*/

void row_tail_merge(struct row_tail *into, const struct row_tail *from)
{
    if (!has_thresholds(into)) {
        into->at = from->at;
        into->renewed_at = from->renewed_at;
        into->is_fixed = from->is_fixed;
    }
    histogram_merge(&into->reference, &from->reference);
    into->max_ns = into->max_ns > from->max_ns ? into->max_ns : from->max_ns;
    into->at.cut[TAIL_MAX] = (double)into->max_ns;
    for (int i = 0; i < N_TAIL_BETS; i++)
        bet_merge(&into->bet[i], &from->bet[i]);
}

static bool histogram_is_sound(const struct histogram *h)
{
    uint64_t n = 0;
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++)
        n += h->count[i];
    return n == h->n;
}

bool row_tail_is_sound(const struct row_tail *row)
{
    bool sound = histogram_is_sound(&row->reference) && row->renewed_at <= row->reference.n &&
                 isfinite(row->at.level) && isfinite(row->at.spread) &&
                 (!has_thresholds(row) || row->at.spread > 0);
    for (int i = 0; i < N_TAIL_BETS; i++)
        sound = sound && isfinite(row->at.cut[i]) && bet_is_sound(&row->bet[i]);
    return sound;
}
