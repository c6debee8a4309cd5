/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * See guard.h. A new row is an entry of the table and a field of the state.
 */
#include "judge/guard.h"

#include <math.h>

#include "judge/comparison.h"
#include "judge/paired.h"

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

/* --- Rows M ------------------------------------------------------------------*/

static void weigh_mean(struct guard *g, enum rule_clock clock, const struct weighing *w)
{
    if (w->latencies != NULL)
        row_mean_weigh(&g->state.clock[clock].mean, w->latencies->decisive);
}

static bool mean_fires(const struct guard *g, enum rule_clock clock)
{
    const struct clock_evidence *evidence = &g->state.clock[clock];
    return row_mean_fires(&evidence->mean, &g->mean[clock], evidence->first_look);
}

static void describe_mean(const struct guard *g, enum rule_clock clock, struct rule_metric *out)
{
    const struct clock_evidence *evidence = &g->state.clock[clock];
    row_mean_describe(&evidence->mean, &g->mean[clock], evidence->first_look, out);
}

static enum guard_subject subject_of_mean(const struct guard *g, enum rule_clock clock)
{
    (void)g;
    (void)clock;
    return SUBJECT_LATENCY;
}

/* --- The table ---------------------------------------------------------------*/

#define ROUND_TRIP RULE_ROUND_TRIP, "round_trip"
#define SERVICE    RULE_SERVICE, "service"
#define MEAN       true, weigh_mean, mean_fires, describe_mean, subject_of_mean

static const struct guard_row rows[N_RULE_ROWS] = {
    [ROW_MEAN] = {"mean", ROUND_TRIP, MEAN},
    [ROW_SERVICE_MEAN] = {"mean", SERVICE, MEAN},
};

static const char *const subjects[N_SUBJECTS] = {
    [SUBJECT_LATENCY] = "latency",
    [SUBJECT_TAIL] = "tail latency",
    [SUBJECT_ERRORS] = "error rate",
};

static double alpha_of(const struct rule_settings *settings, enum rule_row row)
{
    return settings->alpha * settings->row[row].part;
}

void guard_init(struct guard *g, const struct rule_settings *settings)
{
    static const enum rule_row mean_rows[N_RULE_CLOCKS] = {ROW_MEAN, ROW_SERVICE_MEAN};
    *g = (struct guard){.settings = *settings};
    for (int clock = 0; clock < N_RULE_CLOCKS; clock++) {
        double alpha = alpha_of(settings, mean_rows[clock]);
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

static void add_latencies(struct guard *g, enum rule_clock clock, const struct comparison *c)
{
    struct clock_evidence *evidence = &g->state.clock[clock];
    for (int side = 0; side < N_SIDES; side++)
        moments_merge(&evidence->latency[side], &c->side[side]);
    series_add(&evidence->raw, c->raw);
    if (evidence->first_look == 0 && may_look(g, evidence))
        evidence->first_look = evidence->raw.x.n;
}

static void look_at_row(struct guard *g, enum rule_row row, uint64_t draw)
{
    const struct guard_row *entry = &rows[row];
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

void guard_weigh(struct guard *g, enum rule_clock clock, const struct block *block)
{
    struct comparison c;
    struct weighing w = {.block = block};
    if (comparison_of(block, &g->settings.clock[clock].margin, &c)) {
        w.latencies = &c;
        add_latencies(g, clock, &c);
    }
    for (enum rule_row row = 0; row < N_RULE_ROWS; row++) {
        if (rows[row].test == NULL || rows[row].clock != clock)
            continue;
        rows[row].weigh(g, clock, &w);
        look_at_row(g, row, block->last_draw);
    }
}

/* --- Telling -----------------------------------------------------------------*/

static void describe_effect(const struct guard *g, enum rule_clock clock, struct rule_effect *out)
{
    const struct clock_evidence *evidence = &g->state.clock[clock];
    struct paired p = paired_of(&evidence->raw, evidence->first_look);
    *out = (struct rule_effect){
        .n_blocks = evidence->raw.x.n,
        .n_samples = {evidence->latency[SIDE_REFERENCE].n, evidence->latency[SIDE_CANARY].n},
        .difference = p.difference,
        .standard_error = p.standard_error,
        .interval_low = NAN,
        .interval_high = NAN,
        .minimum_detectable = paired_detectable(&p, &g->mean[clock]),
    };
    if (evidence->first_look == 0)
        return;
    struct interval interval = paired_interval(&p, &g->interval[clock]);
    out->interval_low = interval.low;
    out->interval_high = interval.high;
}

static void describe_row(const struct guard *g, enum rule_row row, struct rule_report *report)
{
    struct rule_metric *metric = &report->metrics[report->n_metrics++];
    *metric = (struct rule_metric){
        .row = row,
        .test = rows[row].test,
        .clock = rows[row].clock_name,
        .alpha = alpha_of(&g->settings, row),
        .observe = g->settings.row[row].observe,
        .fired_at = g->state.fired_at[row],
    };
    rows[row].describe(g, rows[row].clock, metric);
}

void guard_describe(const struct guard *g, struct rule_report *report)
{
    for (enum rule_clock clock = 0; clock < N_RULE_CLOCKS; clock++)
        describe_effect(g, clock, &report->effect[clock]);
    for (enum rule_row row = 0; row < N_RULE_ROWS; row++)
        if (rows[row].test != NULL)
            describe_row(g, row, report);
    if (g->state.verdict == 0)
        return;
    report->test = rows[g->state.verdict - 1].test;
    report->clock = rows[g->state.verdict - 1].clock_name;
    report->subject = subjects[g->state.subject];
}

bool guard_has_fired(const struct guard *g)
{
    return g->state.verdict > 0;
}

bool guard_has_looked(const struct guard *g)
{
    for (int clock = 0; clock < N_RULE_CLOCKS; clock++)
        if (g->state.clock[clock].first_look > 0)
            return true;
    return false;
}

/* --- Memory ------------------------------------------------------------------*/

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
    into->first_look = smaller_but_0(into->first_look, from->first_look);
}

void guard_merge(struct guard_state *into, const struct guard_state *from)
{
    for (int clock = 0; clock < N_RULE_CLOCKS; clock++)
        merge_clock(&into->clock[clock], &from->clock[clock]);
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
           c->mean.differences.x.n == c->raw.x.n && c->first_look <= c->raw.x.n &&
           isfinite(c->latency[SIDE_REFERENCE].mean) && isfinite(c->latency[SIDE_REFERENCE].m2) &&
           isfinite(c->latency[SIDE_CANARY].mean) && isfinite(c->latency[SIDE_CANARY].m2);
}

bool guard_is_sound(const struct guard_state *s)
{
    bool sound = s->verdict <= N_RULE_ROWS && s->subject < N_SUBJECTS;
    for (int clock = 0; clock < N_RULE_CLOCKS; clock++)
        sound = sound && clock_is_sound(&s->clock[clock]);
    return sound && (s->verdict == 0 ||
                     (rows[s->verdict - 1].test != NULL && s->fired_at[s->verdict - 1] > 0));
}
