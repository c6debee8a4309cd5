/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The health report for people; see print_health.h.
 */
#include "ctl/print_health.h"

#include <math.h>
#include <stdio.h>

#include "common/jsonx.h"
#include "ctl/member.h"

static enum style verdict_style(const cJSON *health)
{
    double n_canary = member_number_or(health, "canary_sample_count", 0);
    double n_stable = member_number_or(health, "stable_sample_count", 0);
    double wanted = member_number_or(health, "min_samples", 0);
    if (member_true(health, "alert_triggered"))
        return STYLE_BAD;
    return n_canary < wanted || n_stable < wanted ? STYLE_WARN : STYLE_GOOD;
}

static void print_arm(const struct printer *p, const cJSON *health, const char *arm,
                      const char *n_name, const char *mean_name)
{
    char n[PRINT_CELL_SIZE], mean[PRINT_CELL_SIZE];
    double ignored;
    if (member_number(health, n_name, &ignored))
        print_field(p, arm, "%10s  %16s", cell_count(n, health, n_name),
                    cell_ms(mean, health, mean_name));
}

static void print_arms(const struct printer *p, const cJSON *health)
{
    double stable, canary;
    print_text(p, STYLE_DIM, "  %-17s  %10s  %16s\n", "round trip", "samples", "mean");
    print_arm(p, health, "stable", "stable_sample_count", "stable_avg_latency_ms");
    print_arm(p, health, "  baseline", "baseline_sample_count", "baseline_avg_latency_ms");
    print_arm(p, health, "canary", "canary_sample_count", "canary_avg_latency_ms");
    if (!member_number(health, "stable_avg_latency_ms", &stable) ||
        !member_number(health, "canary_avg_latency_ms", &canary))
        return;
    if (stable > 0)
        print_field(p, "difference", "%10s  %+13.3f ms  (%+.1f %%)", "", canary - stable,
                    100 * (canary - stable) / stable);
    else
        print_field(p, "difference", "%10s  %+13.3f ms", "", canary - stable);
}

static void print_test(const struct printer *p, const cJSON *health)
{
    char t[PRINT_CELL_SIZE], df[PRINT_CELL_SIZE], value[PRINT_CELL_SIZE];
    const cJSON *interval = member_array(health, "confidence_interval_ms");
    const cJSON *low = cJSON_GetArrayItem(interval, 0), *high = cJSON_GetArrayItem(interval, 1);
    double ignored;
    if (member_number(health, "p_value", &ignored))
        print_field(p, "Welch's t-test", "p = %s (one-sided), t = %s, df = %s",
                    cell_number(value, health, "p_value"), cell_number(t, health, "t_statistic"),
                    cell_number(df, health, "degrees_of_freedom"));
    else
        print_field(p, "Welch's t-test", "no p-value yet");
    if (cJSON_IsNumber(low) && cJSON_IsNumber(high))
        print_field(p, "interval", "%+.3f to %+.3f ms (confidence interval of the difference)",
                    low->valuedouble, high->valuedouble);
    if (member_number(health, "minimum_detectable_effect_ms", &ignored))
        print_field(p, "detectable", "%s and more at this number of samples",
                    cell_ms(value, health, "minimum_detectable_effect_ms"));
}

static void print_metric(const struct printer *p, const cJSON *metric)
{
    char evidence[PRINT_CELL_SIZE], threshold[PRINT_CELL_SIZE], any[PRINT_CELL_SIZE];
    char fired[PRINT_CELL_SIZE];
    double ignored;
    bool fires = member_number(metric, "fired_at", &ignored);
    print_text(p, fires ? STYLE_BAD : STYLE_PLAIN, "    %-8s %-10s  %9s  %9s  %9s  %s%s\n",
               member_text(metric, "test", "-"), member_text(metric, "clock", "-"),
               cell_number(evidence, metric, "evidence"),
               cell_number(threshold, metric, "threshold"),
               cell_number(any, metric, "anytime_p_value"), fires ? "fired at request " : "-",
               fires ? cell_count(fired, metric, "fired_at") : "");
}

static void print_metrics(const struct printer *p, const cJSON *metrics)
{
    const cJSON *metric;
    if (cJSON_GetArraySize(metrics) == 0)
        return;
    print_text(p, STYLE_DIM, "  guard (any row that fires is the verdict)\n");
    print_text(p, STYLE_DIM, "    %-8s %-10s  %9s  %9s  %9s  %s\n", "test", "clock", "evidence",
               "threshold", "anytime p", "fired");
    cJSON_ArrayForEach(metric, metrics) {
        print_metric(p, metric);
    }
}

/* "+0.120 ms", or "-". */
static const char *cell_signed_ms(char text[PRINT_CELL_SIZE], const cJSON *number)
{
    if (cJSON_IsNumber(number))
        snprintf(text, PRINT_CELL_SIZE, "%+.3f ms", number->valuedouble);
    else
        snprintf(text, PRINT_CELL_SIZE, "-");
    return text;
}

static void print_effect(const struct printer *p, const char *clock, const cJSON *effect)
{
    char difference[PRINT_CELL_SIZE], low[PRINT_CELL_SIZE], high[PRINT_CELL_SIZE];
    char detectable[PRINT_CELL_SIZE];
    const cJSON *interval = member_array(effect, "interval_ms");
    double ignored;
    if (!member_number(effect, "difference_ms", &ignored))
        return;
    print_text(p, STYLE_PLAIN, "    %-10s  %14s  %14s  %14s  %14s\n", clock,
               cell_signed_ms(difference, jsonx_member(effect, "difference_ms")),
               cell_signed_ms(low, cJSON_GetArrayItem(interval, 0)),
               cell_signed_ms(high, cJSON_GetArrayItem(interval, 1)),
               cell_signed_ms(detectable, jsonx_member(effect, "minimum_detectable_effect_ms")));
}

static void print_effects(const struct printer *p, const cJSON *health)
{
    const cJSON *effect = member_object(health, "effect");
    const cJSON *service = member_object(health, "service_effect");
    double ignored;
    if (!member_number(effect, "difference_ms", &ignored) &&
        !member_number(service, "difference_ms", &ignored))
        return;
    print_text(p, STYLE_DIM, "  effect (over blocks; its interval holds at every look)\n");
    print_text(p, STYLE_DIM, "    %-10s  %14s  %14s  %14s  %14s\n", "clock", "difference", "from",
               "to", "found from");
    print_effect(p, "round_trip", effect);
    print_effect(p, "service", service);
}

/* What of a clock is still to be shown: ", round_trip mean and tail". */
static size_t lacking(const cJSON *clock, char *text, size_t size)
{
    bool mean = member_true(member_object(clock, "mean"), "shown");
    bool tail = member_true(member_object(clock, "tail"), "shown");
    if (mean && tail)
        return 0;
    int n = snprintf(text, size, ", %.20s%s%s%s%s", member_text(clock, "clock", "-"),
                     mean ? "" : " mean", mean || tail ? "" : " and", tail ? "" : " tail",
                     member_true(clock, "enough_samples") ? "" : " (too few samples)");
    return (size_t)n < size ? (size_t)n : size - 1;
}

static void print_promotion(const struct printer *p, const cJSON *promotion)
{
    char text[200] = "", request[PRINT_CELL_SIZE];
    size_t n = 0;
    const cJSON *clock;
    if (promotion == NULL)
        return;
    if (member_true(promotion, "shown")) {
        print_field(p, "as good as stable", "shown at request %s",
                    cell_count(request, promotion, "promoted_at"));
        return;
    }
    cJSON_ArrayForEach(clock, member_array(promotion, "clocks")) {
        n += lacking(clock, text + n, sizeof text - n);
    }
    if (!member_true(promotion, "errors_are_fine"))
        snprintf(text + n, sizeof text - n, ", errors");
    print_field(p, "as good as stable", "not shown yet%s%s", text[0] != '\0' ? ": " : "",
                text[0] != '\0' ? text + 2 : "");
}

static void print_expected(const struct printer *p, const cJSON *expected, const char *name,
                           const char *requests, const char *label)
{
    char time[PRINT_CELL_SIZE], n[PRINT_CELL_SIZE];
    double seconds;
    if (member_number(expected, name, &seconds) && seconds > 0)
        print_field(p, label, "in %s, %s requests from now", cell_duration(time, seconds),
                    cell_count(n, expected, requests));
}

/* What is to come; where there is no canary, nothing. */
static void print_outlook(const struct printer *p, const cJSON *health)
{
    const cJSON *expected = member_object(health, "expected");
    if (member_true(health, "rolled_back") || cJSON_IsFalse(jsonx_member(health, "canary_active")))
        return;
    print_promotion(p, member_object(health, "promotion"));
    print_expected(p, expected, "rollback_s", "rollback_requests", "if it stays slower");
    print_expected(p, expected, "promotion_s", "promotion_requests", "if it is as good");
}

static void print_rollback(const struct printer *p, const cJSON *health)
{
    const char *by = member_text(health, "rolled_back_by", "judge");
    if (member_true(health, "rolled_back"))
        print_field(p, "rolled back", "by the %s; this report is of that moment", by);
}

void print_health(const struct printer *p, const cJSON *health)
{
    char text[PRINT_CELL_SIZE];
    double wanted;
    print_text(p, verdict_style(health), "%s\n",
               member_text(health, "message", "The server gave no verdict."));
    print_rollback(p, health);
    if (member_text(health, "verdict", NULL) != NULL)
        print_field(p, "verdict", "%s", member_text(health, "verdict", ""));
    print_arms(p, health);
    print_test(p, health);
    if (member_number(health, "min_samples", &wanted))
        print_field(p, "min samples", "%s from each model",
                    cell_count(text, health, "min_samples"));
    print_metrics(p, member_array(health, "metrics"));
    print_effects(p, health);
    print_outlook(p, health);
}
