/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What must hold for any traffic: the order in which calls end changes nothing
 * but when blocks are weighed, to the last bit; a rule goes on from any block's end
 * as if nothing had been; replicas add up; numbers stand far from zero.
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
#include "judge/rule.h"
#include "tests/support/vectors.h"

#define N_DRAWS 4000
#define MS      INT64_C(1000000)

/* Traffic in advance: who is drawn when, and what comes of it. */
struct event {
    enum arm arm;
    bool ends_group;
    int64_t at_ns;
    struct rule_sample sample;
};

struct traffic {
    struct event event[N_DRAWS];
};

static uint64_t latency(struct rng *r, enum arm arm, double canary)
{
    double u = (double)(1 + rng_below(r, 1000000)) / 1000000;
    double ns = 1e6 * pow(u, -1 / 2.5); /* Pareto */
    return (uint64_t)(arm == ARM_CANARY ? ns * canary : ns);
}

static enum outcome outcome_of(struct rng *r)
{
    uint32_t lot = rng_below(r, 200);
    return lot < OUTCOME_UNASKED ? (enum outcome)(lot + 1) : OUTCOME_OK;
}

/* Groups of ten with one of each at random places, at random times. */
static void make_traffic(struct traffic *t, uint64_t seed, double canary)
{
    struct rng r;
    int64_t now = 0;
    uint32_t a = 0, b = 0;
    rng_seed(&r, seed);
    for (uint32_t i = 0; i < N_DRAWS; i++) {
        struct event *e = &t->event[i];
        if (i % 10 == 0) {
            a = rng_below(&r, 10);
            b = (a + 1 + rng_below(&r, 9)) % 10;
        }
        now += rng_below(&r, 2 * MS);
        e->arm = i % 10 == a ? ARM_CANARY : i % 10 == b ? ARM_BASELINE : ARM_STABLE;
        e->ends_group = i % 10 == 9;
        e->at_ns = now;
        e->sample = (struct rule_sample){.outcome = outcome_of(&r),
                                         .round_trip_ns = latency(&r, e->arm, canary),
                                         .service_ns = latency(&r, e->arm, canary) / 3,
                                         .has_service = rng_below(&r, 50) > 0,
                                         .stalled = rng_below(&r, 50) == 0};
    }
}

static struct rule_settings settings_of_test(void)
{
    struct rule_settings s = rule_default_settings();
    s.clock[RULE_ROUND_TRIP].margin = (struct welch_margin){1000, 0.02};
    return s;
}

static struct rule *open_rule(void)
{
    const struct rule_settings settings = settings_of_test();
    struct rule *rule = rule_new(&settings);
    rule_open_share(rule, ARM_BASELINE, 0);
    return rule;
}

static struct rule_ticket draw(struct rule *rule, const struct event *e)
{
    return rule_draw(rule, e->arm, e->ends_group, e->at_ns);
}

struct evidence {
    size_t n;
    uint8_t bytes[RULE_EVIDENCE_MAX];
};

static void save(const struct rule *rule, struct evidence *out)
{
    memset(out, 0, sizeof *out);
    out->n = rule_save_evidence(rule, out->bytes, sizeof out->bytes);
}

/* Each call ends before the next is drawn. */
static struct rule *run_in_order(const struct traffic *t, struct evidence *out)
{
    struct rule *rule = open_rule();
    for (int i = 0; i < N_DRAWS; i++) {
        struct rule_ticket ticket = draw(rule, &t->event[i]);
        rule_end_call(rule, &ticket, &t->event[i].sample);
    }
    save(rule, out);
    return rule;
}

/* Up to width calls are on their way; which ends next is drawn by lot. */
static struct rule *run_shuffled(const struct traffic *t, size_t width, uint64_t seed,
                                 struct evidence *out)
{
    static struct rule_ticket waiting[N_DRAWS];
    struct rule *rule = open_rule();
    struct rng r;
    size_t n = 0;
    rng_seed(&r, seed);
    for (size_t i = 0; i < N_DRAWS || n > 0;) {
        if (i < N_DRAWS && n < width) {
            waiting[n++] = draw(rule, &t->event[i++]);
            continue;
        }
        size_t k = rng_below(&r, (uint32_t)n);
        rule_end_call(rule, &waiting[k], &t->event[waiting[k].draw - 1].sample);
        waiting[k] = waiting[--n];
    }
    save(rule, out);
    return rule;
}

static void test_the_order_of_endings_leaves_no_trace(void **state)
{
    static const double canaries[] = {1, 1.1, 3};
    static const size_t widths[] = {2, 10, 64, 300};
    static struct traffic t;
    static struct evidence one, other;
    (void)state;
    for (uint64_t i = 0; i < 60; i++) {
        make_traffic(&t, i, canaries[i % 3]);
        struct rule *straight = run_in_order(&t, &one);
        struct rule *shuffled = run_shuffled(&t, widths[i % 4], i, &other);
        assert_int_equal(one.n, other.n);
        assert_memory_equal(one.bytes, other.bytes, one.n);
        assert_int_equal(rule_has_fired(straight), rule_has_fired(shuffled));
        assert_true(rule_has_fired(straight) || canaries[i % 3] < 2);
        rule_free(&straight);
        rule_free(&shuffled);
    }
}

/* What is weighed is what was drawn in closed blocks, each latency once. */
static void test_every_latency_is_weighed_once(void **state)
{
    static struct traffic t;
    static struct evidence e;
    struct rule_report report;
    uint64_t n = 0;
    (void)state;
    make_traffic(&t, 1, 1);
    for (int i = 0; i < N_DRAWS; i++)
        t.event[i].sample.outcome = OUTCOME_OK;
    struct rule *rule = run_shuffled(&t, 20, 1, &e);
    rule_look(rule, &report);
    const struct rule_effect *effect = &report.effect[RULE_SERVICE];
    for (int i = 0; i < N_DRAWS; i++)
        n += t.event[i].arm == ARM_CANARY && t.event[i].sample.has_service;
    assert_in_range(effect->n_samples[SIDE_CANARY], n - 20, n);
    assert_int_equal(report.n_draws, N_DRAWS);
    rule_free(&rule);
}

static struct rule *restored(const struct rule *rule)
{
    static struct evidence e;
    static uint8_t counts[RULE_COUNTS_MAX];
    save(rule, &e);
    const struct rule_memory memory = {.counts = counts,
                                       .n_counts = rule_save_counts(rule, counts, sizeof counts),
                                       .evidence = e.bytes,
                                       .n_evidence = e.n};
    return rule_restore(&memory);
}

/* At every 370th draw a crash: what goes on does as if the share had been opened anew. */
static void test_going_on_after_crashes(void **state)
{
    static struct traffic t;
    static struct evidence one, other;
    struct rule_report a, b;
    (void)state;
    make_traffic(&t, 3, 1.05);
    struct rule *straight = open_rule();
    struct rule *crashing = open_rule();
    for (int i = 0; i < N_DRAWS; i++) {
        const struct event *e = &t.event[i];
        struct rule_ticket ticket = draw(straight, e);
        rule_end_call(straight, &ticket, &e->sample);
        ticket = draw(crashing, e);
        rule_end_call(crashing, &ticket, &e->sample);
        if (i % 370 != 369)
            continue;
        struct rule *next = restored(crashing);
        assert_non_null(next);
        rule_free(&crashing);
        crashing = next;
        rule_open_share(straight, ARM_BASELINE, e->at_ns);
        rule_open_share(crashing, ARM_BASELINE, e->at_ns);
    }
    save(straight, &one);
    save(crashing, &other);
    assert_memory_equal(one.bytes, other.bytes, one.n);
    rule_look(straight, &a);
    rule_look(crashing, &b);
    assert_memory_equal(&a.plain, &b.plain, sizeof a.plain);
    assert_memory_equal(a.n_outcomes, b.n_outcomes, sizeof a.n_outcomes);
    assert_true(a.effect[RULE_ROUND_TRIP].n_blocks > 12);
    rule_free(&straight);
    rule_free(&crashing);
}

/* Memory with a byte changed is refused or harmless: never the end of the process. */
static void test_spoilt_memory(void **state)
{
    static struct traffic t;
    static struct evidence e;
    static uint8_t counts[RULE_COUNTS_MAX];
    struct rule_report report;
    struct rng r;
    int n_refused = 0;
    (void)state;
    make_traffic(&t, 7, 1.05);
    struct rule *rule = run_in_order(&t, &e);
    size_t n_counts = rule_save_counts(rule, counts, sizeof counts);
    const struct rule_memory memory = {counts, n_counts, e.bytes, e.n};
    rule_free(&rule);
    rng_seed(&r, 7);
    for (int i = 0; i < 4000; i++) {
        uint8_t *at = i % 2 == 0 ? &counts[rng_below(&r, (uint32_t)n_counts)]
                                 : &e.bytes[rng_below(&r, (uint32_t)e.n)];
        uint8_t was = *at;
        *at = (uint8_t)rng_below(&r, 256);
        rule = rule_restore(&memory);
        n_refused += rule == NULL;
        if (rule != NULL) {
            rule_open_share(rule, ARM_BASELINE, 0);
            for (int k = 0; k < 100; k++) {
                struct rule_ticket ticket = draw(rule, &t.event[k]);
                rule_end_call(rule, &ticket, &t.event[k].sample);
            }
            rule_look(rule, &report);
        }
        rule_free(&rule);
        *at = was;
    }
    assert_true(n_refused > 500);
    rule = rule_restore(&memory);
    assert_non_null(rule);
    rule_free(&rule);
}

/* Two replicas with half the traffic each know as much as one with all. */
static void test_replicas_add(void **state)
{
    static struct traffic t;
    static struct evidence e;
    struct rule_report one, other, both;
    (void)state;
    make_traffic(&t, 4, 1.1);
    struct rule *a = run_in_order(&t, &e);
    make_traffic(&t, 5, 1.1);
    struct rule *b = run_in_order(&t, &e);
    rule_look(a, &one);
    rule_look(b, &other);
    rule_merge(a, b);
    rule_look(a, &both);
    for (int clock = 0; clock < N_RULE_CLOCKS; clock++) {
        const struct rule_effect *x = &one.effect[clock], *y = &other.effect[clock];
        double n = (double)(x->n_blocks + y->n_blocks);
        double mean =
            (x->difference * (double)x->n_blocks + y->difference * (double)y->n_blocks) / n;
        assert_int_equal(both.effect[clock].n_blocks, x->n_blocks + y->n_blocks);
        vectors_close("merged", "difference", both.effect[clock].difference, mean, 1e-9);
        assert_true(both.effect[clock].standard_error < x->standard_error);
    }
    assert_int_equal(both.round_trip[ARM_CANARY].n,
                     one.round_trip[ARM_CANARY].n + other.round_trip[ARM_CANARY].n);
    assert_int_equal(both.n_draws, 2 * N_DRAWS);
    assert_int_equal(both.n_outcomes[ARM_CANARY][OUTCOME_FAULT],
                     one.n_outcomes[ARM_CANARY][OUTCOME_FAULT] +
                         other.n_outcomes[ARM_CANARY][OUTCOME_FAULT]);
    struct rule *again = restored(a); /* it is as sound as any */
    assert_non_null(again);
    rule_free(&again);
    rule_free(&a);
    rule_free(&b);
}

/* The verdict of one is everybody's. */
static void test_a_replicas_verdict_is_taken_over(void **state)
{
    static struct traffic t;
    static struct evidence e;
    struct rule_report report;
    (void)state;
    make_traffic(&t, 6, 4);
    struct rule *bad = run_in_order(&t, &e);
    struct rule *calm = open_rule();
    assert_true(rule_has_fired(bad));
    rule_merge(calm, bad);
    assert_true(rule_has_fired(calm));
    rule_look(calm, &report);
    assert_non_null(report.test);
    assert_string_equal(report.subject, "latency");
    rule_free(&bad);
    rule_free(&calm);
}

/* Latencies about 1,000 s that differ by ns: the difference keeps its digits. */
static void test_far_from_zero(void **state)
{
    struct rule_settings s = rule_default_settings();
    struct rule_report report;
    struct rng r;
    (void)state;
    for (int clock = 0; clock < N_RULE_CLOCKS; clock++)
        s.clock[clock] = (struct rule_clock_settings){0};
    struct rule *rule = rule_new(&s);
    rng_seed(&r, 9);
    rule_open_share(rule, ARM_BASELINE, 0);
    for (int i = 0; i < 4000; i++) {
        enum arm arm = i % 2 == 0 ? ARM_CANARY : ARM_BASELINE;
        struct rule_ticket ticket = rule_draw(rule, arm, i % 2 == 1, i);
        struct rule_sample sample = {.round_trip_ns = UINT64_C(1000000000000) + rng_below(&r, 101) +
                                                      (arm == ARM_CANARY ? 10 : 0)};
        rule_end_call(rule, &ticket, &sample);
    }
    rule_look(rule, &report);
    const struct rule_effect *effect = &report.effect[RULE_ROUND_TRIP];
    assert_true(fabs(effect->difference - 10) < 4);
    vectors_close("SE", "ns", effect->standard_error, sqrt(2 * 850.0 / 2000), 0.1);
    vectors_near("plain", "difference", report.plain.difference, effect->difference, 1e-6);
    assert_true(rule_has_fired(rule));
    rule_free(&rule);
}

/* A canary that always fails is found after eleven blocks, without a sample of its own. */
static void test_eleven_blocks_of_errors(void **state)
{
    struct rule_settings s = rule_default_settings();
    struct rule_report report;
    struct rule *rule = rule_new(&s);
    int n = 0;
    (void)state;
    rule_open_share(rule, ARM_BASELINE, 0);
    while (!rule_has_fired(rule) && ++n < 1000) {
        enum arm arm = n % 2 == 0 ? ARM_CANARY : ARM_BASELINE;
        struct rule_ticket ticket = rule_draw(rule, arm, n % 2 == 0, n * 5 * MS);
        struct rule_sample sample = {.round_trip_ns = 1000};
        if (arm == ARM_CANARY)
            sample.outcome = OUTCOME_TIMEOUT;
        rule_end_call(rule, &ticket, &sample);
    }
    rule_look(rule, &report);
    assert_int_equal(n, 22);
    assert_int_equal(report.verdict, VERDICT_ROLLBACK);
    assert_string_equal(report.test, "errors");
    assert_null(report.clock);
    assert_string_equal(report.subject, "error rate");
    assert_int_equal(report.metrics[ROW_ERRORS].fired_at, 22);
    assert_false(report.has_welch);
    rule_free(&rule);
}

/* Only the slowest answers got slower: then it is the tail that is named. */
static void test_the_tail_is_named(void **state)
{
    struct rule_settings s = rule_default_settings();
    struct rule_report report;
    struct rng r;
    int n = 0;
    (void)state;
    for (int clock = 0; clock < N_RULE_CLOCKS; clock++)
        s.clock[clock] = (struct rule_clock_settings){0};
    s.row[ROW_MEAN].observe = true;
    struct rule *rule = rule_new(&s);
    rng_seed(&r, 12);
    rule_open_share(rule, ARM_BASELINE, 0);
    while (!rule_has_fired(rule) && ++n < 40000) {
        enum arm arm = n % 2 == 0 ? ARM_CANARY : ARM_BASELINE;
        struct rule_ticket ticket = rule_draw(rule, arm, n % 2 == 0, n);
        bool is_slow = arm == ARM_CANARY && rng_below(&r, 10) == 0;
        bool is_fast = arm == ARM_CANARY && rng_below(&r, 4) == 0; /* the bulk is no slower */
        struct rule_sample sample = {.round_trip_ns = is_slow   ? 50 * MS
                                                      : is_fast ? MS
                                                                : MS + rng_below(&r, 1000000)};
        rule_end_call(rule, &ticket, &sample);
    }
    rule_look(rule, &report);
    assert_true(rule_has_fired(rule));
    assert_string_equal(report.test, "tail");
    assert_string_equal(report.clock, "round_trip");
    assert_string_equal(report.subject, "tail latency");
    rule_free(&rule);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_order_of_endings_leaves_no_trace),
        cmocka_unit_test(test_every_latency_is_weighed_once),
        cmocka_unit_test(test_going_on_after_crashes),
        cmocka_unit_test(test_spoilt_memory),
        cmocka_unit_test(test_replicas_add),
        cmocka_unit_test(test_a_replicas_verdict_is_taken_over),
        cmocka_unit_test(test_far_from_zero),
        cmocka_unit_test(test_eleven_blocks_of_errors),
        cmocka_unit_test(test_the_tail_is_named),
    };
    return cmocka_run_group_tests_name("rule properties", tests, NULL, NULL);
}
