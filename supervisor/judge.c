/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * See judge.h. Between deployments a rule goes on counting what stable does,
 * so that the report always has stable's figures.
 */
#include "supervisor/judge.h"

#include <stdlib.h>
#include <stdio.h>

#include "common/clock.h"
#include "common/mem.h"
#include "judge/rule_welch.h"
#include "supervisor/settings.h"

struct judge {
    const struct settings *settings;
    struct judge_listener listener;
    struct rule *rule;
    bool active;
    bool fired;
    bool frozen;
    struct rule_report frozen_report;
    char by[16];
    char alarm[160];
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

struct judge *judge_new(const struct settings *settings, const struct judge_listener *listener)
{
    struct judge *j = mem_alloc(sizeof *j);
    *j = (struct judge){.settings = settings, .listener = *listener};
    start_rule(j);
    return j;
}

void judge_free(struct judge **j)
{
    if (*j == NULL)
        return;
    rule_free(&(*j)->rule);
    free(*j);
    *j = NULL;
}

void judge_set_settings(struct judge *j, const struct settings *settings)
{
    j->settings = settings;
}

void judge_begin(struct judge *j)
{
    start_rule(j);
    j->active = true;
    j->frozen = false;
}

void judge_end(struct judge *j)
{
    start_rule(j);
    j->active = false;
    j->frozen = false;
}

void judge_freeze(struct judge *j, const char *by, const char *alarm)
{
    rule_look(j->rule, &j->frozen_report);
    snprintf(j->by, sizeof j->by, "%s", by);
    snprintf(j->alarm, sizeof j->alarm, "%s", alarm != NULL ? alarm : "");
    start_rule(j);
    j->active = false;
    j->frozen = true;
}

void judge_add_sample(struct judge *j, enum arm arm, int64_t round_trip_ns, int64_t service_ns)
{
    struct rule_report report;
    rule_add_sample(j->rule, arm, (uint64_t)round_trip_ns, (uint64_t)service_ns);
    if (!j->active || j->fired)
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

void judge_health(const struct judge *j, struct health *h)
{
    *h = (struct health){.canary_active = j->active};
    if (!j->frozen) {
        rule_look(j->rule, &h->report);
        return;
    }
    h->rolled_back_by = j->by;
    h->alarm = j->alarm[0] != '\0' ? j->alarm : NULL;
    h->report = j->frozen_report;
}
