/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * See api_status_metrics.h. What the judge says is taken from its health report,
 * so that a graph and the report never disagree; a value that the report does not
 * have (null) has no line. Durations are in seconds, as is the custom there.
 * Source: prometheus.io/docs/instrumenting/exposition_formats; OpenMetrics 1.0.
 */
#include "supervisor/api_status_metrics.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <sysexits.h>

#include <cjson/cJSON.h>

#include "common/jsonx.h"
#include "common/log.h"
#include "supervisor/fleet.h"
#include "supervisor/judge.h"
#include "supervisor/rollout.h"
#include "supervisor/router.h"

#define MS 1e-3 /* in seconds */

struct page {
    FILE *out;
    bool open_metrics;
};

static void family(const struct page *p, const char *name, const char *type, const char *help)
{
    const char *suffix = type[0] == 'c' && !p->open_metrics ? "_total" : "";
    fprintf(p->out, "# HELP canaryd_%s%s %s\n# TYPE canaryd_%s%s %s\n", name, suffix, help, name,
            suffix, type);
}

static void gauge(const struct page *p, const char *name, const char *help, double value)
{
    family(p, name, "gauge", help);
    fprintf(p->out, "canaryd_%s %.17g\n", name, value);
}

static void counter(const struct page *p, const char *name, const char *help, uint64_t value)
{
    family(p, name, "counter", help);
    fprintf(p->out, "canaryd_%s_total %" PRIu64 "\n", name, value);
}

/* --- Requests and workers -----------------------------------------------------*/

static void write_requests(const struct page *p, const struct router_counts *c)
{
    counter(p, "requests", "Predictions that were begun.", c->n_requests);
    family(p, "answers", "counter", "Predictions by the arm that answered.");
    for (enum arm arm = 0; arm < N_ARMS; arm++)
        fprintf(p->out, "canaryd_answers_total{arm=\"%s\"} %" PRIu64 "\n", arm_name(arm),
                c->n_answered[arm]);
    counter(p, "failures", "Predictions answered with an error.", c->n_failed);
    counter(p, "retries", "Calls that were made again of another process.", c->n_retried);
    counter(p, "fallbacks", "Predictions drawn for one arm and answered by another.",
            c->n_fallbacks);
    counter(p, "poison", "Requests refused because workers die of them.", c->n_poison);
    counter(p, "overloaded", "Requests refused for want of room.", c->n_overloaded);
    gauge(p, "in_flight", "Predictions under way.", (double)c->n_in_flight);
}

static void write_workers(const struct page *p, const struct fleet *f)
{
    family(p, "workers_ready", "gauge", "Processes that take calls.");
    for (enum role role = 0; role < N_ROLES; role++)
        fprintf(p->out, "canaryd_workers_ready{role=\"%s\"} %zu\n", role_name(role),
                fleet_n_ready(f, role));
    family(p, "worker_restarts", "counter", "Restarts of the role's present processes.");
    for (enum role role = 0; role < N_ROLES; role++)
        fprintf(p->out, "canaryd_worker_restarts_total{role=\"%s\"} %u\n", role_name(role),
                fleet_n_restarts(f, role));
}

/* --- The judge ----------------------------------------------------------------*/

static void sample(const struct page *p, const char *name, const char *labels, const cJSON *item,
                   double unit)
{
    if (cJSON_IsNumber(item))
        fprintf(p->out, "canaryd_%s{%s} %.17g\n", name, labels, item->valuedouble * unit);
}

/* An arm's round trips as the report has them; NAN: it has none. */
struct arm_figures {
    double n, mean_ms;
};

static struct arm_figures figures_of(const cJSON *health, const char *arm)
{
    char name[40];
    snprintf(name, sizeof name, "%s_sample_count", arm);
    struct arm_figures f = {.n = cJSON_GetNumberValue(jsonx_member(health, name))};
    snprintf(name, sizeof name, "%s_avg_latency_ms", arm);
    f.mean_ms = cJSON_GetNumberValue(jsonx_member(health, name));
    return f;
}

/* The report's "stable" is the version: the arm of that name and the baseline. Here
 * each arm is one of its own, as in answers_total. */
static struct arm_figures without(struct arm_figures both, struct arm_figures baseline)
{
    if (!(baseline.n > 0))
        return both;
    double n = both.n - baseline.n;
    double sum = both.n * both.mean_ms - baseline.n * baseline.mean_ms;
    return (struct arm_figures){.n = n, .mean_ms = n > 0 ? sum / n : NAN};
}

static void write_arms(const struct page *p, const cJSON *health)
{
    struct arm_figures arms[N_ARMS];
    for (enum arm arm = 0; arm < N_ARMS; arm++)
        arms[arm] = figures_of(health, arm_name(arm));
    arms[ARM_STABLE] = without(arms[ARM_STABLE], arms[ARM_BASELINE]);
    family(p, "samples", "gauge", "Round trips that this deployment has measured.");
    for (enum arm arm = 0; arm < N_ARMS; arm++)
        if (!isnan(arms[arm].n))
            fprintf(p->out, "canaryd_samples{arm=\"%s\"} %.17g\n", arm_name(arm), arms[arm].n);
    family(p, "round_trip_mean_seconds", "gauge", "Their mean.");
    for (enum arm arm = 0; arm < N_ARMS; arm++)
        if (!isnan(arms[arm].mean_ms))
            fprintf(p->out, "canaryd_round_trip_mean_seconds{arm=\"%s\"} %.17g\n", arm_name(arm),
                    arms[arm].mean_ms * MS);
}

/* One figure of every row of the guard. */
static void write_rows(const struct page *p, const cJSON *health, const char *figure,
                       const char *help)
{
    char name[32], labels[96];
    const cJSON *row;
    snprintf(name, sizeof name, "guard_%s", figure);
    family(p, name, "gauge", help);
    cJSON_ArrayForEach(row, jsonx_member(health, "metrics")) {
        const char *clock = cJSON_GetStringValue(jsonx_member(row, "clock"));
        snprintf(labels, sizeof labels, "test=\"%s\",clock=\"%s\"",
                 cJSON_GetStringValue(jsonx_member(row, "test")), clock != NULL ? clock : "");
        sample(p, name, labels, jsonx_member(row, figure), 1);
    }
}

static void write_effects(const struct page *p, const cJSON *health)
{
    static const struct {
        const char *name, *labels;
    } clocks[] = {{"effect", "clock=\"round_trip\""}, {"service_effect", "clock=\"service\""}};
    family(p, "effect_seconds", "gauge", "How much slower the canary is than its reference.");
    for (size_t i = 0; i < 2; i++)
        sample(p, "effect_seconds", clocks[i].labels,
               jsonx_member(jsonx_member(health, clocks[i].name), "difference_ms"), MS);
    family(p, "minimum_detectable_effect_seconds", "gauge", "What could be found now, with 80 %.");
    for (size_t i = 0; i < 2; i++)
        sample(p, "minimum_detectable_effect_seconds", clocks[i].labels,
               jsonx_member(jsonx_member(health, clocks[i].name), "minimum_detectable_effect_ms"),
               MS);
}

static void write_verdict(const struct page *p, const cJSON *health)
{
    const char *verdict = cJSON_GetStringValue(jsonx_member(health, "verdict"));
    gauge(p, "alert", "1 while the alert stands.",
          cJSON_IsTrue(jsonx_member(health, "alert_triggered")));
    gauge(p, "rolled_back", "1 after a rollback that nobody asked for, until the next deployment.",
          cJSON_IsTrue(jsonx_member(health, "rolled_back")));
    family(p, "verdict", "gauge", "1 for the verdict that stands.");
    fprintf(p->out, "canaryd_verdict{verdict=\"%s\"} 1\n", verdict != NULL ? verdict : "none");
    const cJSON *p_value = jsonx_member(health, "p_value");
    if (cJSON_IsNumber(p_value))
        gauge(p, "p_value", "Welch's one-sided p of the canary against stable, for one look.",
              p_value->valuedouble);
}

static void write_judge(const struct page *p, const struct judge *judge)
{
    cJSON *health = judge_health(judge);
    write_verdict(p, health);
    write_arms(p, health);
    write_effects(p, health);
    write_rows(p, health, "evidence", "Evidence against the canary, row by row.");
    write_rows(p, health, "threshold", "Evidence above it fires.");
    cJSON_Delete(health);
}

/* --- The page -----------------------------------------------------------------*/

const char *metrics_content_type(bool open_metrics)
{
    return open_metrics ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
                        : "text/plain; version=0.0.4; charset=utf-8";
}

char *metrics_text(const struct api_status_rooms *rooms, double uptime_s, bool open_metrics,
                   size_t *n)
{
    char *text = NULL;
    struct page p = {.out = open_memstream(&text, n), .open_metrics = open_metrics};
    if (p.out == NULL)
        fatal(EX_SOFTWARE, "out of memory for the metrics");
    gauge(&p, "uptime_seconds", "Since the start.", uptime_s);
    gauge(&p, "canary_percent", "The canary's share; 0: none is out.",
          rollout_percent(rooms->rollout));
    write_requests(&p, router_counts(rooms->router));
    write_workers(&p, rooms->fleet);
    write_judge(&p, rooms->judge);
    if (open_metrics)
        fputs("# EOF\n", p.out);
    if (fclose(p.out) != 0)
        fatal(EX_SOFTWARE, "out of memory for the metrics");
    return text;
}
