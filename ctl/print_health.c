/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The health report for people; see print_health.h.
 */
#include "ctl/print_health.h"

#include <math.h>

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
}
