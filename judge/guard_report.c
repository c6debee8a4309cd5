/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What the guard tells; see guard.h.
 */
#include <math.h>

#include "judge/guard_private.h"
#include "judge/paired.h"

static const char *const subjects[N_SUBJECTS] = {
    [SUBJECT_LATENCY] = "latency",
    [SUBJECT_TAIL] = "tail latency",
    [SUBJECT_ERRORS] = "error rate",
};

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
        .interval_level = 1 - g->mean[clock].alpha,
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
        .test = guard_row(row)->test,
        .clock = guard_row(row)->clock_name,
        .alpha = guard_alpha(g, row),
        .observe = g->settings.row[row].observe,
        .fired_at = g->state.fired_at[row],
    };
    guard_row(row)->describe(g, guard_row(row)->clock, metric);
}

static void describe_promotion(const struct guard *g, struct rule_promotion *out)
{
    for (enum rule_clock clock = 0; clock < N_RULE_CLOCKS; clock++) {
        struct promotion_view view = guard_promotion_view(g, clock);
        promotion_look(&view, &out->clock[clock]);
        out->clock[clock].counts = guard_clock_counts(g, clock);
    }
    out->errors_are_fine = row_errors_are_even(&g->state.errors);
    out->promoted_at = g->state.promoted_at;
}

void guard_describe(const struct guard *g, struct rule_report *report)
{
    for (enum rule_clock clock = 0; clock < N_RULE_CLOCKS; clock++)
        describe_effect(g, clock, &report->effect[clock]);
    for (enum rule_row row = 0; row < N_RULE_ROWS; row++)
        describe_row(g, row, report);
    describe_promotion(g, &report->promotion);
    if (g->state.verdict == 0)
        return;
    const struct guard_row *row = guard_row((enum rule_row)(g->state.verdict - 1));
    report->test = row->test;
    report->clock = row->clock_name;
    report->subject = subjects[g->state.subject];
}

double guard_growth_to_rollback(const struct guard *g)
{
    double least = NAN;
    for (enum rule_clock clock = 0; clock < N_RULE_CLOCKS; clock++) {
        const struct clock_evidence *evidence = &g->state.clock[clock];
        struct paired p = paired_of(&evidence->mean.differences, evidence->first_look);
        if (evidence->first_look > 0 && guard_clock_counts(g, clock))
            least = fmin(least, paired_growth_needed(&p, &g->mean[clock])); /* NAN is ignored */
    }
    return least;
}

double guard_growth_to_promotion(const struct guard *g)
{
    double most = NAN;
    for (enum rule_clock clock = 0; clock < N_RULE_CLOCKS; clock++) {
        struct promotion_view view = guard_promotion_view(g, clock);
        double growth = guard_clock_counts(g, clock) ? promotion_growth_needed(&view) : 1;
        if (isnan(growth))
            return NAN;
        most = guard_clock_counts(g, clock) ? fmax(most, growth) : most;
    }
    return most;
}
