/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * See guard.h: blocks are weighed and looked at.
 */
#include "judge/comparison.h"
#include "judge/guard_private.h"

double guard_alpha(const struct guard *g, enum rule_row row)
{
    return g->settings.alpha * g->settings.row[row].part;
}

enum rule_row guard_mean_row(enum rule_clock clock)
{
    return clock == RULE_SERVICE ? ROW_SERVICE_MEAN : ROW_MEAN;
}

void guard_init(struct guard *g, const struct rule_settings *settings)
{
    *g = (struct guard){.settings = *settings};
    g->promotion = boundary_of(settings->promotion_alpha);
    for (enum rule_clock clock = 0; clock < N_RULE_CLOCKS; clock++) {
        double alpha = guard_alpha(g, guard_mean_row(clock));
        g->mean[clock] = boundary_of(alpha);
        g->interval[clock] = boundary_of(alpha / 2);
    }
}

/* --- Weighing ----------------------------------------------------------------*/

static bool may_look(const struct guard *g, const struct clock_evidence *evidence)
{
    return evidence->latency[SIDE_REFERENCE].n >= g->settings.min_samples &&
           evidence->latency[SIDE_CANARY].n >= g->settings.min_samples &&
           evidence->raw.x.n >= GUARD_MIN_BLOCKS;
}

static void add_latencies(struct guard *g, enum rule_clock clock, const struct weighing *w)
{
    struct clock_evidence *evidence = &g->state.clock[clock];
    const struct comparison *c = w->latencies;
    for (int side = 0; side < N_SIDES; side++)
        moments_merge(&evidence->latency[side], &c->side[side]);
    series_add(&evidence->raw, c->raw);
    if (evidence->first_look == 0 && may_look(g, evidence))
        evidence->first_look = evidence->raw.x.n;
}

/* Before the rows: row T learns from the block, and it must be cut by the past. */
static void weigh_promotion(struct guard *g, enum rule_clock clock, const struct weighing *w)
{
    struct clock_evidence *evidence = &g->state.clock[clock];
    struct promotion *promotion = &evidence->promotion;
    double parts[N_SIDES];
    bool has_parts =
        row_tail_slow_parts(&evidence->tail, &g->settings.clock[clock].margin, w->block, parts);
    promotion_weigh(promotion, g->settings.promotion_margin, w->latencies,
                    has_parts ? parts : NULL);
    if (promotion->first_look == 0 && promotion->spare.x.n >= GUARD_MIN_BLOCKS &&
        evidence->latency[SIDE_CANARY].n >= g->settings.promotion_min_samples)
        promotion->first_look = promotion->spare.x.n;
}

static void look_at_row(struct guard *g, enum rule_row row, uint64_t draw)
{
    const struct guard_row *entry = guard_row(row);
    struct guard_state *s = &g->state;
    bool may = !entry->waits || s->clock[entry->clock].first_look > 0;
    if (!may || s->fired_at[row] > 0 || !entry->fires(g, entry->clock))
        return;
    s->fired_at[row] = draw;
    if (s->verdict > 0 || g->settings.row[row].observe)
        return;
    s->verdict = (uint64_t)row + 1;
    s->subject = entry->subject(g, entry->clock);
}

struct promotion_view guard_promotion_view(const struct guard *g, enum rule_clock clock)
{
    const struct clock_evidence *evidence = &g->state.clock[clock];
    return (struct promotion_view){.promotion = &evidence->promotion,
                                   .latency = evidence->latency,
                                   .decisive = &evidence->mean.differences,
                                   .margin = &g->settings.clock[clock].margin,
                                   .settings = &g->settings,
                                   .boundary = &g->promotion};
}

bool guard_clock_counts(const struct guard *g, enum rule_clock clock)
{
    return !g->settings.row[guard_mean_row(clock)].observe && g->state.clock[clock].raw.x.n > 0;
}

/* Cheap refusals first: nearly every look ends at one. */
static bool promotion_is_shown(const struct guard *g)
{
    bool any = false;
    for (enum rule_clock clock = 0; clock < N_RULE_CLOCKS; clock++)
        if (guard_clock_counts(g, clock) && g->state.clock[clock].promotion.first_look == 0)
            return false;
    for (enum rule_clock clock = 0; clock < N_RULE_CLOCKS; clock++) {
        struct promotion_view view = guard_promotion_view(g, clock);
        if (!guard_clock_counts(g, clock))
            continue;
        if (!promotion_holds(&view))
            return false;
        any = true;
    }
    return any;
}

static void look_at_promotion(struct guard *g, uint64_t draw)
{
    struct guard_state *s = &g->state;
    if (s->promoted_at == 0 && s->verdict == 0 && row_errors_are_even(&s->errors) &&
        promotion_is_shown(g))
        s->promoted_at = draw;
}

void guard_weigh(struct guard *g, enum rule_clock clock, const struct block *block)
{
    struct comparison c;
    struct weighing w = {.block = block};
    if (comparison_of(block, &g->settings.clock[clock].margin, &c)) {
        w.latencies = &c;
        add_latencies(g, clock, &w);
        weigh_promotion(g, clock, &w);
    }
    for (enum rule_row row = 0; row < N_RULE_ROWS; row++) {
        if (guard_row(row)->clock != clock)
            continue;
        guard_row(row)->weigh(g, clock, &w);
        look_at_row(g, row, block->last_draw);
    }
    if (w.latencies != NULL)
        look_at_promotion(g, block->last_draw);
}

bool guard_has_fired(const struct guard *g)
{
    return g->state.verdict > 0;
}

bool guard_has_promoted(const struct guard *g)
{
    return g->state.promoted_at > 0;
}

bool guard_has_looked(const struct guard *g)
{
    for (int clock = 0; clock < N_RULE_CLOCKS; clock++)
        if (g->state.clock[clock].first_look > 0)
            return true;
    return false;
}
