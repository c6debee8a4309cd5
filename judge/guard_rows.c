/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The table of rows; see guard_private.h.
 */
#include "judge/guard_private.h"

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

/* --- Rows T ------------------------------------------------------------------*/

static double tail_alpha(const struct guard *g, enum rule_clock clock)
{
    return guard_alpha(g, clock == RULE_SERVICE ? ROW_SERVICE_TAIL : ROW_TAIL);
}

static void weigh_tail(struct guard *g, enum rule_clock clock, const struct weighing *w)
{
    if (w->latencies != NULL)
        row_tail_weigh(&g->state.clock[clock].tail, &g->settings.clock[clock].margin, w->block);
}

static bool tail_fires(const struct guard *g, enum rule_clock clock)
{
    return row_tail_fires(&g->state.clock[clock].tail, tail_alpha(g, clock));
}

static void describe_tail(const struct guard *g, enum rule_clock clock, struct rule_metric *out)
{
    row_tail_describe(&g->state.clock[clock].tail, tail_alpha(g, clock), out);
}

static enum guard_subject subject_of_tail(const struct guard *g, enum rule_clock clock)
{
    return row_tail_is_shift(&g->state.clock[clock].tail) ? SUBJECT_LATENCY : SUBJECT_TAIL;
}

/* --- Row E -------------------------------------------------------------------*/

static void weigh_errors(struct guard *g, enum rule_clock clock, const struct weighing *w)
{
    (void)clock;
    row_errors_weigh(&g->state.errors, w->block);
}

static bool errors_fire(const struct guard *g, enum rule_clock clock)
{
    (void)clock;
    return row_errors_fire(&g->state.errors, guard_alpha(g, ROW_ERRORS));
}

static void describe_errors(const struct guard *g, enum rule_clock clock, struct rule_metric *out)
{
    (void)clock;
    row_errors_describe(&g->state.errors, guard_alpha(g, ROW_ERRORS), out);
}

static enum guard_subject subject_of_errors(const struct guard *g, enum rule_clock clock)
{
    (void)g;
    (void)clock;
    return SUBJECT_ERRORS;
}

/* --- The table ---------------------------------------------------------------*/

#define ROUND_TRIP RULE_ROUND_TRIP, "round_trip"
#define SERVICE    RULE_SERVICE, "service"
#define MEAN       true, weigh_mean, mean_fires, describe_mean, subject_of_mean
#define TAIL       true, weigh_tail, tail_fires, describe_tail, subject_of_tail
#define ERRORS     false, weigh_errors, errors_fire, describe_errors, subject_of_errors

static const struct guard_row rows[N_RULE_ROWS] = {
    [ROW_MEAN] = {"mean", ROUND_TRIP, MEAN},
    [ROW_SERVICE_MEAN] = {"mean", SERVICE, MEAN},
    [ROW_TAIL] = {"tail", ROUND_TRIP, TAIL},
    [ROW_SERVICE_TAIL] = {"tail", SERVICE, TAIL},
    [ROW_ERRORS] = {"errors", RULE_SERVICE, NULL, ERRORS},
};

const struct guard_row *guard_row(enum rule_row row)
{
    return &rows[row];
}
