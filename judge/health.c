/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * See health.h: the sentence, and the order of the fields.
 */
#include "judge/health.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "common/clock.h"
#include "judge/report_json.h"

#define MESSAGE_SIZE 160

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

static const char *users_text(const struct health *h)
{
    return h->n_by_user > 0
               ? "Users, not requests, were put into arms: differences between users are part of "
                 "the difference between canary and stable."
               : "Each request was drawn by itself.";
}

static const char *baseline_text(const struct health *h)
{
    if (h->baseline != NULL)
        return h->baseline;
    if (!h->canary_active && h->rolled_back_by == NULL)
        return "There is no canary, and so no baseline.";
    return h->report.reference == ARM_BASELINE
               ? "The canary is compared with a second worker of the stable version."
               : "The canary is compared with the stable worker itself: there is no baseline.";
}

static void add_specified(cJSON *root, const struct health *h)
{
    const struct rule_report *r = &h->report;
    const struct moments *canary = &r->round_trip[ARM_CANARY];
    char message[MESSAGE_SIZE];
    write_message(h, message);
    cJSON_AddBoolToObject(root, "alert_triggered", is_alert(h));
    report_add_number(root, "p_value", r->has_welch ? r->plain.p_greater : NAN);
    cJSON_AddStringToObject(root, "message", message);
    report_add_number(root, "stable_avg_latency_ms", mean_ms(&r->stable_version));
    report_add_number(root, "canary_avg_latency_ms", mean_ms(canary));
    cJSON_AddNumberToObject(root, "stable_sample_count", (double)r->stable_version.n);
    cJSON_AddNumberToObject(root, "canary_sample_count", (double)canary->n);
}

static void add_standing(cJSON *root, const struct health *h)
{
    const struct rule_report *r = &h->report;
    const struct moments *baseline = &r->round_trip[ARM_BASELINE];
    cJSON_AddBoolToObject(root, "canary_active", h->canary_active);
    cJSON_AddBoolToObject(root, "rolled_back", h->rolled_back_by != NULL);
    if (h->rolled_back_by != NULL)
        cJSON_AddStringToObject(root, "rolled_back_by", h->rolled_back_by);
    report_add_number(root, "baseline_avg_latency_ms", mean_ms(baseline));
    cJSON_AddNumberToObject(root, "baseline_sample_count", (double)baseline->n);
    cJSON_AddStringToObject(root, "baseline", baseline_text(h));
    cJSON_AddNumberToObject(root, "by_user_count", (double)h->n_by_user);
    cJSON_AddStringToObject(root, "users", users_text(h));
    cJSON_AddStringToObject(root, "verdict", verdict_name(r->verdict));
    report_add_text(root, "verdict_test", r->test);
    report_add_text(root, "verdict_clock", r->clock);
}

/* What the textbook adds to its p-value. */
static void add_textbook(cJSON *root, const struct rule_report *r)
{
    bool has = r->has_welch;
    report_add_number(root, "t_statistic", has ? r->plain.t : NAN);
    report_add_number(root, "degrees_of_freedom", has ? r->plain.df : NAN);
    report_add_interval(root, "confidence_interval_ms", has ? ns_to_ms(r->plain.interval_low) : NAN,
                        has ? ns_to_ms(r->plain.interval_high) : NAN);
    cJSON_AddNumberToObject(root, "min_samples", (double)r->settings.min_samples);
    report_add_number(root, "minimum_detectable_effect_ms",
                      has ? ns_to_ms(r->minimum_detectable_effect_ns) : NAN);
}

static void add_guard(cJSON *root, const struct rule_report *r)
{
    cJSON *metrics = cJSON_AddArrayToObject(root, "metrics");
    cJSON *observed = cJSON_AddArrayToObject(root, "observe_only");
    for (size_t i = 0; i < r->n_metrics; i++) {
        cJSON_AddItemToArray(metrics, report_metric_to_json(&r->metrics[i]));
        if (r->metrics[i].observe)
            cJSON_AddItemToArray(observed, cJSON_CreateString(rule_row_name(r->metrics[i].row)));
    }
    cJSON_AddItemToObject(root, "effect", report_effect_to_json(&r->effect[RULE_ROUND_TRIP]));
    cJSON_AddItemToObject(root, "service_effect", report_effect_to_json(&r->effect[RULE_SERVICE]));
    cJSON_AddItemToObject(root, "promotion", report_promotion_to_json(&r->promotion));
    cJSON_AddItemToObject(root, "expected", report_expected_to_json(&r->expected));
}

/* What the guard did not weigh, and what failed. */
static void add_excluded(cJSON *root, const struct health *h)
{
    const struct rule_report *r = &h->report;
    cJSON *excluded = cJSON_AddObjectToObject(root, "excluded");
    uint64_t n_fallbacks = 0;
    for (int arm = 0; arm < N_ARMS; arm++)
        n_fallbacks += r->n_outcomes[arm][OUTCOME_UNASKED];
    cJSON_AddNumberToObject(excluded, "forced", (double)h->n_forced);
    cJSON_AddNumberToObject(excluded, "retried", (double)h->n_retried);
    cJSON_AddNumberToObject(excluded, "fallback", (double)n_fallbacks);
    cJSON_AddNumberToObject(excluded, "stalled", (double)r->n_stalled);
    cJSON_AddNumberToObject(excluded, "displaced", (double)r->n_displaced);
    cJSON_AddItemToObject(root, "outcomes", report_outcomes_to_json(r));
}

cJSON *health_to_json(const struct health *h)
{
    cJSON *root = cJSON_CreateObject();
    add_specified(root, h);
    add_standing(root, h);
    add_textbook(root, &h->report);
    add_guard(root, &h->report);
    add_excluded(root, h);
    return root;
}
