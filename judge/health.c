/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * See health.h. Numbers that JSON does not have (NaN, infinity) become null.
 */
#include "judge/health.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "common/clock.h"

#define MESSAGE_SIZE 160

static void add_number(cJSON *object, const char *name, double value)
{
    if (isfinite(value))
        cJSON_AddNumberToObject(object, name, value);
    else
        cJSON_AddNullToObject(object, name);
}

static double mean_ms(const struct moments *m)
{
    return m->n > 0 ? ns_to_ms(m->mean) : NAN;
}

static bool is_alert(const struct health *h)
{
    return h->rolled_back_by != NULL || (h->canary_active && h->report.verdict == VERDICT_ROLLBACK);
}

static uint64_t fewer_of(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* Samples of the version that has fewer: of those answered, and once these are
 * enough, of those weighed. */
static uint64_t fewer_samples(const struct rule_report *r)
{
    const uint64_t *weighed = r->effect[RULE_ROUND_TRIP].n_samples;
    uint64_t answered = fewer_of(r->stable_version.n, r->round_trip[ARM_CANARY].n);
    if (answered < r->settings.min_samples)
        return answered;
    return fewer_of(answered, fewer_of(weighed[SIDE_REFERENCE], weighed[SIDE_CANARY]));
}

static void write_message(const struct health *h, char message[MESSAGE_SIZE])
{
    const struct rule_report *r = &h->report;
    uint64_t fewer = fewer_samples(r);
    if (is_alert(h) && h->alarm != NULL)
        snprintf(message, MESSAGE_SIZE, "%s", h->alarm);
    else if (is_alert(h))
        snprintf(message, MESSAGE_SIZE, "ALERT: Canary %s is significantly higher than stable.",
                 r->subject != NULL ? r->subject : "latency");
    else if (!h->canary_active)
        snprintf(message, MESSAGE_SIZE, "No canary deployed.");
    else if (!r->has_welch)
        snprintf(message, MESSAGE_SIZE,
                 "Insufficient data: need at least %" PRIu64 " samples from each model.",
                 r->settings.min_samples);
    else if (fewer < r->settings.min_samples)
        snprintf(message, MESSAGE_SIZE,
                 "Canary performance is acceptable so far: %" PRIu64 " of %" PRIu64
                 " samples from each model.",
                 fewer, r->settings.min_samples);
    else
        snprintf(message, MESSAGE_SIZE, "Canary performance is acceptable.");
}

static void add_welch(cJSON *root, const struct rule_report *r)
{
    cJSON *interval = cJSON_AddArrayToObject(root, "confidence_interval_ms");
    double low = r->has_welch ? ns_to_ms(r->plain.interval_low) : NAN;
    double high = r->has_welch ? ns_to_ms(r->plain.interval_high) : NAN;
    add_number(root, "t_statistic", r->has_welch ? r->plain.t : NAN);
    add_number(root, "degrees_of_freedom", r->has_welch ? r->plain.df : NAN);
    cJSON_AddItemToArray(interval, isfinite(low) ? cJSON_CreateNumber(low) : cJSON_CreateNull());
    cJSON_AddItemToArray(interval, isfinite(high) ? cJSON_CreateNumber(high) : cJSON_CreateNull());
}

static void add_text(cJSON *object, const char *name, const char *text)
{
    if (text != NULL)
        cJSON_AddStringToObject(object, name, text);
    else
        cJSON_AddNullToObject(object, name);
}

static void add_metrics(cJSON *root, const struct rule_report *r)
{
    cJSON *metrics = cJSON_AddArrayToObject(root, "metrics");
    for (size_t i = 0; i < r->n_metrics; i++) {
        const struct rule_metric *m = &r->metrics[i];
        cJSON *entry = cJSON_CreateObject();
        cJSON_AddStringToObject(entry, "test", m->test);
        add_text(entry, "clock", m->clock);
        add_number(entry, "alpha", m->alpha);
        add_number(entry, "evidence", m->evidence);
        add_number(entry, "threshold", m->threshold);
        add_number(entry, "anytime_p_value", m->anytime_p_value);
        add_number(entry, "fired_at", m->fired_at > 0 ? (double)m->fired_at : NAN);
        cJSON_AddItemToArray(metrics, entry);
    }
}

cJSON *health_to_json(const struct health *h)
{
    const struct rule_report *r = &h->report;
    char message[MESSAGE_SIZE];
    cJSON *root = cJSON_CreateObject();
    write_message(h, message);
    cJSON_AddBoolToObject(root, "alert_triggered", is_alert(h));
    add_number(root, "p_value", r->has_welch ? r->plain.p_greater : NAN);
    cJSON_AddStringToObject(root, "message", message);
    add_number(root, "stable_avg_latency_ms", mean_ms(&r->stable_version));
    add_number(root, "canary_avg_latency_ms", mean_ms(&r->round_trip[ARM_CANARY]));
    cJSON_AddNumberToObject(root, "stable_sample_count", (double)r->stable_version.n);
    cJSON_AddNumberToObject(root, "canary_sample_count", (double)r->round_trip[ARM_CANARY].n);
    cJSON_AddBoolToObject(root, "canary_active", h->canary_active);
    cJSON_AddBoolToObject(root, "rolled_back", h->rolled_back_by != NULL);
    if (h->rolled_back_by != NULL)
        cJSON_AddStringToObject(root, "rolled_back_by", h->rolled_back_by);
    cJSON_AddStringToObject(root, "verdict", verdict_name(r->verdict));
    add_text(root, "verdict_test", r->test);
    add_welch(root, r);
    cJSON_AddNumberToObject(root, "min_samples", (double)r->settings.min_samples);
    add_number(root, "minimum_detectable_effect_ms",
               r->has_welch ? ns_to_ms(r->minimum_detectable_effect_ns) : NAN);
    add_metrics(root, r);
    return root;
}
