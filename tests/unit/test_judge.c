/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The judge on duty and the report it gives: every sentence and field of the
 * contract, what is null when, when the verdict comes and what stays of it.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/mem.h"
#include "supervisor/judge.h"
#include "supervisor/settings.h"

#define ACCEPTABLE   "Canary performance is acceptable."
#define SO_FAR       "Canary performance is acceptable so far: "
#define INSUFFICIENT "Insufficient data: need at least 36 samples from each model."
#define ALERT        "ALERT: Canary latency is significantly higher than stable."
#define NO_CANARY    "No canary deployed."

struct court {
    struct settings *settings;
    struct judge *judge;
    int n_verdicts;
    bool freezes; /* at the verdict, as a rollback does */
    int64_t now_ns;
};

static void on_bad(void *arg)
{
    struct court *c = arg;
    c->n_verdicts++;
    assert_true(judge_has_fired(c->judge));
    if (c->freezes)
        judge_freeze(c->judge, "judge", NULL);
}

static int setup(void **state)
{
    struct court *c = mem_alloc(sizeof *c);
    struct err e;
    const struct judge_listener listener = {.bad = on_bad, .arg = c};
    *state = c;
    c->settings = settings_load(NULL, NULL, 0, &e);
    assert_non_null(c->settings);
    c->settings->block_ms = c->settings->service_block_ms = 0; /* a group of draws is a block */
    c->judge = judge_new(c->settings, NULL, NULL, &listener);
    return 0;
}

static int teardown(void **state)
{
    struct court *c = *state;
    judge_free(&c->judge);
    judge_free(&c->judge);
    settings_free(&c->settings);
    free(c);
    return 0;
}

static void add_sample(struct court *c, enum arm arm, double ms)
{
    const struct rule_sample sample = {.outcome = OUTCOME_OK,
                                       .round_trip_ns = (uint64_t)llround(ms * 1e6),
                                       .service_ns = 1000,
                                       .has_service = true};
    struct judge_ticket ticket = judge_draw(c->judge, arm, true, ++c->now_ns);
    judge_end_call(c->judge, &ticket, &sample);
}

/* n samples with mean ms, in turn a tenth below and above it. */
static void add(struct court *c, enum arm arm, int n, double ms)
{
    for (int i = 0; i < n; i++)
        add_sample(c, arm, ms * (i % 2 == 0 ? 0.9 : 1.1));
}

/* The same of both arms by turns, so that each pair is a block. */
static void add_pairs(struct court *c, int n, double stable_ms, double canary_ms)
{
    for (int i = 0; i < n; i++) {
        add_sample(c, ARM_STABLE, stable_ms * (i % 2 == 0 ? 0.9 : 1.1));
        add_sample(c, ARM_CANARY, canary_ms * (i % 3 == 0 ? 0.9 : 1.1));
    }
}

static void begin(struct court *c)
{
    judge_begin(c->judge, 1);
    judge_open_share(c->judge, ARM_STABLE, ++c->now_ns);
}

static cJSON *report_of(const struct court *c)
{
    return judge_health(c->judge);
}

static const cJSON *member(const cJSON *j, const char *name)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(j, name);
    if (item == NULL)
        fail_msg("there is no \"%s\"", name);
    return item;
}

static double number(const cJSON *j, const char *name)
{
    const cJSON *item = member(j, name);
    if (!cJSON_IsNumber(item))
        fail_msg("\"%s\" is not a number", name);
    return item->valuedouble;
}

static void assert_says(const struct court *c, bool alert, const char *message)
{
    cJSON *j = report_of(c);
    assert_string_equal(member(j, "message")->valuestring, message);
    assert_int_equal(cJSON_IsTrue(member(j, "alert_triggered")), alert);
    cJSON_Delete(j);
}

/* --- Sentences --------------------------------------------------------------*/

static void test_sentences(void **state)
{
    struct court *c = *state;
    assert_says(c, false, NO_CANARY);
    for (int i = 0; i < 100; i++)
        judge_add_stable(c->judge, 1000000);
    assert_says(c, false, NO_CANARY);
    begin(c);
    assert_says(c, false, INSUFFICIENT);
    add(c, ARM_STABLE, 100, 1);
    add(c, ARM_CANARY, 1, 1);
    assert_says(c, false, INSUFFICIENT);
    add(c, ARM_CANARY, 1, 1);
    assert_says(c, false, SO_FAR "2 of 36 samples from each model.");
    add(c, ARM_CANARY, 33, 1);
    assert_says(c, false, SO_FAR "35 of 36 samples from each model.");
    begin(c);
    add_pairs(c, 35, 1, 1);
    assert_says(c, false, SO_FAR "35 of 36 samples from each model.");
    add_pairs(c, 1, 1, 1);
    assert_says(c, false, ACCEPTABLE);
    judge_end(c->judge);
    assert_says(c, false, NO_CANARY);
    assert_int_equal(c->n_verdicts, 0);
}

/* The fewer of the two are counted, whichever they are. */
static void test_so_far_counts_the_fewer(void **state)
{
    struct court *c = *state;
    begin(c);
    add(c, ARM_CANARY, 50, 1);
    add(c, ARM_STABLE, 20, 1);
    assert_says(c, false, SO_FAR "20 of 36 samples from each model.");
}

static void test_min_samples_is_a_setting(void **state)
{
    struct court *c = *state;
    c->settings->min_samples = 40;
    begin(c);
    assert_says(c, false, "Insufficient data: need at least 40 samples from each model.");
    add(c, ARM_STABLE, 39, 1);
    add(c, ARM_CANARY, 39, 10);
    assert_int_equal(c->n_verdicts, 0);
    assert_says(c, false, SO_FAR "39 of 40 samples from each model.");
}

/* --- Fields -----------------------------------------------------------------*/

static const char *const fields[] = {
    /* the specification's seven, first and in this order */
    "alert_triggered", "p_value", "message", "stable_avg_latency_ms", "canary_avg_latency_ms",
    "stable_sample_count", "canary_sample_count",
    /* and more */
    "canary_active", "rolled_back", "verdict", "t_statistic", "degrees_of_freedom",
    "confidence_interval_ms", "min_samples", "minimum_detectable_effect_ms", "metrics"};

static void test_fields_are_always_there(void **state)
{
    struct court *c = *state;
    cJSON *j = report_of(c);
    const cJSON *item = j->child;
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++)
        member(j, fields[i]);
    for (size_t i = 0; i < 7; i++, item = item->next)
        assert_string_equal(item->string, fields[i]);
    cJSON_Delete(j);
}

static void assert_nulls(const cJSON *j, const char *const names[], size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!cJSON_IsNull(member(j, names[i])))
            fail_msg("\"%s\" is not null", names[i]);
}

static void test_nulls_without_samples(void **state)
{
    static const char *const nulls[] = {
        "p_value",     "stable_avg_latency_ms", "canary_avg_latency_ms",
        "t_statistic", "degrees_of_freedom",    "minimum_detectable_effect_ms"};
    struct court *c = *state;
    cJSON *j = report_of(c);
    assert_nulls(j, nulls, sizeof nulls / sizeof nulls[0]);
    const cJSON *interval = member(j, "confidence_interval_ms");
    assert_int_equal(cJSON_GetArraySize(interval), 2);
    assert_true(cJSON_IsNull(interval->child) && cJSON_IsNull(interval->child->next));
    assert_true(number(j, "stable_sample_count") == 0);
    assert_true(number(j, "canary_sample_count") == 0);
    assert_string_equal(member(j, "verdict")->valuestring, "none");
    assert_false(cJSON_IsTrue(member(j, "canary_active")));
    assert_false(cJSON_IsTrue(member(j, "rolled_back")));
    cJSON_Delete(j);
}

/* One of an arm has a mean, and nothing to compare. */
static void test_nulls_with_one_sample(void **state)
{
    static const char *const nulls[] = {"p_value", "t_statistic", "degrees_of_freedom"};
    struct court *c = *state;
    begin(c);
    add(c, ARM_STABLE, 10, 2);
    add_sample(c, ARM_CANARY, 3);
    cJSON *j = report_of(c);
    assert_nulls(j, nulls, 3);
    assert_true(fabs(number(j, "stable_avg_latency_ms") - 2) < 1e-9);
    assert_true(number(j, "canary_avg_latency_ms") == 3);
    cJSON_Delete(j);
}

static void test_numbers(void **state)
{
    struct court *c = *state;
    begin(c);
    add(c, ARM_STABLE, 180, 10);
    add(c, ARM_CANARY, 20, 10.1);
    cJSON *j = report_of(c);
    assert_true(fabs(number(j, "stable_avg_latency_ms") - 10) < 1e-6);
    assert_true(fabs(number(j, "canary_avg_latency_ms") - 10.1) < 1e-6);
    assert_true(number(j, "stable_sample_count") == 180);
    assert_true(number(j, "canary_sample_count") == 20);
    assert_true(number(j, "min_samples") == 36);
    assert_true(number(j, "p_value") > 0.05 && number(j, "p_value") < 0.5);
    assert_true(number(j, "t_statistic") > 0);
    assert_true(number(j, "degrees_of_freedom") > 18);
    assert_true(number(j, "minimum_detectable_effect_ms") > 0.1);
    const cJSON *interval = member(j, "confidence_interval_ms");
    assert_true(interval->child->valuedouble < 0.1);
    assert_true(interval->child->next->valuedouble > 0.1);
    assert_string_equal(member(j, "verdict")->valuestring, "continue");
    assert_true(cJSON_IsTrue(member(j, "canary_active")));
    cJSON_Delete(j);
}

/* Latencies without any variance: t is infinite, which JSON has no number for. */
static void test_infinity_is_null(void **state)
{
    struct court *c = *state;
    begin(c);
    for (int i = 0; i < 40; i++) {
        add_sample(c, ARM_STABLE, 1);
        add_sample(c, ARM_CANARY, 9);
    }
    cJSON *j = report_of(c);
    assert_true(cJSON_IsNull(member(j, "t_statistic")));
    assert_true(number(j, "p_value") == 0);
    assert_true(cJSON_IsNull(member(member(j, "metrics")->child, "evidence")));
    cJSON_Delete(j);
}

static void test_metrics(void **state)
{
    struct court *c = *state;
    begin(c);
    add(c, ARM_STABLE, 40, 1);
    cJSON *j = report_of(c);
    const cJSON *metric = member(j, "metrics")->child;
    assert_non_null(metric);
    assert_string_equal(member(metric, "test")->valuestring, "mean");
    assert_string_equal(member(metric, "clock")->valuestring, "round_trip");
    assert_true(number(metric, "alpha") == 0.0125);
    assert_true(number(metric, "threshold") > 0);
    assert_true(cJSON_IsNull(member(metric, "evidence")));
    assert_true(cJSON_IsNull(member(metric, "fired_at")));
    assert_true(cJSON_IsNull(member(metric, "anytime_p_value")));
    cJSON_Delete(j);
}

/* --- The verdict ------------------------------------------------------------*/

static void make_it_fire(struct court *c)
{
    begin(c);
    add_pairs(c, 60, 1, 10);
}

static void test_verdict_comes_once(void **state)
{
    struct court *c = *state;
    make_it_fire(c);
    assert_int_equal(c->n_verdicts, 1);
    add(c, ARM_CANARY, 100, 20);
    assert_int_equal(c->n_verdicts, 1);
    assert_true(judge_has_fired(c->judge));
    assert_says(c, true, ALERT);
    cJSON *j = report_of(c); /* it was not rolled back: the numbers go on */
    assert_true(number(j, "canary_sample_count") == 160);
    assert_string_equal(member(j, "verdict")->valuestring, "rollback");
    assert_string_equal(member(j, "verdict_test")->valuestring, "mean");
    cJSON_Delete(j);
    begin(c);
    assert_false(judge_has_fired(c->judge));
    make_it_fire(c);
    assert_int_equal(c->n_verdicts, 2);
}

static void test_no_verdict_without_a_canary(void **state)
{
    struct court *c = *state;
    add(c, ARM_STABLE, 40, 1);
    add(c, ARM_CANARY, 40, 10); /* late answers of one that has gone */
    assert_int_equal(c->n_verdicts, 0);
    assert_false(judge_has_fired(c->judge));
    assert_says(c, false, NO_CANARY);
}

static void test_margin(void **state)
{
    struct court *c = *state;
    c->settings->margin_ms = 20;
    make_it_fire(c);
    assert_int_equal(c->n_verdicts, 0);
    assert_says(c, false, ACCEPTABLE);
}

static void test_frozen_report(void **state)
{
    struct court *c = *state;
    c->freezes = true;
    make_it_fire(c);
    cJSON *before = report_of(c);
    assert_true(cJSON_IsTrue(member(before, "alert_triggered")));
    assert_true(cJSON_IsTrue(member(before, "rolled_back")));
    assert_string_equal(member(before, "rolled_back_by")->valuestring, "judge");
    assert_false(cJSON_IsTrue(member(before, "canary_active")));
    assert_true(number(before, "canary_sample_count") == 36);
    assert_says(c, true, ALERT);
    add(c, ARM_STABLE, 50, 3);
    add(c, ARM_CANARY, 50, 3);
    cJSON *after = report_of(c);
    assert_true(cJSON_Compare(before, after, true));
    assert_int_equal(c->n_verdicts, 1);
    begin(c);
    assert_says(c, false, INSUFFICIENT);
    cJSON_Delete(before);
    cJSON_Delete(after);
}

static void test_frozen_with_an_alarm_of_its_own(void **state)
{
    char by[] = "crash-loop", alarm[] = "ALERT: Canary crashed repeatedly: so it was.";
    struct court *c = *state;
    begin(c);
    judge_freeze(c->judge, by, alarm);
    memset(by, 'x', sizeof by - 1); /* both are copied */
    memset(alarm, 'x', sizeof alarm - 1);
    assert_says(c, true, "ALERT: Canary crashed repeatedly: so it was.");
    cJSON *j = report_of(c);
    assert_string_equal(member(j, "rolled_back_by")->valuestring, "crash-loop");
    cJSON_Delete(j);
    judge_end(c->judge);
    assert_says(c, false, NO_CANARY);
}

static double promotion_threshold(const struct court *c, bool *has_samples)
{
    cJSON *j = report_of(c);
    const cJSON *clock = member(member(j, "promotion"), "clocks")->child;
    double threshold = number(member(clock, "mean"), "threshold");
    *has_samples = cJSON_IsTrue(member(clock, "enough_samples"));
    cJSON_Delete(j);
    return threshold;
}

/* From how many samples on, and how sure: both are asked of the settings. */
static void test_promotion_is_set(void **state)
{
    struct court *c = *state;
    bool has_samples;
    c->settings->promotion_min_samples = 60;
    begin(c);
    add_pairs(c, 59, 1, 1);
    promotion_threshold(c, &has_samples);
    assert_false(has_samples);
    add_pairs(c, 1, 1, 1);
    double usual = promotion_threshold(c, &has_samples);
    assert_true(has_samples);
    c->settings->promotion_alpha = 0.001;
    begin(c);
    add_pairs(c, 60, 1, 1);
    assert_true(promotion_threshold(c, &has_samples) > usual + 0.5);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_sentences),
        TEST(test_so_far_counts_the_fewer),
        TEST(test_min_samples_is_a_setting),
        TEST(test_fields_are_always_there),
        TEST(test_nulls_without_samples),
        TEST(test_nulls_with_one_sample),
        TEST(test_numbers),
        TEST(test_infinity_is_null),
        TEST(test_metrics),
        TEST(test_verdict_comes_once),
        TEST(test_no_verdict_without_a_canary),
        TEST(test_margin),
        TEST(test_promotion_is_set),
        TEST(test_frozen_report),
        TEST(test_frozen_with_an_alarm_of_its_own),
    };
    return cmocka_run_group_tests_name("judge", tests, NULL, NULL);
}
