/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The health report: its fields and their order, its sentences, what is null
 * when, and the parts that say why.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/jsonx.h"
#include "common/rng.h"
#include "judge/health.h"
#include "judge/report_json.h"
#include "tests/support/vectors.h"

#define MS INT64_C(1000000)

/* n groups of ten draws, 1 ms each; the canary's latencies are times as high. */
static struct rule *serve(const struct rule_settings *settings, int n_groups, double times,
                          enum outcome canary)
{
    struct rule *rule = rule_new(settings);
    struct rng r;
    rng_seed(&r, 8);
    rule_open_share(rule, ARM_BASELINE, 0);
    for (int i = 0; i < 10 * n_groups; i++) {
        enum arm arm = i % 10 == 3 ? ARM_CANARY : i % 10 == 7 ? ARM_BASELINE : ARM_STABLE;
        struct rule_ticket ticket = rule_draw(rule, arm, i % 10 == 9, (i + 1) * MS);
        double ns = (8e6 + rng_below(&r, 4000000)) * (arm == ARM_CANARY ? times : 1);
        struct rule_sample sample = {
            .round_trip_ns = (uint64_t)ns, .service_ns = (uint64_t)ns / 2, .has_service = true};
        if (arm == ARM_CANARY)
            sample.outcome = canary;
        rule_end_call(rule, &ticket, &sample);
    }
    return rule;
}

static cJSON *health_of(struct rule *rule, struct health h)
{
    rule_look(rule, &h.report);
    rule_free(&rule);
    return health_to_json(&h);
}

static const struct health active = {.canary_active = true};

static struct rule_settings bare(void)
{
    struct rule_settings s = rule_default_settings();
    for (int clock = 0; clock < N_RULE_CLOCKS; clock++)
        s.clock[clock] = (struct rule_clock_settings){.block_ns = 10 * MS};
    return s;
}

static const cJSON *member(const cJSON *j, const char *name)
{
    const cJSON *item = jsonx_member(j, name);
    if (item == NULL)
        fail_msg("there is no \"%s\"", name);
    return item;
}

static bool is_null(const cJSON *j, const char *name)
{
    return cJSON_IsNull(member(j, name));
}

static void assert_keys(const cJSON *j, const char *const keys[], size_t n)
{
    const cJSON *item = j->child;
    for (size_t i = 0; i < n; i++, item = item->next) {
        assert_non_null(item);
        assert_string_equal(item->string, keys[i]);
    }
    assert_null(item);
}

static void test_fields_in_their_order(void **state)
{
    static const char *const keys[] = {"alert_triggered",
                                       "p_value",
                                       "message",
                                       "stable_avg_latency_ms",
                                       "canary_avg_latency_ms",
                                       "stable_sample_count",
                                       "canary_sample_count",
                                       "canary_active",
                                       "rolled_back",
                                       "baseline_avg_latency_ms",
                                       "baseline_sample_count",
                                       "baseline",
                                       "by_user_count",
                                       "users",
                                       "verdict",
                                       "verdict_test",
                                       "verdict_clock",
                                       "t_statistic",
                                       "degrees_of_freedom",
                                       "confidence_interval_ms",
                                       "min_samples",
                                       "minimum_detectable_effect_ms",
                                       "metrics",
                                       "observe_only",
                                       "effect",
                                       "service_effect",
                                       "promotion",
                                       "expected",
                                       "excluded",
                                       "outcomes"};
    static const char *const metric[] = {"test",      "clock",           "alpha",   "evidence",
                                         "threshold", "anytime_p_value", "fired_at"};
    struct rule_settings settings = bare();
    cJSON *j = health_of(serve(&settings, 0, 1, OUTCOME_OK), (struct health){0});
    const cJSON *entry;
    (void)state;
    assert_keys(j, keys, sizeof keys / sizeof keys[0]);
    assert_int_equal(cJSON_GetArraySize(member(j, "metrics")), N_RULE_ROWS);
    cJSON_ArrayForEach(entry, member(j, "metrics"))
        assert_keys(entry, metric, sizeof metric / sizeof metric[0]);
    cJSON_Delete(j);
}

static void test_nothing_yet_is_null(void **state)
{
    static const char *const nulls[] = {"p_value",
                                        "stable_avg_latency_ms",
                                        "canary_avg_latency_ms",
                                        "baseline_avg_latency_ms",
                                        "verdict_test",
                                        "verdict_clock",
                                        "t_statistic",
                                        "degrees_of_freedom",
                                        "minimum_detectable_effect_ms"};
    struct rule_settings settings = bare();
    cJSON *j = health_of(serve(&settings, 0, 1, OUTCOME_OK), active);
    const cJSON *entry;
    (void)state;
    for (size_t i = 0; i < sizeof nulls / sizeof nulls[0]; i++)
        if (!is_null(j, nulls[i]))
            fail_msg("\"%s\" is not null", nulls[i]);
    cJSON_ArrayForEach(entry, member(j, "metrics"))
        assert_true(is_null(entry, "evidence") && is_null(entry, "anytime_p_value") &&
                    is_null(entry, "fired_at") && cJSON_IsNumber(member(entry, "threshold")));
    assert_true(is_null(member(j, "effect"), "difference_ms"));
    assert_true(cJSON_IsNull(member(member(j, "effect"), "interval_ms")->child));
    assert_true(is_null(member(j, "expected"), "rollback_s"));
    assert_true(is_null(member(j, "expected"), "promotion_requests"));
    assert_int_equal(cJSON_GetArraySize(member(member(j, "promotion"), "clocks")), 0);
    assert_string_equal(vectors_text(j, "verdict"), "none");
    cJSON_Delete(j);
}

static void assert_says(struct rule *rule, struct health h, bool alert, const char *message)
{
    cJSON *j = health_of(rule, h);
    assert_string_equal(vectors_text(j, "message"), message);
    assert_int_equal(cJSON_IsTrue(member(j, "alert_triggered")), alert);
    cJSON_Delete(j);
}

static void test_sentences(void **state)
{
    struct rule_settings settings = bare();
    struct rule_settings slow = rule_default_settings();
    (void)state;
    assert_says(serve(&settings, 9, 1, OUTCOME_OK), (struct health){0}, false,
                "No canary deployed.");
    assert_says(serve(&settings, 1, 1, OUTCOME_OK), active, false,
                "Insufficient data: need at least 36 samples from each model.");
    assert_says(serve(&settings, 20, 1, OUTCOME_OK), active, false,
                "Canary performance is acceptable so far: 20 of 36 samples from each model.");
    /* 40 are answered, and 40 weighed in blocks of 50 ms */
    assert_says(serve(&slow, 40, 1, OUTCOME_OK), active, false,
                "Canary performance is acceptable.");
    slow.clock[RULE_ROUND_TRIP].block_ns = 300 * MS;
    assert_says(serve(&slow, 40, 1, OUTCOME_OK), active, false,
                "Canary performance is acceptable so far: 30 of 36 samples from each model.");
    assert_says(serve(&settings, 100, 1, OUTCOME_OK), active, false,
                "Canary performance is acceptable.");
    assert_says(serve(&settings, 100, 2, OUTCOME_OK), active, true,
                "ALERT: Canary latency is significantly higher than stable.");
    assert_says(serve(&settings, 100, 1, OUTCOME_FAULT), active, true,
                "ALERT: Canary error rate is significantly higher than stable.");
    assert_says(serve(&settings, 1, 1, OUTCOME_OK),
                (struct health){.rolled_back_by = "crash-loop", .alarm = "ALERT: so it is."}, true,
                "ALERT: so it is.");
    assert_says(serve(&settings, 100, 2, OUTCOME_OK), (struct health){0}, false,
                "No canary deployed.");
}

static void test_numbers(void **state)
{
    struct rule_settings settings = bare();
    cJSON *j = health_of(serve(&settings, 100, 1.02, OUTCOME_OK), active);
    const cJSON *effect = member(j, "effect");
    const cJSON *interval = member(effect, "interval_ms")->child;
    (void)state;
    assert_true(vectors_number(j, "stable_sample_count") == 900);
    assert_true(vectors_number(j, "baseline_sample_count") == 100);
    assert_true(vectors_number(j, "canary_sample_count") == 100);
    assert_true(vectors_number(effect, "blocks") == 100);
    assert_true(vectors_number(effect, "interval_level") == 1 - 0.05 * 0.25);
    assert_true(vectors_number(effect, "reference_samples") == 100);
    assert_true(vectors_number(effect, "canary_samples") == 100);
    double difference = vectors_number(effect, "difference_ms");
    vectors_near("effect", "difference", difference,
                 vectors_number(j, "canary_avg_latency_ms") -
                     vectors_number(j, "baseline_avg_latency_ms"),
                 1e-9);
    assert_true(interval->valuedouble < difference && interval->next->valuedouble > difference);
    assert_true(vectors_number(effect, "minimum_detectable_effect_ms") > 0);
    vectors_close("service", "difference",
                  vectors_number(member(j, "service_effect"), "difference_ms"), difference / 2,
                  1e-5);
    assert_string_equal(vectors_text(j, "verdict"), "inconclusive");
    const cJSON *promotion = member(j, "promotion");
    assert_int_equal(cJSON_GetArraySize(member(promotion, "clocks")), 2);
    assert_false(cJSON_IsTrue(member(promotion, "shown")));
    assert_true(vectors_number(member(j, "expected"), "promotion_s") > 0);
    cJSON_Delete(j);
}

static void test_verdict(void **state)
{
    struct rule_settings settings = bare();
    settings.row[ROW_SERVICE_TAIL].observe = true;
    settings.row[ROW_ERRORS].observe = true;
    cJSON *j =
        health_of(serve(&settings, 100, 2, OUTCOME_OK), (struct health){.rolled_back_by = "judge"});
    (void)state;
    assert_string_equal(vectors_text(j, "verdict"), "rollback");
    assert_string_equal(vectors_text(j, "verdict_test"), "mean");
    assert_string_equal(vectors_text(j, "verdict_clock"), "round_trip");
    assert_string_equal(vectors_text(j, "rolled_back_by"), "judge");
    assert_true(cJSON_IsTrue(member(j, "rolled_back")));
    const cJSON *observed = member(j, "observe_only");
    assert_int_equal(cJSON_GetArraySize(observed), 2);
    assert_string_equal(observed->child->valuestring, "service-tail");
    assert_string_equal(observed->child->next->valuestring, "errors");
    assert_true(vectors_number(member(j, "metrics")->child, "fired_at") == 360);
    assert_true(vectors_number(member(j, "expected"), "rollback_s") == 0);
    cJSON_Delete(j);
}

static void test_excluded_and_outcomes(void **state)
{
    struct rule_settings settings = bare();
    cJSON *j = health_of(
        serve(&settings, 5, 1, OUTCOME_UNASKED),
        (struct health){.canary_active = true, .n_forced = 3, .n_by_user = 9, .n_retried = 4});
    const cJSON *excluded = member(j, "excluded");
    (void)state;
    assert_true(vectors_number(excluded, "forced") == 3);
    assert_true(vectors_number(excluded, "retried") == 4);
    assert_true(vectors_number(excluded, "fallback") == 5);
    assert_true(vectors_number(excluded, "stalled") == 0);
    assert_true(vectors_number(excluded, "displaced") == 0);
    assert_true(vectors_number(j, "by_user_count") == 9);
    assert_non_null(strstr(member(j, "users")->valuestring, "Users, not requests"));
    cJSON_Delete(j);
    j = health_of(serve(&settings, 5, 1, OUTCOME_TIMEOUT), active);
    const cJSON *outcomes = member(j, "outcomes");
    assert_true(vectors_number(member(outcomes, "canary"), "timeout") == 5);
    assert_true(vectors_number(member(outcomes, "baseline"), "ok") == 5);
    assert_true(vectors_number(member(outcomes, "stable"), "ok") == 40);
    assert_true(is_null(j, "canary_avg_latency_ms"));
    cJSON_Delete(j);
}

static void test_baseline_in_plain_words(void **state)
{
    struct rule_settings settings = bare();
    struct rule *rule = serve(&settings, 1, 1, OUTCOME_OK);
    (void)state;
    rule_open_share(rule, ARM_STABLE, 1000 * MS);
    cJSON *j = health_of(rule, active);
    assert_non_null(strstr(vectors_text(j, "baseline"), "there is no baseline"));
    cJSON_Delete(j);
    j = health_of(serve(&settings, 1, 1, OUTCOME_OK), active);
    assert_non_null(strstr(vectors_text(j, "baseline"), "a second worker"));
    cJSON_Delete(j);
    j = health_of(serve(&settings, 1, 1, OUTCOME_OK),
                  (struct health){.canary_active = true, .baseline = "It starts."});
    assert_string_equal(vectors_text(j, "baseline"), "It starts.");
    cJSON_Delete(j);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fields_in_their_order),
        cmocka_unit_test(test_nothing_yet_is_null),
        cmocka_unit_test(test_sentences),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_verdict),
        cmocka_unit_test(test_excluded_and_outcomes),
        cmocka_unit_test(test_baseline_in_plain_words),
    };
    return cmocka_run_group_tests_name("health", tests, NULL, NULL);
}
