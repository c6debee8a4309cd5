/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Row T: where its thresholds come from and when, what a margin is to it, and
 * what it can tell apart. Its numbers are held against vectors in test_guard.c.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/rng.h"
#include "judge/row_tail.h"
#include "tests/support/vectors.h"

#define N 4 /* latencies a side and block */

static const struct welch_margin none;

struct pair {
    uint64_t latency[N_SIDES][N];
    struct block block;
};

static const struct block *block_of(struct pair *p)
{
    p->block = (struct block){0};
    for (int side = 0; side < N_SIDES; side++)
        p->block.side[side] = (struct block_side){.latency_ns = p->latency[side], .n_latencies = N};
    return &p->block;
}

/* Both sides alike: 1.0 to 1.2 ms, and one in 50 is 3 ms. */
static void draw(struct rng *r, struct pair *p)
{
    for (int side = 0; side < N_SIDES; side++)
        for (int i = 0; i < N; i++)
            p->latency[side][i] = rng_below(r, 50) == 0 ? 3000000 : 1000000 + rng_below(r, 200000);
}

static void weigh(struct row_tail *row, struct pair *p, const struct welch_margin *margin)
{
    row_tail_weigh(row, margin, block_of(p));
}

static void test_thresholds_come_from_the_past(void **state)
{
    static const uint64_t renewals[] = {32, 64, 128, 256, 512};
    static struct row_tail row;
    struct rng r;
    struct pair p;
    size_t next = 0;
    double level = 0;
    (void)state;
    rng_seed(&r, 1);
    for (uint64_t n = N; n <= 600; n += N) {
        draw(&r, &p);
        weigh(&row, &p, &none);
        assert_int_equal(row.bet[0].g.x.n, n <= 32 ? 0 : (n - 32) / N);
        if (next < 5 && n == renewals[next]) {
            next++;
            assert_int_equal(row.renewed_at, n);
            assert_true(row.at.cut[TAIL_C50] == histogram_quantile(&row.reference, 0.50));
            assert_true(row.at.cut[TAIL_C95] == histogram_quantile(&row.reference, 0.95));
            assert_true(row.at.cut[TAIL_C99] == histogram_quantile(&row.reference, 0.99));
            assert_true(row.at.spread == row.at.cut[TAIL_C95] - row.at.cut[TAIL_C50]);
            assert_true((row.at.level == row.at.cut[TAIL_C50]) == (n == 32));
            assert_true(fabs(row.at.level - level) < row.at.spread || n == 32);
        }
        level = row.at.level;
        assert_int_equal(row.renewed_at, next == 0 ? 0 : renewals[next - 1]);
    }
    assert_int_equal(next, 5);
    assert_true(row.at.cut[TAIL_MAX] == 3000000);
    assert_true(row_tail_is_sound(&row));
}

/* A block that leaps over two renewals causes one, and the next comes at its power. */
static void test_a_leap_renews_once(void **state)
{
    static struct row_tail row;
    struct pair p = {0};
    (void)state;
    for (int i = 0; i < 100; i++)
        histogram_add(&row.reference, 1000000);
    weigh(&row, &p, &none);
    assert_int_equal(row.renewed_at, 104);
    for (int i = 0; i < 5; i++)
        weigh(&row, &p, &none);
    assert_int_equal(row.renewed_at, 104);
    weigh(&row, &p, &none);
    assert_int_equal(row.renewed_at, 128);
}

/* With the margin put on every latency of the canary, all is as without. */
static void test_margin(void **state)
{
    static const struct welch_margin margin = {.absolute_ns = 100000, .ratio = 0.25};
    static struct row_tail bare, spared;
    struct rng r;
    struct pair p;
    (void)state;
    rng_seed(&r, 2);
    for (int i = 0; i < 500; i++) {
        draw(&r, &p);
        for (int k = 0; k < N; k++)
            p.latency[SIDE_CANARY][k] &= ~UINT64_C(3); /* so that a quarter is whole */
        weigh(&bare, &p, &none);
        for (int k = 0; k < N; k++)
            p.latency[SIDE_CANARY][k] += p.latency[SIDE_CANARY][k] / 4 + 100000;
        weigh(&spared, &p, &margin);
    }
    for (int i = 0; i < N_TAIL_BETS; i++)
        vectors_near("margin", "ln E", bet_ln_e(&spared.bet[i]), bet_ln_e(&bare.bet[i]), 1e-9);
    assert_false(row_tail_fires(&bare, 0.05));
}

static void test_equal_tails_do_not_fire_and_worse_ones_do(void **state)
{
    static struct row_tail equal, slow_tail, shifted;
    struct rng r;
    struct pair p;
    (void)state;
    rng_seed(&r, 3);
    for (int i = 0; i < 1500; i++) {
        draw(&r, &p);
        weigh(&equal, &p, &none);
        if (i % 4 == 0)
            p.latency[SIDE_CANARY][0] = 5000000;
        weigh(&slow_tail, &p, &none);
        for (int k = 0; k < N; k++)
            p.latency[SIDE_CANARY][k] += 100000;
        weigh(&shifted, &p, &none);
    }
    assert_false(row_tail_fires(&equal, 0.05));
    assert_true(row_tail_fires(&slow_tail, 1e-6));
    assert_true(row_tail_fires(&shifted, 1e-6));
    assert_true(row_tail_is_shift(&shifted));
    struct rule_metric m;
    row_tail_describe(&slow_tail, 0.01, &m);
    vectors_near("tail", "threshold", m.threshold, log(101), 1e-12);
    assert_true(m.evidence > m.threshold && m.anytime_p_value < 0.01);
}

/* A block is cut by what was known before it, its own reference included only later. */
static void test_the_largest_is_of_earlier_blocks(void **state)
{
    static struct row_tail row;
    struct pair p = {0};
    (void)state;
    for (int i = 0; i < 8; i++)
        weigh(&row, &p, &none);
    p.latency[SIDE_REFERENCE][0] = p.latency[SIDE_CANARY][0] = 7000000;
    weigh(&row, &p, &none);
    assert_true(row.bet[TAIL_MAX].g.last == 0); /* both lie above */
    p.latency[SIDE_REFERENCE][0] = 0;
    weigh(&row, &p, &none);
    assert_true(row.bet[TAIL_MAX].g.last == 0); /* 7 ms is not above 7 ms */
    p.latency[SIDE_CANARY][0] = 7000001;
    weigh(&row, &p, &none);
    assert_true(row.bet[TAIL_MAX].g.last == 1.0 / N);
}

static void test_slow_parts(void **state)
{
    static struct row_tail row;
    static const struct welch_margin margin = {.absolute_ns = 10, .ratio = 1};
    struct pair p = {.latency = {{1, 101, 102, 103}, {201, 212, 213, 1}}};
    double parts[N_SIDES];
    (void)state;
    assert_false(row_tail_slow_parts(&row, &none, block_of(&p), parts));
    row_tail_set_thresholds(&row, &(struct tail_thresholds){.spread = 1, .cut = {0, 50, 101}});
    assert_true(row_tail_slow_parts(&row, &none, block_of(&p), parts));
    assert_true(parts[SIDE_REFERENCE] == 0.5 && parts[SIDE_CANARY] == 0.75);
    assert_true(row_tail_slow_parts(&row, &margin, block_of(&p), parts));
    assert_true(parts[SIDE_REFERENCE] == 0.5 && parts[SIDE_CANARY] == 0.25);
}

static void test_merged(void **state)
{
    static struct row_tail one, other, before, empty;
    struct rng r;
    struct pair p;
    (void)state;
    rng_seed(&r, 4);
    for (int i = 0; i < 300; i++) {
        draw(&r, &p);
        weigh(i < 200 ? &one : &other, &p, &none);
    }
    before = one;
    row_tail_merge(&one, &other);
    assert_int_equal(one.reference.n, 300 * N);
    assert_true(row_tail_is_sound(&one));
    for (int i = 0; i < N_TAIL_BETS; i++)
        for (int k = 0; k < BET_LAMBDAS; k++)
            assert_true(one.bet[i].ln_wealth[k] ==
                        before.bet[i].ln_wealth[k] + other.bet[i].ln_wealth[k]);
    assert_true(one.at.level == before.at.level);
    row_tail_merge(&empty, &other);
    assert_memory_equal(&empty, &other, sizeof other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_thresholds_come_from_the_past),
        cmocka_unit_test(test_a_leap_renews_once),
        cmocka_unit_test(test_margin),
        cmocka_unit_test(test_equal_tails_do_not_fire_and_worse_ones_do),
        cmocka_unit_test(test_the_largest_is_of_earlier_blocks),
        cmocka_unit_test(test_slow_parts),
        cmocka_unit_test(test_merged),
    };
    return cmocka_run_group_tests_name("row_tail", tests, NULL, NULL);
}
