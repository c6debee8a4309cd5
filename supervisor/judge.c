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
#include "judge/rule_welch.h"
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
    uint8_t memory[RULE_MEMORY_MAX];
};

static void start_rule(struct judge *j)
{
    const struct rule_settings settings = {
        .alpha = j->settings->alpha,
        .min_samples = (uint64_t)j->settings->min_samples,
        .margin = {.absolute_ns = j->settings->margin_ms * (double)NS_PER_MS,
                   .ratio = j->settings->margin_ratio},
    };
    rule_free(&j->rule);
    j->rule = rule_new(&rule_welch, &settings);
    j->fired = false;
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
    struct rule *rule = rule_restore(&rule_welch, j->memory, j->n_memory);
    j->remembered = 0;
    if (rule == NULL) {
        log_warn("the board's memory of this deployment is of no use; evidence begins anew");
        return false;
    }
    rule_free(&j->rule);
    j->rule = rule;
    j->fired = false;
    return true;
}

/* After every sample: a supervisor that is killed loses none. */
static void save_rule(struct judge *j)
{
    uint8_t bytes[RULE_MEMORY_MAX];
    if (j->board != NULL)
        board_memo_write(j->board, j->deployment, bytes, rule_save(j->rule, bytes, sizeof bytes));
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
    rule_look(j->rule, &h.report);
    forget_report(j);
    j->frozen = health_to_json(&h);
    start_rule(j);
    j->active = false;
}

void judge_add_sample(struct judge *j, enum arm arm, int64_t round_trip_ns, int64_t service_ns)
{
    struct rule_report report;
    rule_add_sample(j->rule, arm == ARM_BASELINE ? ARM_STABLE : arm, (uint64_t)round_trip_ns,
                    (uint64_t)service_ns);
    if (!j->active)
        return;
    save_rule(j);
    if (j->fired)
        return;
    rule_look(j->rule, &report);
    if (report.verdict == VERDICT_ROLLBACK) {
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
    rule_look(j->rule, &h.report);
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
