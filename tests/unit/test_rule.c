/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Rules through their door: what a report says, what counts and what does not,
 * when a verdict comes, and that it stands and is remembered.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/rng.h"
#include "judge/health.h"
#include "judge/rule.h"
#include "tests/support/vectors.h"

#define MS UINT64_C(1000000)

/* A server of a tenth canary and a tenth baseline, a request each ms. */
struct bench {
    struct rule *rule;
    struct rng rng;
    int64_t now_ns;
    double canary; /* times as slow as the others */
};

static const enum arm arms[10] = {ARM_BASELINE, ARM_CANARY};

static struct rule_settings bare(void)
{
    struct rule_settings s = rule_default_settings();
    for (int clock = 0; clock < N_RULE_CLOCKS; clock++)
        s.clock[clock] = (struct rule_clock_settings){.block_ns = 10 * (int64_t)MS};
    return s;
}

static struct bench bench_of(const struct rule_settings *settings, double canary)
{
    struct bench b = {.rule = rule_new(settings), .canary = canary};
    rng_seed(&b.rng, 7);
    rule_open_share(b.rule, ARM_BASELINE, 0);
    return b;
}

/* 8 .. 12 ms on the round trip, half of it service. */
static struct rule_sample sample_of(struct bench *b, enum arm arm)
{
    double ns = 8e6 + rng_below(&b->rng, 4000000);
    ns *= arm == ARM_CANARY ? b->canary : 1;
    return (struct rule_sample){
        .round_trip_ns = (uint64_t)ns, .service_ns = (uint64_t)ns / 2, .has_service = true};
}

static struct rule_ticket draw(struct bench *b, int i)
{
    b->now_ns += (int64_t)MS;
    return rule_draw(b->rule, i < 10 ? arms[i] : ARM_STABLE, i == 9, b->now_ns);
}

/* Groups of ten draws, each answered at once. */
static void serve(struct bench *b, int n_groups)
{
    for (int i = 0; i < 10 * n_groups; i++) {
        struct rule_ticket ticket = draw(b, i % 10);
        struct rule_sample sample = sample_of(b, ticket.arm);
        rule_end_call(b->rule, &ticket, &sample);
    }
}

static struct rule_report report_of(const struct rule *rule)
{
    struct rule_report report;
    rule_look(rule, &report);
    assert_int_equal(rule_verdict(rule), report.verdict);
    return report;
}

static enum verdict verdict_of(const struct rule *rule)
{
    return report_of(rule).verdict;
}

/* --- Reports -----------------------------------------------------------------*/

static void test_verdicts_on_the_way(void **state)
{
    const struct rule_settings settings = bare();
    struct bench b = bench_of(&settings, 1);
    (void)state;
    assert_int_equal(verdict_of(b.rule), VERDICT_NONE);
    serve(&b, 1);
    assert_int_equal(verdict_of(b.rule), VERDICT_NONE);
    serve(&b, 1);
    assert_int_equal(verdict_of(b.rule), VERDICT_CONTINUE);
    serve(&b, 33);
    assert_int_equal(verdict_of(b.rule), VERDICT_CONTINUE);
    serve(&b, 1);
    assert_int_equal(verdict_of(b.rule), VERDICT_INCONCLUSIVE);
    rule_free(&b.rule);
    assert_null(b.rule);
    rule_free(&b.rule);
}

/* The contract's example: 180 and 20 samples; baseline is stable to users. */
static void test_textbook_numbers(void **state)
{
    const struct rule_settings settings = rule_default_settings();
    struct bench b = bench_of(&settings, 1.1);
    (void)state;
    serve(&b, 20);
    struct rule_report r = report_of(b.rule);
    assert_int_equal(r.round_trip[ARM_STABLE].n, 160);
    assert_int_equal(r.round_trip[ARM_BASELINE].n, 20);
    assert_int_equal(r.stable_version.n, 180);
    assert_int_equal(r.round_trip[ARM_CANARY].n, 20);
    assert_int_equal(r.n_draws, 200);
    assert_true(r.has_welch);
    struct welch w;
    assert_int_equal(
        welch_test(&r.stable_version, &r.round_trip[ARM_CANARY], WELCH_LEVEL, &w, NULL), 0);
    vectors_close("plain", "p", r.plain.p_greater, w.p_greater, 0);
    assert_true(r.plain.difference > 0 && r.minimum_detectable_effect_ns > 0);
    /* 200 ms are four blocks of 50 and twenty of 10 */
    assert_int_equal(r.effect[RULE_ROUND_TRIP].n_blocks, 4);
    assert_int_equal(r.effect[RULE_SERVICE].n_blocks, 20);
    assert_int_equal(r.effect[RULE_SERVICE].n_samples[SIDE_CANARY], 20);
    rule_free(&b.rule);
}

/* Margins change what decides, never what is shown. */
static void test_margins(void **state)
{
    struct rule_settings settings = bare();
    struct bench strict = bench_of(&settings, 1.5);
    settings.clock[RULE_ROUND_TRIP].margin = (struct welch_margin){0.1 * MS, 0.6};
    settings.clock[RULE_SERVICE].margin = (struct welch_margin){0.1 * MS, 0.6};
    struct bench lenient = bench_of(&settings, 1.5);
    (void)state;
    serve(&strict, 100);
    serve(&lenient, 100);
    assert_int_equal(verdict_of(strict.rule), VERDICT_ROLLBACK);
    assert_int_equal(verdict_of(lenient.rule), VERDICT_INCONCLUSIVE);
    struct rule_effect a = report_of(strict.rule).effect[RULE_ROUND_TRIP];
    struct rule_effect b = report_of(lenient.rule).effect[RULE_ROUND_TRIP];
    assert_true(a.difference == b.difference && a.difference > 4e6);
    assert_true(a.interval_low > 0 && a.interval_low == b.interval_low);
    rule_free(&strict.rule);
    rule_free(&lenient.rule);
}

/* --- What counts -------------------------------------------------------------*/

static void test_stalled_is_told_and_not_weighed(void **state)
{
    const struct rule_settings settings = bare();
    struct bench b = bench_of(&settings, 1);
    (void)state;
    for (int i = 0; i < 200; i++) {
        struct rule_ticket ticket = draw(&b, i % 10);
        struct rule_sample sample = sample_of(&b, ticket.arm);
        sample.stalled = i >= 100 && i < 150;
        rule_end_call(b.rule, &ticket, &sample);
    }
    struct rule_report r = report_of(b.rule);
    assert_int_equal(r.n_stalled, 50);
    assert_int_equal(r.round_trip[ARM_CANARY].n, 20);
    assert_int_equal(r.effect[RULE_ROUND_TRIP].n_samples[SIDE_CANARY], 15);
    assert_int_equal(r.effect[RULE_SERVICE].n_samples[SIDE_CANARY], 20);
    rule_free(&b.rule);
}

static void test_failed_calls_have_no_latency(void **state)
{
    const struct rule_settings settings = bare();
    struct bench b = bench_of(&settings, 1);
    (void)state;
    for (int i = 0; i < 100; i++) {
        struct rule_ticket ticket = draw(&b, i % 10);
        struct rule_sample sample = sample_of(&b, ticket.arm);
        if (ticket.arm == ARM_CANARY && i >= 20)
            sample.outcome = i < 50 ? OUTCOME_FAULT : i < 80 ? OUTCOME_DEATH : OUTCOME_UNASKED;
        rule_end_call(b.rule, &ticket, &sample);
    }
    struct rule_report r = report_of(b.rule);
    assert_int_equal(r.round_trip[ARM_CANARY].n, 2);
    assert_int_equal(r.n_outcomes[ARM_CANARY][OUTCOME_OK], 2);
    assert_int_equal(r.n_outcomes[ARM_CANARY][OUTCOME_FAULT], 3);
    assert_int_equal(r.n_outcomes[ARM_CANARY][OUTCOME_DEATH], 3);
    assert_int_equal(r.n_outcomes[ARM_CANARY][OUTCOME_UNASKED], 2);
    assert_int_equal(r.effect[RULE_SERVICE].n_blocks, 2); /* the others had no canary latency */
    assert_int_equal(r.effect[RULE_SERVICE].n_samples[SIDE_REFERENCE], 2);
    rule_free(&b.rule);
}

static void test_without_service_times(void **state)
{
    const struct rule_settings settings = bare();
    struct bench b = bench_of(&settings, 2);
    (void)state;
    for (int i = 0; i < 1000; i++) {
        struct rule_ticket ticket = draw(&b, i % 10);
        struct rule_sample sample = sample_of(&b, ticket.arm);
        sample.has_service = false;
        rule_end_call(b.rule, &ticket, &sample);
    }
    struct rule_report r = report_of(b.rule);
    assert_int_equal(r.verdict, VERDICT_ROLLBACK);
    assert_string_equal(r.clock, "round_trip");
    assert_int_equal(r.effect[RULE_SERVICE].n_blocks, 0);
    assert_true(isnan(r.metrics[ROW_SERVICE_MEAN].evidence));
    rule_free(&b.rule);
}

/* Where stable is the baseline, all of it is compared. */
static void test_stable_as_the_reference(void **state)
{
    const struct rule_settings settings = bare();
    struct bench b = bench_of(&settings, 2);
    (void)state;
    rule_open_share(b.rule, ARM_STABLE, 0);
    for (int i = 0; i < 1000; i++) {
        b.now_ns += (int64_t)MS;
        struct rule_ticket ticket =
            rule_draw(b.rule, i % 10 == 4 ? ARM_CANARY : ARM_STABLE, i % 10 == 9, b.now_ns);
        struct rule_sample sample = sample_of(&b, ticket.arm);
        rule_end_call(b.rule, &ticket, &sample);
    }
    struct rule_report r = report_of(b.rule);
    assert_int_equal(r.reference, ARM_STABLE);
    assert_int_equal(r.effect[RULE_SERVICE].n_samples[SIDE_REFERENCE], 900);
    assert_int_equal(r.verdict, VERDICT_ROLLBACK);
    rule_free(&b.rule);
}

/* Calls of before a new share are answers, and no evidence. */
static void test_a_new_share_drops_open_blocks(void **state)
{
    const struct rule_settings settings = bare();
    struct bench b = bench_of(&settings, 1);
    struct rule_ticket late[10];
    (void)state;
    serve(&b, 20);
    for (int i = 0; i < 10; i++)
        late[i] = draw(&b, i);
    rule_open_share(b.rule, ARM_BASELINE, b.now_ns);
    serve(&b, 20);
    for (int i = 0; i < 10; i++) {
        struct rule_sample sample = sample_of(&b, late[i].arm);
        assert_false(rule_end_call(b.rule, &late[i], &sample));
    }
    struct rule_report r = report_of(b.rule);
    assert_int_equal(r.effect[RULE_ROUND_TRIP].n_samples[SIDE_CANARY], 40);
    assert_int_equal(r.round_trip[ARM_CANARY].n, 41);
    assert_int_equal(r.n_draws, 410);
    rule_free(&b.rule);
}

static void test_stable_between_deployments(void **state)
{
    const struct rule_settings settings = bare();
    struct rule *rule = rule_new(&settings);
    (void)state;
    rule_add_stable(rule, 3 * MS);
    rule_add_stable(rule, 5 * MS);
    struct rule_report r = report_of(rule);
    assert_int_equal(r.stable_version.n, 2);
    assert_true(r.stable_version.mean == 4e6);
    assert_int_equal(r.verdict, VERDICT_NONE);
    rule_free(&rule);
}

/* --- Verdicts ----------------------------------------------------------------*/

static void test_rollback_comes_with_its_row_and_stands(void **state)
{
    const struct rule_settings settings = bare();
    struct bench b = bench_of(&settings, 1.5);
    (void)state;
    serve(&b, 35);
    assert_false(rule_has_fired(b.rule)); /* before min_samples */
    serve(&b, 40);
    struct rule_report r = report_of(b.rule);
    assert_true(rule_has_fired(b.rule));
    assert_int_equal(r.verdict, VERDICT_ROLLBACK);
    assert_string_equal(r.subject, "latency");
    assert_int_equal(r.metrics[ROW_MEAN].fired_at, 360);
    assert_true(r.metrics[ROW_MEAN].evidence > r.metrics[ROW_MEAN].threshold);
    assert_true(r.metrics[ROW_MEAN].anytime_p_value < r.metrics[ROW_MEAN].alpha);
    b.canary = 0.5;
    serve(&b, 1000);
    r = report_of(b.rule);
    assert_int_equal(r.verdict, VERDICT_ROLLBACK);
    assert_int_equal(r.metrics[ROW_MEAN].fired_at, 360);
    assert_true(r.metrics[ROW_MEAN].evidence < r.metrics[ROW_MEAN].threshold);
    rule_free(&b.rule);
}

/* A row that is only observed says when it fired, and nobody is rolled back. */
static void test_observed_rows(void **state)
{
    struct rule_settings settings = bare();
    for (int row = 0; row < N_RULE_ROWS; row++)
        settings.row[row].observe = true;
    struct bench b = bench_of(&settings, 1.5);
    (void)state;
    serve(&b, 75);
    struct rule_report r = report_of(b.rule);
    assert_int_equal(r.verdict, VERDICT_INCONCLUSIVE);
    assert_false(rule_has_fired(b.rule));
    assert_null(r.test);
    assert_int_equal(r.metrics[ROW_MEAN].fired_at, 360);
    assert_true(r.metrics[ROW_MEAN].observe);
    rule_free(&b.rule);
}

static void test_constant_latencies_say_nothing(void **state)
{
    const struct rule_settings settings = bare();
    struct bench b = bench_of(&settings, 1);
    const struct rule_sample sample = {
        .round_trip_ns = 5 * MS, .service_ns = 1, .has_service = true};
    (void)state;
    for (int i = 0; i < 1000; i++) {
        struct rule_ticket ticket = draw(&b, i % 10);
        rule_end_call(b.rule, &ticket, &sample);
    }
    struct rule_report r = report_of(b.rule);
    assert_int_equal(r.verdict, VERDICT_INCONCLUSIVE);
    assert_true(isnan(r.metrics[ROW_MEAN].evidence));
    assert_true(r.effect[RULE_ROUND_TRIP].difference == 0);
    assert_true(r.effect[RULE_ROUND_TRIP].interval_high == 0);
    rule_free(&b.rule);
}

/* --- Memory ------------------------------------------------------------------*/

struct saved {
    uint8_t counts[RULE_COUNTS_MAX];
    uint8_t evidence[RULE_EVIDENCE_MAX];
    struct rule_memory memory;
};

static void save(const struct rule *rule, struct saved *s)
{
    s->memory = (struct rule_memory){.counts = s->counts, .evidence = s->evidence};
    s->memory.n_counts = rule_save_counts(rule, s->counts, sizeof s->counts);
    s->memory.n_evidence = rule_save_evidence(rule, s->evidence, sizeof s->evidence);
}

/* A restored rule goes on as one would have that opened its share anew. */
static void check_memory_at(int n_groups)
{
    static struct saved saved, one, other;
    const struct rule_settings settings = bare();
    struct bench b = bench_of(&settings, 1.2);
    serve(&b, n_groups);
    save(b.rule, &saved);
    struct bench again = b;
    again.rule = rule_restore(&saved.memory);
    assert_non_null(again.rule);
    rule_open_share(b.rule, ARM_BASELINE, b.now_ns);
    rule_open_share(again.rule, ARM_BASELINE, b.now_ns);
    serve(&b, 30);
    serve(&again, 30);
    save(b.rule, &one);
    save(again.rule, &other);
    assert_memory_equal(one.evidence, other.evidence, one.memory.n_evidence);
    assert_memory_equal(one.counts, other.counts, one.memory.n_counts);
    assert_int_equal(rule_has_fired(b.rule), rule_has_fired(again.rule));
    rule_free(&b.rule);
    rule_free(&again.rule);
}

static void test_memory_at_any_block(void **state)
{
    (void)state;
    for (int n = 0; n < 80; n++)
        check_memory_at(n);
}

static void test_memory_that_is_not_ours(void **state)
{
    static struct saved s;
    const struct rule_settings settings = bare();
    struct bench b = bench_of(&settings, 1.2);
    (void)state;
    serve(&b, 60);
    save(b.rule, &s);
    struct rule_memory m = s.memory;
    m.n_evidence = 0; /* none had been weighed */
    struct rule *rule = rule_restore(&m);
    assert_int_equal(report_of(rule).round_trip[ARM_CANARY].n, 60);
    assert_int_equal(report_of(rule).effect[RULE_SERVICE].n_blocks, 0);
    rule_free(&rule);
    m = s.memory;
    m.n_counts--;
    assert_null(rule_restore(&m));
    m = s.memory;
    m.n_evidence--;
    assert_null(rule_restore(&m));
    s.evidence[0] ^= 1; /* another kind */
    assert_null(rule_restore(&s.memory));
    s.evidence[0] ^= 1;
    s.counts[0] ^= 1;
    assert_null(rule_restore(&s.memory));
    s.counts[0] ^= 1;
    memset(s.evidence + 100, 0xff, 600); /* NaNs */
    assert_null(rule_restore(&s.memory));
    rule_free(&b.rule);
}

/* Found by fuzz_memory: a row's part of alpha that is the least number there is,
 * the half of which is 0. */
static void test_memory_with_the_least_alpha(void **state)
{
    static struct saved s;
    const struct rule_settings settings = bare();
    struct bench b = bench_of(&settings, 1.2);
    double part = 4.9406564584124654e-324 / settings.alpha;
    (void)state;
    save(b.rule, &s);
    char *at = memmem(s.counts, sizeof s.counts, &settings, sizeof settings);
    assert_non_null(at);
    memcpy(at + offsetof(struct rule_settings, row[ROW_MEAN].part), &part, sizeof part);
    assert_null(rule_restore(&s.memory));
    rule_free(&b.rule);
}

static void test_names(void **state)
{
    (void)state;
    assert_string_equal(verdict_name(VERDICT_NONE), "none");
    assert_string_equal(verdict_name(VERDICT_CONTINUE), "continue");
    assert_string_equal(verdict_name(VERDICT_INCONCLUSIVE), "inconclusive");
    assert_string_equal(verdict_name(VERDICT_PROMOTE), "promote");
    assert_string_equal(verdict_name(VERDICT_ROLLBACK), "rollback");
    for (enum rule_row row = 0; row < N_RULE_ROWS; row++)
        assert_int_equal(rule_row_by_name(rule_row_name(row), strlen(rule_row_name(row))), row);
    assert_int_equal(rule_row_by_name("meanest", 4), ROW_MEAN);
    assert_int_equal(rule_row_by_name("means", 5), N_RULE_ROWS);
    static const char *const wrong[] = {",", "mean,", ",mean", "mean,,tail", "means", "mean tail"};
    bool marks[N_RULE_ROWS];
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_false(rule_read_rows(wrong[i], marks));
    assert_true(rule_read_rows("service-tail,errors", marks));
    for (enum rule_row row = 0; row < N_RULE_ROWS; row++)
        assert_int_equal(marks[row], row == ROW_SERVICE_TAIL || row == ROW_ERRORS);
    assert_true(rule_read_rows("", marks));
    assert_false(marks[ROW_SERVICE_TAIL]);
}

/* Counts of many weeks, as programs read them: every digit. */
static void test_report_beyond_32_bits(void **state)
{
    const struct rule_settings settings = bare();
    const uint64_t many = (UINT64_C(1) << 32) + 5;
    struct bench b = bench_of(&settings, 1);
    struct health h = {.canary_active = true};
    (void)state;
    serve(&b, 4);
    h.report = report_of(b.rule);
    h.report.stable_version.n = many;
    h.report.round_trip[ARM_CANARY].n = UINT64_C(999999999999999);
    h.report.metrics[0].fired_at = many;
    cJSON *root = health_to_json(&h);
    char *text = cJSON_PrintUnformatted(root);
    assert_non_null(strstr(text, "\"stable_sample_count\":4294967301,"));
    assert_non_null(strstr(text, "\"canary_sample_count\":999999999999999,"));
    assert_non_null(strstr(text, "\"fired_at\":4294967301"));
    cJSON_free(text);
    cJSON_Delete(root);
    rule_free(&b.rule);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_verdicts_on_the_way),
        cmocka_unit_test(test_textbook_numbers),
        cmocka_unit_test(test_margins),
        cmocka_unit_test(test_stalled_is_told_and_not_weighed),
        cmocka_unit_test(test_failed_calls_have_no_latency),
        cmocka_unit_test(test_without_service_times),
        cmocka_unit_test(test_stable_as_the_reference),
        cmocka_unit_test(test_a_new_share_drops_open_blocks),
        cmocka_unit_test(test_stable_between_deployments),
        cmocka_unit_test(test_rollback_comes_with_its_row_and_stands),
        cmocka_unit_test(test_observed_rows),
        cmocka_unit_test(test_constant_latencies_say_nothing),
        cmocka_unit_test(test_memory_at_any_block),
        cmocka_unit_test(test_memory_that_is_not_ours),
        cmocka_unit_test(test_memory_with_the_least_alpha),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_report_beyond_32_bits),
    };
    return cmocka_run_group_tests_name("rule", tests, NULL, NULL);
}
