/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * See replay.h.
 */
#include "ctl/replay.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"
#include "judge/health.h"
#include "judge/report_json.h"
#include "judge/urn.h"

struct replay {
    struct rule *rule;
    struct urn urn; /* drawn only to know where its groups end */
    FILE *out;
    double percent;
    bool has_groups;
    enum arm reference;
    int64_t opened_ns, now_ns; /* the present segment's beginning; the last draw */
    uint64_t n_requests;
    enum verdict verdict; /* the last one told */
};

/* As the server does: a new urn, and no block goes on. */
static void open_share(struct replay *r)
{
    r->opened_ns = r->now_ns;
    urn_set_share(&r->urn, r->percent, r->reference == ARM_BASELINE);
    rule_open_share(r->rule, r->reference, r->now_ns);
}

struct replay *replay_new(const struct replay_settings *settings, FILE *out)
{
    struct replay *r = mem_alloc(sizeof *r);
    struct rule_settings rule = settings->rule;
    for (int clock = 0; clock < N_RULE_CLOCKS && !settings->has_time; clock++)
        rule.clock[clock].block_ns = 0;
    r->rule = rule_new(&rule);
    r->out = out;
    r->percent = settings->percent;
    r->has_groups = settings->has_groups;
    r->reference = settings->reference;
    r->verdict = VERDICT_NONE;
    rng_seed(&r->urn.rng, 1);
    open_share(r);
    return r;
}

void replay_free(struct replay **r)
{
    if (*r == NULL)
        return;
    rule_free(&(*r)->rule);
    free(*r);
    *r = NULL;
}

static void print_line(FILE *out, cJSON *line)
{
    char *text = cJSON_PrintUnformatted(line);
    fprintf(out, "%s\n", text);
    cJSON_free(text);
    cJSON_Delete(line);
}

static bool is_decisive(const struct rule_metric *m, const struct rule_report *report)
{
    bool same_clock = m->clock == report->clock || (m->clock != NULL && report->clock != NULL &&
                                                    strcmp(m->clock, report->clock) == 0);
    return report->test != NULL && strcmp(m->test, report->test) == 0 && same_clock;
}

/* The metric that the verdict is of, as the health report has it. */
static void add_metric(cJSON *line, const struct rule_report *report)
{
    size_t i = 0;
    while (i < report->n_metrics && !is_decisive(&report->metrics[i], report))
        i++;
    if (i == report->n_metrics)
        return;
    cJSON *metric = report_metric_to_json(&report->metrics[i]);
    while (metric->child != NULL) {
        cJSON *member = cJSON_DetachItemViaPointer(metric, metric->child);
        cJSON_AddItemToObject(line, member->string, member);
    }
    cJSON_Delete(metric);
}

static void tell(const struct replay *r)
{
    struct rule_report report;
    cJSON *line = cJSON_CreateObject();
    rule_look(r->rule, &report);
    cJSON_AddNumberToObject(line, "request", (double)r->n_requests);
    cJSON_AddStringToObject(line, "verdict", verdict_name(r->verdict));
    if (r->verdict == VERDICT_ROLLBACK)
        add_metric(line, &report);
    print_line(r->out, line);
}

void replay_row(struct replay *r, const struct sample_row *row)
{
    struct rule_sample sample = {
        .outcome = row->outcome,
        .round_trip_ns = row->round_trip_ns,
        .service_ns = row->service_ns,
        .has_service = row->has_service,
        .stalled = row->stalled,
    };
    if (row->begins_segment)
        open_share(r);
    if (__builtin_add_overflow(r->opened_ns, row->time_ns, &r->now_ns))
        r->now_ns = INT64_MAX; /* segments of centuries */
    bool ends_group = r->has_groups ? row->ends_group : urn_draw(&r->urn).ends_group;
    struct rule_ticket ticket = rule_draw(r->rule, row->arm, ends_group, r->now_ns);
    rule_end_call(r->rule, &ticket, &sample);
    r->n_requests++;
    enum verdict verdict = rule_verdict(r->rule);
    if (verdict == r->verdict)
        return;
    r->verdict = verdict;
    tell(r);
}

void replay_end(struct replay *r)
{
    struct health health = {.canary_active = true};
    rule_look(r->rule, &health.report);
    print_line(r->out, health_to_json(&health));
}
