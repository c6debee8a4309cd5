/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * See judge.h. Between deployments a rule goes on counting what stable does,
 * so that the report always has stable's figures.
 */
#include "supervisor/judge.h"

#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "proto/board.h"
#include "supervisor/settings.h"

struct judge {
    const struct settings *settings;
    struct board *board;
    struct judge_listener listener;
    struct rule *rule;
    uint64_t deployment; /* tag of the memory on the board */
    bool active;
    bool fired;
    cJSON *frozen;       /* the report of a rollback nobody asked for, or NULL */
    uint64_t remembered; /* the deployment that memory is about; 0: none */
    size_t n_memory;
    uint8_t memory[RULE_COUNTS_MAX];
    uint64_t n_drawn;
};

#define GROUP 10 /* draws; the lot says no more yet */

static void start_rule(struct judge *j)
{
    struct rule_settings settings = rule_default_settings();
    settings.alpha = j->settings->alpha;
    settings.min_samples = (uint64_t)j->settings->min_samples;
    settings.clock[RULE_ROUND_TRIP].margin.absolute_ns = j->settings->margin_ms * (double)NS_PER_MS;
    settings.clock[RULE_ROUND_TRIP].margin.ratio = j->settings->margin_ratio;
    rule_free(&j->rule);
    j->rule = rule_new(&settings);
    rule_open_share(j->rule, ARM_STABLE, clock_mono_ns());
    j->fired = false;
}

/* Until there is a baseline to compare with, the textbook's test decides: p < alpha,
 * margin taken off the canary. */
static bool textbook_fires(const struct rule_report *r)
{
    const struct rule_settings *settings = &r->settings;
    struct moments canary =
        welch_take_margin(&r->round_trip[ARM_CANARY], &settings->clock[RULE_ROUND_TRIP].margin);
    struct welch w;
    return welch_test(&r->stable_version, &canary, WELCH_LEVEL, &w, NULL) == 0 &&
           r->stable_version.n >= settings->min_samples && canary.n >= settings->min_samples &&
           w.p_greater < settings->alpha;
}

static void look(const struct judge *j, struct rule_report *report)
{
    rule_look(j->rule, report);
    report->effect[RULE_ROUND_TRIP].n_samples[SIDE_REFERENCE] = report->stable_version.n;
    report->effect[RULE_ROUND_TRIP].n_samples[SIDE_CANARY] = report->round_trip[ARM_CANARY].n;
    report->verdict = VERDICT_NONE;
    if (report->has_welch)
        report->verdict = VERDICT_CONTINUE;
    if (!j->fired)
        return;
    report->verdict = VERDICT_ROLLBACK;
    report->test = "mean";
    report->clock = "round_trip";
}

struct judge *judge_new(const struct settings *settings, struct board *board,
                        const struct judge_listener *listener)
{
    struct judge *j = mem_alloc(sizeof *j);
    j->settings = settings;
    j->board = board;
    j->listener = *listener;
    start_rule(j);
    return j;
}

void judge_free(struct judge **j)
{
    if (*j == NULL)
        return;
    rule_free(&(*j)->rule);
    cJSON_Delete((*j)->frozen);
    free(*j);
    *j = NULL;
}

void judge_set_settings(struct judge *j, const struct settings *settings)
{
    j->settings = settings;
}

static void forget_report(struct judge *j)
{
    cJSON_Delete(j->frozen);
    j->frozen = NULL;
}

void judge_remember(struct judge *j, uint64_t deployment, const void *bytes, size_t n)
{
    if (n > sizeof j->memory)
        return;
    memcpy(j->memory, bytes, n);
    j->n_memory = n;
    j->remembered = deployment;
}

/* Whether the rule goes on with what the board remembered of this deployment. */
static bool resume_rule(struct judge *j, uint64_t deployment)
{
    if (j->remembered == 0 || j->remembered != deployment)
        return false;
    const struct rule_memory memory = {.counts = j->memory, .n_counts = j->n_memory};
    struct rule *rule = rule_restore(&memory);
    j->remembered = 0;
    if (rule == NULL) {
        log_warn("the board's memory of this deployment is of no use; evidence begins anew");
        return false;
    }
    rule_free(&j->rule);
    j->rule = rule;
    rule_open_share(j->rule, ARM_STABLE, clock_mono_ns());
    j->fired = false;
    return true;
}

/* After every sample: a supervisor that is killed loses none. */
static void save_rule(struct judge *j)
{
    uint8_t bytes[RULE_COUNTS_MAX];
    if (j->board != NULL)
        board_memo_write(j->board, j->deployment, bytes,
                         rule_save_counts(j->rule, bytes, sizeof bytes));
}

void judge_begin(struct judge *j, uint64_t deployment)
{
    if (!resume_rule(j, deployment))
        start_rule(j);
    forget_report(j);
    j->deployment = deployment;
    j->active = true;
    save_rule(j);
}

void judge_end(struct judge *j)
{
    start_rule(j);
    forget_report(j);
    j->active = false;
}

void judge_freeze(struct judge *j, const char *by, const char *alarm)
{
    struct health h = {.rolled_back_by = by, .alarm = alarm};
    look(j, &h.report);
    forget_report(j);
    j->frozen = health_to_json(&h);
    start_rule(j);
    j->active = false;
}

void judge_add_sample(struct judge *j, enum arm arm, int64_t round_trip_ns, int64_t service_ns)
{
    const struct rule_sample sample = {.outcome = OUTCOME_OK,
                                       .round_trip_ns = (uint64_t)round_trip_ns,
                                       .service_ns = (uint64_t)service_ns,
                                       .has_service = true};
    struct rule_report report;
    if (arm == ARM_BASELINE)
        arm = ARM_STABLE;
    if (!j->active) {
        if (arm == ARM_STABLE)
            rule_add_stable(j->rule, (uint64_t)round_trip_ns);
        return;
    }
    struct rule_ticket ticket = rule_draw(j->rule, arm, ++j->n_drawn % GROUP == 0, clock_mono_ns());
    rule_end_call(j->rule, &ticket, &sample);
    save_rule(j);
    if (j->fired)
        return;
    rule_look(j->rule, &report);
    if (textbook_fires(&report)) {
        j->fired = true;
        j->listener.bad(j->listener.arg);
    }
}

bool judge_has_fired(const struct judge *j)
{
    return j->active && j->fired;
}

cJSON *judge_health(const struct judge *j)
{
    struct health h = {.canary_active = j->active};
    if (j->frozen != NULL)
        return cJSON_Duplicate(j->frozen, true);
    look(j, &h.report);
    return health_to_json(&h);
}

const cJSON *judge_frozen_report(const struct judge *j)
{
    return j->frozen;
}

void judge_restore_report(struct judge *j, const cJSON *report)
{
    forget_report(j);
    j->frozen = cJSON_Duplicate(report, true);
}
