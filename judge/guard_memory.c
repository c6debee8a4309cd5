/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The guard's memory: merged, and looked over when it comes back; see guard.h.
 */
#include <math.h>

#include "judge/guard_private.h"

static uint64_t smaller_but_0(uint64_t a, uint64_t b)
{
    if (a == 0 || b == 0)
        return a > b ? a : b;
    return a < b ? a : b;
}

static void merge_clock(struct clock_evidence *into, const struct clock_evidence *from)
{
    for (int side = 0; side < N_SIDES; side++)
        moments_merge(&into->latency[side], &from->latency[side]);
    series_merge(&into->raw, &from->raw);
    series_merge(&into->mean.differences, &from->mean.differences);
    row_tail_merge(&into->tail, &from->tail);
    promotion_merge(&into->promotion, &from->promotion);
    into->first_look = smaller_but_0(into->first_look, from->first_look);
}

void guard_merge(struct guard_state *into, const struct guard_state *from)
{
    for (int clock = 0; clock < N_RULE_CLOCKS; clock++)
        merge_clock(&into->clock[clock], &from->clock[clock]);
    row_errors_merge(&into->errors, &from->errors);
    into->promoted_at = smaller_but_0(into->promoted_at, from->promoted_at);
    for (int row = 0; row < N_RULE_ROWS; row++)
        into->fired_at[row] = smaller_but_0(into->fired_at[row], from->fired_at[row]);
    if (into->verdict == 0) {
        into->verdict = from->verdict;
        into->subject = from->subject;
    }
}

static bool clock_is_sound(const struct clock_evidence *c)
{
    return series_is_sound(&c->raw) && series_is_sound(&c->mean.differences) &&
           row_tail_is_sound(&c->tail) && promotion_is_sound(&c->promotion) &&
           c->mean.differences.x.n == c->raw.x.n && c->first_look <= c->raw.x.n &&
           isfinite(c->latency[SIDE_REFERENCE].mean) && isfinite(c->latency[SIDE_REFERENCE].m2) &&
           isfinite(c->latency[SIDE_CANARY].mean) && isfinite(c->latency[SIDE_CANARY].m2);
}

bool guard_is_sound(const struct guard_state *s)
{
    bool sound = s->verdict <= N_RULE_ROWS && s->subject < N_SUBJECTS;
    for (int clock = 0; clock < N_RULE_CLOCKS; clock++)
        sound = sound && clock_is_sound(&s->clock[clock]);
    return sound && row_errors_is_sound(&s->errors) &&
           (s->verdict == 0 || s->fired_at[s->verdict - 1] > 0);
}
