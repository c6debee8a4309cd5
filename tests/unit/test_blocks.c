/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Blocks: where they end, in which order they come out, what late, failed and
 * dropped calls leave, and what happens when too many wait.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "judge/blocks.h"
#include "judge/rule.h"

#define BLOCK_NS 100
#define R        SIDE_REFERENCE
#define C        SIDE_CANARY
#define S        SIDE_NONE

struct drawn {
    enum side side;
    struct block_place place;
};

/* Draws at one moment; the last ends a group. */
static void draw_group(struct blocks *b, const enum side sides[], size_t n, int64_t now,
                       struct drawn out[])
{
    static uint64_t number;
    for (size_t i = 0; i < n; i++) {
        out[i].side = sides[i];
        out[i].place = blocks_draw(b, sides[i], i == n - 1, ++number, now);
    }
}

static void end(struct blocks *b, const struct drawn *d, uint64_t latency)
{
    blocks_end(b, d->side, &d->place, OUTCOME_OK, latency);
}

static void test_a_block_is_whole_groups_long_enough_with_both_sides(void **state)
{
    static const enum side both[] = {S, R, C};
    static const enum side one[] = {S, R, R};
    struct blocks *b = blocks_new(BLOCK_NS);
    struct drawn d[5][3];
    (void)state;
    blocks_restart(b, 1000);
    draw_group(b, both, 3, 1050, d[0]); /* too short */
    draw_group(b, both, 3, 1100, d[1]); /* as long as it must be */
    draw_group(b, one, 3, 1250, d[2]);  /* no canary */
    draw_group(b, both, 3, 1260, d[3]);
    draw_group(b, both, 3, 1359, d[4]); /* 99 ns from the last draw of the block before */
    assert_true(d[0][0].place.block == d[1][2].place.block);
    assert_true(d[1][0].place.block + 1 == d[2][0].place.block);
    assert_true(d[2][0].place.block == d[3][2].place.block);
    assert_true(d[3][0].place.block + 1 == d[4][0].place.block);
    assert_false(blocks_current(b)->is_closed);
    assert_int_equal(blocks_current(b)->n_waiting, 2);
    blocks_free(&b);
    assert_null(b);
    blocks_free(&b);
}

static void test_blocks_come_out_in_their_order(void **state)
{
    static const enum side sides[] = {R, C};
    struct blocks *b = blocks_new(0);
    struct drawn d[3][2];
    const struct block *block;
    (void)state;
    for (int i = 0; i < 3; i++)
        draw_group(b, sides, 2, i, d[i]);
    end(b, &d[2][0], 1);
    end(b, &d[2][1], 2);
    end(b, &d[1][1], 3);
    end(b, &d[1][0], 4);
    end(b, &d[0][1], 5);
    assert_null(blocks_ripe(b));
    end(b, &d[0][0], 6);
    uint64_t first = 0;
    for (uint64_t i = 0; i < 3; i++) {
        static const uint64_t reference[] = {6, 4, 1};
        static const uint64_t canary[] = {5, 3, 2};
        block = blocks_ripe(b);
        assert_non_null(block);
        first = i == 0 ? block->last_draw : first;
        assert_int_equal(block->last_draw, first + 2 * i);
        assert_int_equal(block->side[R].latency_ns[0], reference[i]);
        assert_int_equal(block->side[C].latency_ns[0], canary[i]);
        blocks_drop_ripe(b);
    }
    assert_null(blocks_ripe(b));
    blocks_free(&b);
}

/* Latencies lie in the order of the draws; what has none leaves no gap. */
static void test_outcomes(void **state)
{
    static const enum side sides[] = {R, C, C, C, C, C, C, R};
    struct blocks *b = blocks_new(0);
    struct drawn d[8];
    (void)state;
    draw_group(b, sides, 8, 0, d);
    blocks_end(b, C, &d[5].place, OUTCOME_UNASKED, 99);
    blocks_end(b, C, &d[6].place, OUTCOME_OK, 60);
    blocks_end(b, C, &d[3].place, OUTCOME_TIMEOUT, 99);
    blocks_end(b, C, &d[1].place, OUTCOME_OK, 10);
    blocks_end(b, C, &d[2].place, OUTCOME_FAULT, 99);
    blocks_end(b, C, &d[4].place, OUTCOME_DEATH, 99);
    blocks_end(b, R, &d[7].place, OUTCOME_OK, BLOCKS_NO_LATENCY);
    assert_null(blocks_ripe(b));
    blocks_end(b, R, &d[0].place, OUTCOME_OK, 5);
    const struct block *block = blocks_ripe(b);
    assert_non_null(block);
    assert_int_equal(block->side[C].n_latencies, 2);
    assert_int_equal(block->side[C].latency_ns[0], 10);
    assert_int_equal(block->side[C].latency_ns[1], 60);
    assert_int_equal(block->side[C].n_drawn, 6);
    assert_int_equal(block->side[C].n_ended, 5);
    assert_int_equal(block->side[C].n_failed, 3);
    assert_int_equal(block->side[R].n_latencies, 1);
    assert_int_equal(block->side[R].n_ended, 2);
    assert_int_equal(block->side[R].n_failed, 0);
    assert_ptr_equal(blocks_ripe(b), block); /* asking again changes nothing */
    assert_int_equal(block->side[C].n_latencies, 2);
    blocks_free(&b);
}

static void test_restart_drops_what_is_open(void **state)
{
    static const enum side sides[] = {R, C};
    struct blocks *b = blocks_new(0);
    struct drawn old[2], now[2];
    (void)state;
    draw_group(b, sides, 2, 0, old);
    end(b, &old[0], 1);
    blocks_restart(b, 10);
    draw_group(b, sides, 2, 10, now);
    end(b, &old[1], 7);
    assert_null(blocks_ripe(b));
    end(b, &now[0], 2);
    end(b, &now[1], 3);
    const struct block *block = blocks_ripe(b);
    assert_non_null(block);
    assert_int_equal(block->side[C].n_latencies, 1);
    assert_int_equal(block->side[C].latency_ns[0], 3);
    blocks_drop_ripe(b);
    end(b, &old[1], 7); /* nor later */
    assert_null(blocks_ripe(b));
    blocks_free(&b);
}

/* When as many wait as may, the last goes on: nothing is lost. */
static void test_too_many_wait(void **state)
{
    static const enum side sides[] = {R, C};
    struct blocks *b = blocks_new(0);
    static struct drawn d[2 * BLOCKS_MAX][2];
    size_t n_latencies = 0, n_blocks = 0;
    (void)state;
    for (int i = 0; i < 2 * BLOCKS_MAX; i++)
        draw_group(b, sides, 2, i, d[i]);
    assert_int_equal(blocks_current(b)->side[C].n_drawn, BLOCKS_MAX + 1);
    for (int i = 0; i < 2 * BLOCKS_MAX; i++) {
        end(b, &d[i][0], (uint64_t)i);
        end(b, &d[i][1], (uint64_t)i);
    }
    draw_group(b, sides, 2, 10000, d[0]);
    for (const struct block *block; (block = blocks_ripe(b)) != NULL; blocks_drop_ripe(b)) {
        n_blocks++;
        n_latencies += block->side[C].n_latencies;
    }
    assert_int_equal(n_blocks, BLOCKS_MAX - 1);
    draw_group(b, sides, 2, 10001, d[1]); /* there is room again */
    end(b, &d[0][0], 1);
    end(b, &d[0][1], 1);
    end(b, &d[1][0], 1);
    end(b, &d[1][1], 1);
    const struct block *last = blocks_ripe(b);
    assert_non_null(last);
    assert_int_equal(n_latencies + last->side[C].n_latencies, 2 * BLOCKS_MAX + 2);
    blocks_free(&b);
}

/* --- A side without the other -------------------------------------------------*/

/* All traffic is one user's, who is the reference's; then somebody else comes. The
 * block goes on and does not grow; the draws nearest to the other side's count,
 * in whatever order their calls end. */
static void test_one_side_alone(void **state)
{
    enum { N = 3 * BLOCKS_MAX_DRAWS + 5 };
    static struct drawn d[N + 1];
    static const enum side reference[] = {R};
    static const enum side canary[] = {C};
    struct blocks *b = blocks_new(BLOCK_NS);
    (void)state;
    for (int i = 0; i < N; i++) {
        draw_group(b, reference, 1, i, &d[i]);
        assert_int_equal(d[i].place.displaces, i >= BLOCKS_MAX_DRAWS);
        if (i % 2 == 0)
            end(b, &d[i], (uint64_t)i);
    }
    assert_int_equal(blocks_current(b)->side[R].capacity, BLOCKS_MAX_DRAWS);
    draw_group(b, canary, 1, N, &d[N]);
    for (int i = N; i >= 0; i--)
        if (i == N || i % 2 != 0)
            end(b, &d[i], (uint64_t)i);
    const struct block *block = blocks_ripe(b);
    assert_non_null(block);
    assert_int_equal(block->side[R].n_ended, N);
    assert_int_equal(block->side[R].n_latencies, BLOCKS_MAX_DRAWS);
    assert_int_equal(block->side[C].n_latencies, 1);
    static bool seen[N];
    for (size_t i = 0; i < BLOCKS_MAX_DRAWS; i++)
        seen[block->side[R].latency_ns[i]] = true;
    for (int i = N - BLOCKS_MAX_DRAWS; i < N; i++)
        assert_true(seen[i]);
    blocks_drop_ripe(b);
    blocks_free(&b);
}

/* While both are drawn nothing is displaced: a side that is full ends the block. */
static void test_a_full_side_ends_a_block(void **state)
{
    static const enum side sides[] = {R, R, R, C};
    static struct drawn d[BLOCKS_MAX_DRAWS][4];
    struct blocks *b = blocks_new(INT64_MAX);
    int i = 0;
    (void)state;
    for (; blocks_ripe(b) == NULL; i++) {
        assert_true(i < BLOCKS_MAX_DRAWS);
        draw_group(b, sides, 4, i, d[i]);
        for (int k = 0; k < 4; k++) {
            assert_false(i * 3 < BLOCKS_MAX_DRAWS - 3 && d[i][k].place.displaces);
            end(b, &d[i][k], 7);
        }
    }
    const struct block *block = blocks_ripe(b);
    assert_int_equal(i, (BLOCKS_MAX_DRAWS + 2) / 3);
    assert_int_equal(block->side[C].n_latencies, i);
    blocks_free(&b);
}

static void test_displaced_draws_are_told(void **state)
{
    struct rule_settings settings = rule_default_settings();
    struct rule *rule = rule_new(&settings);
    struct rule_report report;
    (void)state;
    rule_open_share(rule, ARM_BASELINE, 0);
    for (int i = 0; i < BLOCKS_MAX_DRAWS + 9; i++) {
        struct rule_ticket ticket = rule_draw(rule, ARM_BASELINE, true, i);
        const struct rule_sample sample = {.round_trip_ns = 1};
        rule_end_call(rule, &ticket, &sample);
    }
    rule_look(rule, &report);
    assert_int_equal(report.n_displaced, 9);
    assert_int_equal(report.round_trip[ARM_BASELINE].n, BLOCKS_MAX_DRAWS + 9);
    rule_free(&rule);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_block_is_whole_groups_long_enough_with_both_sides),
        cmocka_unit_test(test_blocks_come_out_in_their_order),
        cmocka_unit_test(test_outcomes),
        cmocka_unit_test(test_restart_drops_what_is_open),
        cmocka_unit_test(test_too_many_wait),
        cmocka_unit_test(test_one_side_alone),
        cmocka_unit_test(test_a_full_side_ends_a_block),
        cmocka_unit_test(test_displaced_draws_are_told),
    };
    return cmocka_run_group_tests_name("blocks", tests, NULL, NULL);
}
