/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Rules through their door: what a report says, when the textbook rule fires,
 * and that a rollback stands.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "judge/health.h"
#include "judge/rule_welch.h"

#define MS 1000000.0

static const struct rule_settings bare = {.alpha = 0.05, .min_samples = 36};

static void add(struct rule *rule, enum arm arm, double ms)
{
    rule_add_sample(rule, arm, (uint64_t)(ms * MS), (uint64_t)(ms * MS) / 2);
}

/* n samples with mean and spread in ms: in turn mean - spread and mean + spread. */
static void add_many(struct rule *rule, enum arm arm, int n, double mean, double spread)
{
    for (int i = 0; i < n; i++)
        add(rule, arm, i % 2 == 0 ? mean - spread : mean + spread);
}

static enum verdict verdict_of(struct rule *rule)
{
    struct rule_report report;
    rule_look(rule, &report);
    return report.verdict;
}

static void assert_near(double got, double want, double relative)
{
    if (!(fabs(got - want) <= relative * fabs(want)))
        fail_msg("got %.17g, expected %.17g within %g of it", got, want, relative);
}

static void test_no_numbers_below_two_samples(void **state)
{
    struct rule *rule = rule_new(&rule_welch, &bare);
    struct rule_report report;
    (void)state;
    rule_look(rule, &report);
    assert_int_equal(report.verdict, VERDICT_NONE);
    add_many(rule, ARM_STABLE, 500, 10, 1);
    add(rule, ARM_CANARY, 99);
    rule_look(rule, &report);
    assert_int_equal(report.verdict, VERDICT_NONE);
    assert_false(report.has_welch);
    assert_null(report.test);
    assert_int_equal(report.round_trip[ARM_STABLE].n, 500);
    assert_near(report.round_trip[ARM_CANARY].mean, 99 * MS, 1e-12);
    assert_int_equal(report.n_metrics, 1);
    assert_true(isnan(report.metrics[0].evidence));
    rule_free(&rule);
    assert_null(rule);
    rule_free(&rule);
}

/* The contract's example: 180 and 20 samples, 15.2 against 16.1 ms. */
static void test_report_has_the_textbook_numbers(void **state)
{
    struct rule *rule = rule_new(&rule_welch, &bare);
    struct rule_report r;
    struct welch want;
    (void)state;
    add_many(rule, ARM_STABLE, 180, 15.2, 5);
    add_many(rule, ARM_CANARY, 20, 16.1, 6);
    rule_look(rule, &r);
    assert_int_equal(r.verdict, VERDICT_CONTINUE);
    assert_int_equal(r.settings.min_samples, 36);
    assert_true(r.has_welch);
    assert_int_equal(
        welch_test(&r.round_trip[ARM_STABLE], &r.round_trip[ARM_CANARY], 0.95, &want, NULL), 0);
    assert_memory_equal(&r.plain, &want, sizeof want);
    assert_memory_equal(&r.decisive, &want, sizeof want);
    assert_near(r.plain.difference, 0.9 * MS, 1e-9);
    assert_near(r.minimum_detectable_effect_ns, welch_minimum_detectable_effect(&want, 0.05, 0.8),
                1e-15);
    assert_string_equal(r.metrics[0].test, "mean");
    assert_string_equal(r.metrics[0].clock, "round_trip");
    assert_near(r.metrics[0].evidence, -log(want.p_greater), 1e-9);
    assert_near(r.metrics[0].threshold, -log(0.05), 1e-12);
    assert_true(isnan(r.metrics[0].anytime_p_value));
    assert_int_equal(r.metrics[0].fired_at, 0);
    rule_free(&rule);
}

static void test_no_rollback_before_min_samples(void **state)
{
    struct rule *rule = rule_new(&rule_welch, &bare);
    struct rule_report report;
    (void)state;
    add_many(rule, ARM_STABLE, 100, 10, 1);
    add_many(rule, ARM_CANARY, 35, 1000, 1);
    rule_look(rule, &report);
    assert_int_equal(report.verdict, VERDICT_CONTINUE);
    assert_true(report.metrics[0].evidence > report.metrics[0].threshold);
    add(rule, ARM_CANARY, 1000);
    rule_look(rule, &report);
    assert_int_equal(report.verdict, VERDICT_ROLLBACK);
    assert_string_equal(report.test, "mean");
    assert_true(report.metrics[0].fires);
    assert_int_equal(report.metrics[0].fired_at, 136);
    rule_free(&rule);
}

static void test_stable_needs_min_samples_too(void **state)
{
    struct rule *rule = rule_new(&rule_welch, &bare);
    (void)state;
    add_many(rule, ARM_STABLE, 35, 10, 1);
    add_many(rule, ARM_CANARY, 100, 1000, 1);
    assert_int_equal(verdict_of(rule), VERDICT_CONTINUE);
    add(rule, ARM_STABLE, 10);
    assert_int_equal(verdict_of(rule), VERDICT_ROLLBACK);
    rule_free(&rule);
}

static void test_faster_or_equal_canary_stays(void **state)
{
    static const double means[] = {1, 9.9, 10};
    (void)state;
    for (size_t i = 0; i < sizeof means / sizeof means[0]; i++) {
        struct rule *rule = rule_new(&rule_welch, &bare);
        add_many(rule, ARM_STABLE, 400, 10, 1);
        add_many(rule, ARM_CANARY, 400, means[i], 1);
        assert_int_equal(verdict_of(rule), VERDICT_CONTINUE);
        rule_free(&rule);
    }
}

/* 12 %, here 1.2 ms, slower: a margin of less does not save it, one of as much does. */
static void test_margin_decides_but_is_not_shown(void **state)
{
    static const struct {
        struct welch_margin margin;
        enum verdict verdict;
    } cases[] = {
        {{.absolute_ns = 0, .ratio = 0}, VERDICT_ROLLBACK},
        {{.absolute_ns = 0.1 * MS, .ratio = 0}, VERDICT_ROLLBACK},
        {{.absolute_ns = 0.1 * MS, .ratio = 0.2}, VERDICT_CONTINUE},
        {{.absolute_ns = 1.2 * MS, .ratio = 0}, VERDICT_CONTINUE},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct rule_settings settings = bare;
        struct rule_report report;
        settings.margin = cases[i].margin;
        struct rule *rule = rule_new(&rule_welch, &settings);
        add_many(rule, ARM_STABLE, 400, 10, 1);
        add_many(rule, ARM_CANARY, 400, 11.2, 1);
        rule_look(rule, &report);
        assert_int_equal(report.verdict, cases[i].verdict);
        assert_true(report.plain.p_greater < 1e-40);
        assert_near(report.plain.difference, 1.2 * MS, 1e-9);
        double changed = (11.2 * MS - settings.margin.absolute_ns) / (1 + settings.margin.ratio);
        assert_true(fabs(report.decisive.difference - (changed - 10 * MS)) < 1e-3);
        rule_free(&rule);
    }
}

static void test_rollback_stands(void **state)
{
    struct rule *rule = rule_new(&rule_welch, &bare);
    struct rule_report report;
    (void)state;
    add_many(rule, ARM_STABLE, 40, 10, 1);
    add_many(rule, ARM_CANARY, 40, 12, 1);
    assert_int_equal(verdict_of(rule), VERDICT_ROLLBACK);
    add_many(rule, ARM_CANARY, 4000, 5, 1);
    rule_look(rule, &report);
    assert_int_equal(report.verdict, VERDICT_ROLLBACK);
    assert_string_equal(report.test, "mean");
    assert_false(report.metrics[0].fires);
    assert_int_equal(report.metrics[0].fired_at, 80);
    assert_true(report.plain.p_greater > 0.99);
    rule_free(&rule);
}

/* A model that always takes the same time has no variance; its numbers are
 * those of the policy in welch.h. */
static void test_constant_latencies(void **state)
{
    struct rule *rule = rule_new(&rule_welch, &bare);
    struct rule_report report;
    (void)state;
    add_many(rule, ARM_STABLE, 36, 10, 0);
    add_many(rule, ARM_CANARY, 36, 10, 0);
    rule_look(rule, &report);
    assert_int_equal(report.verdict, VERDICT_CONTINUE);
    assert_true(report.plain.p_greater == 0.5);
    rule_free(&rule);
    rule = rule_new(&rule_welch, &bare);
    add_many(rule, ARM_STABLE, 36, 10, 0);
    add_many(rule, ARM_CANARY, 36, 11, 0);
    rule_look(rule, &report);
    assert_int_equal(report.verdict, VERDICT_ROLLBACK);
    assert_true(report.metrics[0].evidence == INFINITY);
    rule_free(&rule);
}

/* A restored rule goes on as the saved one would have. */
static void test_memory(void **state)
{
    static uint8_t bytes[RULE_MEMORY_MAX];
    struct rule *rule = rule_new(&rule_welch, &bare);
    struct rule_report before;
    struct rule_report after;
    (void)state;
    add_many(rule, ARM_STABLE, 50, 10, 1);
    add_many(rule, ARM_CANARY, 40, 30, 2);
    rule_look(rule, &before);
    assert_int_equal(before.verdict, VERDICT_ROLLBACK);
    size_t n = rule_save(rule, bytes, sizeof bytes);
    rule_free(&rule);
    rule = rule_restore(&rule_welch, bytes, n);
    assert_non_null(rule);
    rule_look(rule, &after);
    assert_memory_equal(&before.plain, &after.plain, sizeof before.plain);
    assert_int_equal(after.verdict, VERDICT_ROLLBACK);
    assert_int_equal(after.metrics[0].fired_at, before.metrics[0].fired_at);
    assert_true(after.settings.alpha == bare.alpha);
    rule_free(&rule);
    assert_null(rule_restore(&rule_welch, bytes, n - 1));
    assert_null(rule_restore(&rule_welch, bytes, 0));
    bytes[0] ^= 1; /* another kind */
    assert_null(rule_restore(&rule_welch, bytes, n));
}

static void test_names(void **state)
{
    struct rule *rule = rule_new(&rule_welch, &bare);
    (void)state;
    assert_string_equal(rule_name(rule), "welch");
    assert_string_equal(verdict_name(VERDICT_NONE), "none");
    assert_string_equal(verdict_name(VERDICT_CONTINUE), "continue");
    assert_string_equal(verdict_name(VERDICT_ROLLBACK), "rollback");
    rule_free(&rule);
}

/* Counts of many weeks, as programs read them: every digit. */
static void test_report_beyond_32_bits(void **state)
{
    const uint64_t many = (UINT64_C(1) << 32) + 5;
    struct rule *rule = rule_new(&rule_welch, &bare);
    struct health h = {.canary_active = true};
    (void)state;
    add_many(rule, ARM_STABLE, 4, 10, 1);
    add_many(rule, ARM_CANARY, 4, 10, 1);
    rule_look(rule, &h.report);
    h.report.round_trip[ARM_STABLE].n = many;
    h.report.round_trip[ARM_CANARY].n = UINT64_C(999999999999999);
    h.report.metrics[0].fired_at = many;
    cJSON *root = health_to_json(&h);
    char *text = cJSON_PrintUnformatted(root);
    assert_non_null(strstr(text, "\"stable_sample_count\":4294967301,"));
    assert_non_null(strstr(text, "\"canary_sample_count\":999999999999999,"));
    assert_non_null(strstr(text, "\"fired_at\":4294967301"));
    cJSON_free(text);
    cJSON_Delete(root);
    rule_free(&rule);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_numbers_below_two_samples),
        cmocka_unit_test(test_report_has_the_textbook_numbers),
        cmocka_unit_test(test_no_rollback_before_min_samples),
        cmocka_unit_test(test_stable_needs_min_samples_too),
        cmocka_unit_test(test_faster_or_equal_canary_stays),
        cmocka_unit_test(test_margin_decides_but_is_not_shown),
        cmocka_unit_test(test_rollback_stands),
        cmocka_unit_test(test_constant_latencies),
        cmocka_unit_test(test_memory),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_report_beyond_32_bits),
    };
    return cmocka_run_group_tests_name("rule", tests, NULL, NULL);
}
