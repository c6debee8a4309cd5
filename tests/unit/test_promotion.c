/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Promotion: an equal canary is shown to be one, and nothing less than equal,
 * with all that must hold beside it; and how long that is said to take.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/rng.h"
#include "judge/promotion.h"
#include "judge/rule.h"
#include "tests/support/vectors.h"

#define MS INT64_C(1000000)

/* Round trips of 40 to 60 ms, one canary and one baseline in each 10 ms. */
struct trial {
    double canary;      /* times as slow */
    int slow_every;     /* so many canary answers, one takes 200 ms; 0: none */
    int canary_fails;   /* so many of the canary's first calls */
    int baseline_fails; /* and of the baseline's */
    bool has_service;
    struct rng rng;
};

static double latency(struct trial *t, enum arm arm, int i)
{
    double ns = 40e6 + rng_below(&t->rng, 20000000);
    if (arm == ARM_CANARY)
        ns *= t->canary;
    if (arm == ARM_CANARY && t->slow_every > 0 && i % t->slow_every == 0)
        ns = 200e6;
    return ns;
}

static struct rule_settings bare(void)
{
    struct rule_settings s = rule_default_settings();
    for (int clock = 0; clock < N_RULE_CLOCKS; clock++)
        s.clock[clock] = (struct rule_clock_settings){.block_ns = 10 * MS};
    return s;
}

static void serve(struct rule *rule, struct trial *t, int from, int to)
{
    static const enum arm arms[] = {ARM_CANARY, ARM_BASELINE};
    for (int i = from; i < to; i++)
        for (int k = 0; k < 2; k++) {
            bool fails = i < (arms[k] == ARM_CANARY ? t->canary_fails : t->baseline_fails);
            struct rule_ticket ticket = rule_draw(rule, arms[k], k == 1, (10 * i + 5 * k) * MS);
            struct rule_sample sample = {
                .outcome = fails ? OUTCOME_FAULT : OUTCOME_OK,
                .round_trip_ns = (uint64_t)latency(t, arms[k], i),
                .has_service = t->has_service,
            };
            sample.service_ns = sample.round_trip_ns;
            rule_end_call(rule, &ticket, &sample);
        }
}

static struct rule_report report_of(const struct rule *rule)
{
    struct rule_report report;
    rule_look(rule, &report);
    return report;
}

/* A rule with a share open, seeded. */
static struct rule *rule_of(const struct rule_settings *settings, struct trial *t)
{
    struct rule *rule = rule_new(settings);
    rng_seed(&t->rng, 5);
    rule_open_share(rule, ARM_BASELINE, 0);
    return rule;
}

static struct rule_report report_after(const struct rule_settings *settings, struct trial t, int n)
{
    struct rule *rule = rule_of(settings, &t);
    serve(rule, &t, 0, n);
    struct rule_report report = report_of(rule);
    assert_int_equal(rule_has_promoted(rule), report.promotion.promoted_at > 0);
    rule_free(&rule);
    return report;
}

static void test_an_equal_canary_is_promoted(void **state)
{
    const struct rule_settings settings = bare();
    struct rule_report r = report_after(&settings, (struct trial){.canary = 1}, 3000);
    const struct rule_promotion_clock *clock = &r.promotion.clock[RULE_ROUND_TRIP];
    (void)state;
    assert_int_equal(r.verdict, VERDICT_PROMOTE);
    assert_in_range(r.promotion.promoted_at, 400, 3000);
    assert_true(clock->counts && clock->has_samples && r.promotion.errors_are_fine);
    assert_true(clock->mean_is_shown && clock->tail_is_shown);
    assert_true(clock->mean_evidence >= clock->mean_threshold);
    assert_true(clock->tail_evidence >= clock->tail_threshold);
    vectors_close("margin", "ns", clock->margin_ns, 5e6, 0.01);
    vectors_close("spare", "ns", clock->spare_ns, 5e6, 0.1);
    assert_false(r.promotion.clock[RULE_SERVICE].counts);
    assert_true(r.expected.promotion_ns == 0 && r.expected.promotion_draws == 0);
}

static void test_not_before_enough_samples(void **state)
{
    struct rule_settings settings = bare();
    (void)state;
    settings.promotion_min_samples = 2900;
    struct rule_report r = report_after(&settings, (struct trial){.canary = 1}, 2890);
    assert_false(r.promotion.clock[RULE_ROUND_TRIP].has_samples);
    assert_int_equal(r.verdict, VERDICT_INCONCLUSIVE);
    r = report_after(&settings, (struct trial){.canary = 1}, 3500);
    assert_int_equal(r.verdict, VERDICT_PROMOTE);
    assert_true(r.promotion.promoted_at >= 5800);
}

/* Slower by the margin itself, with a guard that sleeps. */
static void test_a_canary_at_the_margin_is_not_promoted(void **state)
{
    struct rule_settings settings = bare();
    (void)state;
    settings.alpha = 1e-300;
    struct rule_report r = report_after(&settings, (struct trial){.canary = 1.1}, 3000);
    assert_int_equal(r.verdict, VERDICT_INCONCLUSIVE);
    assert_false(r.promotion.clock[RULE_ROUND_TRIP].mean_is_shown);
    settings.promotion_margin = 0.2; /* then it is well inside */
    r = report_after(&settings, (struct trial){.canary = 1}, 3000);
    assert_int_equal(r.verdict, VERDICT_PROMOTE);
    vectors_close("margin", "ns", r.promotion.clock[RULE_ROUND_TRIP].margin_ns, 10e6, 0.01);
}

/* The clock's margin is the larger here: 20 % and 1 ms. */
static void test_the_larger_margin_holds(void **state)
{
    struct rule_settings settings = bare();
    (void)state;
    settings.clock[RULE_ROUND_TRIP].margin = (struct welch_margin){1e6, 0.2};
    struct rule_report r = report_after(&settings, (struct trial){.canary = 1.12}, 4000);
    assert_true(r.promotion.clock[RULE_ROUND_TRIP].mean_is_shown);
    vectors_close("margin", "ns", r.promotion.clock[RULE_ROUND_TRIP].margin_ns, 11e6, 0.01);
    vectors_close("spare", "ns", r.promotion.clock[RULE_ROUND_TRIP].spare_ns, 5e6, 0.1);
    assert_int_equal(r.verdict, VERDICT_PROMOTE);
}

/* The mean may be well where one in 20 answers is four times as slow: it isn't. */
static void test_a_slow_tail_is_not_promoted(void **state)
{
    struct rule_settings settings = bare();
    (void)state;
    settings.alpha = 1e-300;
    settings.promotion_margin = 0.5;
    struct rule_report r =
        report_after(&settings, (struct trial){.canary = 1, .slow_every = 14}, 3000);
    assert_true(r.promotion.clock[RULE_ROUND_TRIP].mean_is_shown);
    assert_false(r.promotion.clock[RULE_ROUND_TRIP].tail_is_shown);
    assert_int_equal(r.verdict, VERDICT_INCONCLUSIVE);
}

static void test_errors(void **state)
{
    const struct rule_settings settings = bare();
    (void)state;
    struct rule_report r =
        report_after(&settings, (struct trial){.canary = 1, .canary_fails = 1}, 3000);
    assert_false(r.promotion.errors_are_fine);
    assert_int_equal(r.verdict, VERDICT_INCONCLUSIVE);
    r = report_after(&settings, (struct trial){.canary = 1, .canary_fails = 1, .baseline_fails = 2},
                     3000);
    assert_true(r.promotion.errors_are_fine);
    assert_int_equal(r.verdict, VERDICT_PROMOTE);
}

/* All clocks that may give verdicts have to agree. */
static void test_both_clocks(void **state)
{
    struct rule_settings settings = bare();
    (void)state;
    struct rule_report r =
        report_after(&settings, (struct trial){.canary = 1, .has_service = true}, 3000);
    assert_true(r.promotion.clock[RULE_SERVICE].counts);
    assert_int_equal(r.verdict, VERDICT_PROMOTE);
    for (int row = 0; row < N_RULE_ROWS; row++)
        settings.row[row].observe = true;
    r = report_after(&settings, (struct trial){.canary = 1, .has_service = true}, 3000);
    assert_false(r.promotion.clock[RULE_SERVICE].counts);
    assert_int_equal(r.verdict, VERDICT_INCONCLUSIVE);
}

/* What was promoted may still turn bad: the guard goes on. */
static void test_rollback_outweighs(void **state)
{
    const struct rule_settings settings = bare();
    struct trial t = {.canary = 1};
    struct rule *rule = rule_of(&settings, &t);
    (void)state;
    serve(rule, &t, 0, 3000);
    assert_true(rule_has_promoted(rule) && !rule_has_fired(rule));
    t.canary = 3;
    serve(rule, &t, 3000, 6000);
    assert_true(rule_has_fired(rule));
    assert_int_equal(report_of(rule).verdict, VERDICT_ROLLBACK);
    rule_free(&rule);
}

/* Nor is what was convicted ever promoted, however well it does later. */
static void test_no_promotion_after_a_verdict(void **state)
{
    const struct rule_settings settings = bare();
    struct trial t = {.canary = 3};
    struct rule *rule = rule_of(&settings, &t);
    (void)state;
    serve(rule, &t, 0, 60);
    assert_true(rule_has_fired(rule));
    t.canary = 0.5;
    serve(rule, &t, 60, 4000);
    assert_true(report_of(rule).promotion.clock[RULE_ROUND_TRIP].mean_is_shown);
    assert_true(report_of(rule).promotion.clock[RULE_ROUND_TRIP].tail_is_shown);
    assert_false(rule_has_promoted(rule));
    rule_free(&rule);
}

/* D = (1 + margin) mean of the reference - mean of the canary. */
static void test_what_is_spared(void **state)
{
    const struct comparison c = {.side = {{.n = 3, .mean = 200}, {.n = 3, .mean = 260}}, .raw = 60};
    const double parts[N_SIDES] = {0.5, 0.25};
    struct promotion p = {0};
    (void)state;
    promotion_weigh(&p, 0.5, &c, NULL);
    assert_true(p.spare.last == 1.5 * 200 - 260);
    assert_int_equal(p.tail.g.x.n, 0);
    promotion_weigh(&p, 0.5, &c, parts);
    assert_true(p.tail.g.last == (2 * 0.5 - 0.25) / 2);
}

/* Lucky runs: block differences without spread say nothing that the samples' own
 * spread does not allow. */
static void test_floor(void **state)
{
    struct promotion p = {.first_look = 200};
    const struct rule_settings settings = rule_default_settings();
    const struct welch_margin none = {0};
    struct series d = {0};
    struct moments latency[N_SIDES] = {{.n = 200, .mean = 10e6, .m2 = 199 * 1e14},
                                       {.n = 200, .mean = 10e6, .m2 = 0}};
    const struct boundary boundary = boundary_of(0.05);
    struct promotion_view v = {&p, latency, &d, &none, &settings, &boundary};
    struct rule_promotion_clock out;
    (void)state;
    for (int i = 0; i < 200; i++)
        series_add(&p.spare, 1e6 + i % 2);
    promotion_look(&v, &out);
    /* 1.1 * 10 ms * sqrt(2 / 200) = 1.1 ms: t = 1e6 / 1.1e6 */
    assert_false(out.mean_is_shown);
    vectors_close("floor", "z", out.mean_evidence, boundary_deviate(1000000.5 / 1.1e6, 199), 1e-9);
    latency[SIDE_REFERENCE].m2 = 0;
    promotion_look(&v, &out);
    assert_true(out.mean_is_shown);
}

/* What is foreseen halfway comes about, within a factor of two. */
static void test_expected(void **state)
{
    struct rule_settings settings = bare();
    struct trial t = {.canary = 1};
    settings.promotion_min_samples = 1000;
    struct rule *rule = rule_of(&settings, &t);
    (void)state;
    assert_true(isnan(report_of(rule).expected.promotion_ns));
    serve(rule, &t, 0, 300);
    struct rule_report early = report_of(rule);
    assert_true(early.expected.promotion_draws > 0);
    vectors_close("expected", "ns", early.expected.promotion_ns,
                  early.expected.promotion_draws * 5e6, 0.01);
    serve(rule, &t, 300, 5000);
    double foreseen = 600 + early.expected.promotion_draws;
    double came = (double)report_of(rule).promotion.promoted_at;
    assert_true(came > foreseen / 2 && came < foreseen * 2);
    rule_free(&rule);
}

static void test_expected_rollback(void **state)
{
    struct rule_settings settings = bare();
    struct trial t = {.canary = 1.01};
    struct rule *rule = rule_of(&settings, &t);
    (void)state;
    assert_true(isnan(report_of(rule).expected.rollback_ns));
    serve(rule, &t, 0, 500);
    assert_false(rule_has_fired(rule));
    struct rule_report early = report_of(rule);
    assert_true(early.expected.rollback_draws > 0);
    serve(rule, &t, 500, 20000);
    assert_true(rule_has_fired(rule));
    assert_true(report_of(rule).expected.rollback_ns == 0);
    rule_free(&rule);
    t.canary = 0.5; /* a faster canary is never rolled back for its mean */
    rule = rule_of(&settings, &t);
    serve(rule, &t, 0, 500);
    assert_true(isnan(report_of(rule).expected.rollback_ns));
    rule_free(&rule);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_equal_canary_is_promoted),
        cmocka_unit_test(test_not_before_enough_samples),
        cmocka_unit_test(test_a_canary_at_the_margin_is_not_promoted),
        cmocka_unit_test(test_the_larger_margin_holds),
        cmocka_unit_test(test_a_slow_tail_is_not_promoted),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_both_clocks),
        cmocka_unit_test(test_rollback_outweighs),
        cmocka_unit_test(test_no_promotion_after_a_verdict),
        cmocka_unit_test(test_what_is_spared),
        cmocka_unit_test(test_floor),
        cmocka_unit_test(test_expected),
        cmocka_unit_test(test_expected_rollback),
    };
    return cmocka_run_group_tests_name("promotion", tests, NULL, NULL);
}
