/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The simulation in small, with fixed seeds and wide bounds: an equal canary
 * stays, a slow one goes, and the figures are counted rightly. `make simulate`
 * is the long one.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/simulate/figures.h"
#include "tests/simulate/runner.h"
#include "tests/simulate/table.h"

enum { N_RUNS = 40 };

static struct figures run(const struct trial *trial)
{
    struct cell cell = {.trial = *trial};
    bool wanted = true;
    plan_measure(&cell, 1, &wanted);
    struct runner_settings settings = {.seed = 7, .n_runs = N_RUNS, .n_jobs = 2};
    struct trial_result *results = runner_run(&cell, 1, &wanted, &settings);
    assert_non_null(results);
    struct figures figures = figures_of(results, N_RUNS);
    runner_free(results, 1, N_RUNS);
    return figures;
}

/* A test that always says yes would fail here, and naive looking does. */
static void test_equal_canaries_stay(void **state)
{
    static const char *const shapes[] = {"normal", "pauses", "own-.3"};
    int naive = 0, any = 0;
    (void)state;
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        struct figures f = run(&(struct trial){.shape = source_shape_by_name(shapes[i]),
                                               .service = true,
                                               .naive = true,
                                               .to_the_end = true,
                                               .n_requests = 3000});
        naive += (int)round(N_RUNS * f.naive.p);
        any += (int)round(N_RUNS * f.any.p);
    }
    assert_true(any <= 6);    /* of 120; two or three are to be expected */
    assert_true(naive >= 18); /* some 35 are */
}

static const struct {
    const char *shape;
    struct fault fault;
    double low, high; /* of the median */
} faults[] = {
    {"normal", {FAULT_PLUS_SD, .67, 0}, 360, 900}, {"lognormal", {FAULT_TIMES, 2, 0}, 360, 1500},
    {"pauses", {FAULT_TIMES, 1.2, 0}, 400, 2000},  {"uniform", {FAULT_TIMES, 1.2, 0}, 360, 450},
    {"pareto", {FAULT_TIMES, 10, 20}, 360, 700},
};

static void test_slow_canaries_go(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
        struct figures f = run(&(struct trial){.shape = source_shape_by_name(faults[i].shape),
                                               .fault = faults[i].fault,
                                               .n_requests = 5000});
        if (!(f.median >= faults[i].low && f.median <= faults[i].high))
            fail_msg("%s: found after %g requests", faults[i].shape, f.median);
    }
}

static void test_a_canary_that_fails_goes(void **state)
{
    (void)state;
    struct figures f = run(&(struct trial){.failures = {.canary = 1}, .n_requests = 1000});
    assert_true(f.low == 110 && f.high == 110);
    f = run(&(struct trial){.failures = {.05, .05, .002}, .n_requests = 2000, .to_the_end = true});
    assert_true(f.any.p <= .05);
}

/* Whatever the number of processes, a run is what it is; and no two are alike. */
static void test_runs_depend_on_their_seed_only(void **state)
{
    const struct trial trial = {.shape = source_shape_by_name("lognormal"),
                                .fault = {FAULT_TIMES, 2, 0},
                                .n_requests = 5000};
    const struct cell cells[3] = {{.trial = trial}, {.trial = trial}, {.trial = trial}};
    const bool wanted[3] = {true, false, true};
    struct trial_result *results[2];
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct runner_settings settings = {.seed = 3, .n_runs = 7, .n_jobs = 1 + 2 * i};
        results[i] = runner_run(cells, 3, wanted, &settings);
        assert_non_null(results[i]);
    }
    assert_memory_equal(results[0], results[1], 3 * 7 * sizeof **results);
    assert_int_equal(results[0][7].verdict, 0); /* was not wanted */
    int n_alike = 0;
    for (int run = 1; run < 7; run++)
        n_alike += results[0][run].verdict == results[0][0].verdict;
    assert_true(n_alike < 6);
    runner_free(results[0], 3, 7);
    runner_free(results[1], 3, 7);
}

static void test_plan(void **state)
{
    size_t n, n_of[N_CELL_GROUPS] = {0};
    struct cell *cells = plan_new(&n);
    (void)state;
    for (size_t i = 0; i < n; i++) {
        n_of[cells[i].group]++;
        assert_true(cells[i].trial.n_requests >= 600);
        assert_true(cells[i].trial.shape != NULL || cells[i].trial.failures.canary > 0);
    }
    assert_int_equal(n_of[GROUP_FALSE_ALARMS], 13);
    assert_int_equal(n_of[GROUP_DETECTION], 8 * 6 - 1);
    for (int group = 0; group < N_CELL_GROUPS; group++)
        assert_true(n_of[group] > 0 && plan_group_name((enum cell_group)group) != NULL);
    free(cells);
}

static void test_promotion(void **state)
{
    const struct shape *shape = source_shape_by_name("pareto");
    (void)state;
    struct figures f = run(&(struct trial){.shape = shape, .promotion = true, .n_requests = 20000});
    assert_true(f.promoted_median >= 2000 && f.promoted_median <= 12000);
    assert_true(f.any.p <= .1);
}

/* The specification's walk-through: the alert stands by its end. */
static void test_walk_through(void **state)
{
    (void)state;
    struct figures f = run(&(struct trial){.shape = source_shape_by_name("model-us"),
                                           .fault = {FAULT_PLUS_MS, 10, 20},
                                           .rate = 500,
                                           .margins = true,
                                           .blocks = true,
                                           .one_by_one = true,
                                           .n_requests = 600});
    assert_true(f.by[0].p >= .9);
    assert_true(f.low > 200);
}

static void test_figures(void **state)
{
    struct trial_result r[5];
    (void)state;
    for (int i = 0; i < 5; i++) {
        r[i] = (struct trial_result){.verdict = 100 * (uint64_t)(5 - i), .naive = TRIAL_NEVER};
        for (int row = 0; row < N_RULE_ROWS; row++)
            r[i].row[row] = TRIAL_NEVER;
    }
    r[1].row[ROW_TAIL] = 7;
    r[1].row[ROW_MEAN] = 9;
    r[2].row[ROW_MEAN] = 9;
    r[3].row[ROW_SERVICE_MEAN] = 9;
    r[4].verdict = TRIAL_NEVER; /* was the first: 100 */
    struct figures f = figures_of(r, 5);
    assert_true(f.median == 400);
    assert_true(f.low == 200 && f.high == INFINITY);
    assert_true(f.naive_median == INFINITY && f.naive.p == 0);
    assert_true(fabs(f.naive.se - sqrt(.1 * .9 / 5)) < 1e-12);
    assert_true(fabs(f.mean.p - .4) < 1e-12 && fabs(f.tail.p - .2) < 1e-12);
    assert_true(fabs(f.either.p - .4) < 1e-12 && fabs(f.any.p - .8) < 1e-12);
}

static void test_promises(void **state)
{
    struct cell null = {.stated = {.median = NAN}};
    struct cell fault = {.stated = {.median = 500}};
    struct figures f = {.median = 600, .any = {.p = .06, .se = .005}};
    (void)state;
    assert_true(figures_keep(&fault, &f));
    assert_true(figures_keep(&null, &f));
    f.any.p = .0601;
    assert_false(figures_keep(&null, &f));
    f.median = 601;
    assert_false(figures_keep(&fault, &f));
    null.beyond_reach = true;
    assert_true(figures_keep(&null, &f));
}

static void test_table(void **state)
{
    struct table t = {.title = "T"};
    char *text = NULL;
    size_t n;
    FILE *out = open_memstream(&text, &n);
    (void)state;
    int row = table_row(&t, "a");
    table_set(&t, row, table_column(&t, "x"), "%d", 12345);
    table_set(&t, table_row(&t, "bbbb"), table_column(&t, "y"), "7");
    assert_int_equal(table_row(&t, "a"), row);
    table_print(&t, true, out);
    fclose(out);
    assert_string_equal(text, "**T**\n\n"
                              "|      |     x |   y |\n"
                              "|------|------:|----:|\n"
                              "| a    | 12345 |     |\n"
                              "| bbbb |       |   7 |\n\n");
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_equal_canaries_stay),
        cmocka_unit_test(test_slow_canaries_go),
        cmocka_unit_test(test_a_canary_that_fails_goes),
        cmocka_unit_test(test_runs_depend_on_their_seed_only),
        cmocka_unit_test(test_plan),
        cmocka_unit_test(test_promotion),
        cmocka_unit_test(test_walk_through),
        cmocka_unit_test(test_figures),
        cmocka_unit_test(test_promises),
        cmocka_unit_test(test_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
