/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The lot: exact in every group, never more than one off between strata, and
 * random in its places. Seeds are fixed.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <Rmath.h>
#include <cmocka.h>

#include "judge/urn.h"

#define P_LIMIT 1e-6 /* of a chi-square, upper tail */

static struct urn new_urn(double percent, uint64_t seed)
{
    struct urn u = {0};
    rng_seed(&u.rng, seed);
    urn_set_share(&u, percent, true);
    return u;
}

static bool draw_is(struct urn *u, enum arm arm)
{
    return urn_draw(u).arm == arm;
}

struct drawn {
    uint64_t n[N_ARMS];
    int n_ends; /* of groups */
};

static struct drawn draw(struct urn *u, uint32_t n)
{
    struct drawn d = {0};
    for (uint32_t i = 0; i < n; i++) {
        struct urn_draw one = urn_draw(u);
        d.n[one.arm]++;
        d.n_ends += one.ends_group;
    }
    return d;
}

static void test_groups_are_exact(void **state)
{
    static const struct {
        double percent;
        uint32_t group, places;
    } cases[] = {
        {1, 100, 1}, {2, 50, 1}, {5, 20, 1},  {10, 10, 1},   {12.5, 8, 1},
        {15, 20, 3}, {20, 5, 1}, {25, 4, 1},  {30, 10, 3},   {37.5, 8, 3},
        {40, 5, 2},  {50, 2, 1}, {7, 100, 7}, {29, 100, 29}, {49, 100, 49},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct urn u = new_urn(cases[i].percent, 7);
        uint32_t n_baseline = cases[i].percent < 50 ? cases[i].places : 0;
        assert_int_equal(u.group, cases[i].group);
        for (uint64_t g = 0; g < 1000; g++) {
            struct drawn d = draw(&u, cases[i].group - 1);
            assert_int_equal(d.n_ends, 0);
            struct urn_draw last = urn_draw(&u);
            assert_true(last.ends_group);
            d.n[last.arm]++;
            assert_int_equal(d.n[ARM_CANARY], cases[i].places);
            assert_int_equal(d.n[ARM_BASELINE], n_baseline);
            assert_int_equal(u.n_groups, g + 1);
        }
        assert_int_equal(u.n_drawn, 1000 * cases[i].group);
    }
}

/* Without a baseline its places are stable's. */
static void test_no_baseline(void **state)
{
    struct urn u = new_urn(10, 7);
    (void)state;
    urn_set_share(&u, 10, false);
    struct drawn d = draw(&u, 1000);
    assert_int_equal(d.n[ARM_CANARY], 100);
    assert_int_equal(d.n[ARM_STABLE], 900);
    assert_int_equal(d.n_ends, 100);
}

/* |an arm's draws - share x draws| after every single draw, of canary and baseline;
 * each stratum holds one of each. */
static double worst_error(double percent, uint64_t seed, uint32_t n_draws)
{
    struct urn u = new_urn(percent, seed);
    uint64_t n[N_ARMS] = {0};
    double worst = 0;
    for (uint32_t k = 1; k <= n_draws; k++) {
        struct urn_draw one = urn_draw(&u);
        n[one.arm]++;
        worst = fmax(worst, fabs((double)n[ARM_CANARY] - percent / 100 * k));
        worst = fmax(worst, fabs((double)n[ARM_BASELINE] - percent / 100 * k));
        if (one.ends_group)
            assert_true(n[ARM_CANARY] == u.n_groups && n[ARM_BASELINE] == u.n_groups);
    }
    return worst;
}

static void test_strata_are_never_more_than_one_off(void **state)
{
    static const double percents[] = {0.1, 33.33, 0.37, 3.14159, 1.0 / 3, 49.99, 100.0 / 3, 17.003};
    (void)state;
    for (size_t i = 0; i < sizeof percents / sizeof percents[0]; i++)
        for (uint64_t seed = 1; seed <= 3; seed++) {
            double worst = worst_error(percents[i], seed, 200000);
            if (worst > 1 + 1e-6)
                fail_msg("%g %%: off by %g", percents[i], worst);
        }
}

static void test_nothing_of_nothing(void **state)
{
    struct urn u = new_urn(0, 1);
    (void)state;
    struct drawn d = draw(&u, 10000);
    assert_int_equal(d.n[ARM_STABLE], 10000);
    assert_int_equal(d.n_ends, 0);
}

static double chi_square(const uint32_t *counts, uint32_t n_cells, double expected)
{
    double sum = 0;
    for (uint32_t i = 0; i < n_cells; i++)
        sum += (counts[i] - expected) * (counts[i] - expected) / expected;
    return sum;
}

/* Every place of a group is an arm's equally often. */
static void check_places(double percent, enum arm arm, uint64_t seed)
{
    enum { GROUPS = 40000 };
    uint32_t counts[URN_MAX_GROUP] = {0};
    struct urn u = new_urn(percent, seed);
    for (uint32_t k = 0; k < GROUPS * u.group; k++)
        counts[k % u.group] += draw_is(&u, arm);
    /* Drawn without putting back: the spread is smaller by (g - m) / (g - 1). */
    double g = u.group;
    double m = u.places;
    double chi = chi_square(counts, u.group, GROUPS * m / g) * (g - 1) / (g - m);
    printf("%g %%: chi-square %.1f on %g degrees of freedom\n", percent, chi, g - 1);
    assert_true(chi > 0 && chi < qchisq(P_LIMIT, g - 1, 0, 0));
}

static void test_places_are_uniform(void **state)
{
    static const double percents[] = {10, 15, 1, 50, 25};
    (void)state;
    for (size_t i = 0; i < sizeof percents / sizeof percents[0]; i++) {
        check_places(percents[i], ARM_CANARY, 11 + i);
        if (percents[i] < 50)
            check_places(percents[i], ARM_BASELINE, 21 + i);
    }
}

/* Which of the two comes first is a fair coin: no arm is drawn before the other. */
static void test_neither_arm_is_first(void **state)
{
    enum { GROUPS = 40000 };
    struct urn u = new_urn(10, 31);
    int n_canary_first = 0;
    (void)state;
    for (int g = 0; g < GROUPS; g++) {
        enum arm first = ARM_STABLE;
        for (int k = 0; k < 10; k++) {
            enum arm arm = urn_draw(&u).arm;
            first = first == ARM_STABLE ? arm : first;
        }
        n_canary_first += first == ARM_CANARY;
    }
    assert_true(fabs(n_canary_first - GROUPS / 2.0) < 5 * sqrt(GROUPS / 4.0));
}

/* In a stratum of 0.1 % (1000 draws) the place is uniform too: 20 cells of 50. */
static void test_places_in_strata_are_uniform(void **state)
{
    enum { STRATA = 4000, CELLS = 20 };
    uint32_t counts[CELLS] = {0};
    struct urn u = new_urn(0.1, 3);
    (void)state;
    assert_int_equal(u.group, 0);
    for (uint32_t k = 0; k < STRATA * 1000; k++)
        counts[k % 1000 / (1000 / CELLS)] += draw_is(&u, ARM_CANARY);
    double chi = chi_square(counts, CELLS, STRATA / CELLS);
    printf("0.1 %%: chi-square %.1f on %d degrees of freedom\n", chi, CELLS - 1);
    assert_true(chi > 0 && chi < qchisq(P_LIMIT, CELLS - 1, 0, 0));
}

/* A place does not tell the next group's place: 10 x 10 pairs at 10 %. */
static void test_groups_do_not_know_each_other(void **state)
{
    enum { PAIRS = 40000 };
    uint32_t counts[100] = {0};
    struct urn u = new_urn(10, 5);
    (void)state;
    for (uint32_t pair = 0; pair < PAIRS; pair++) {
        uint32_t cell = 0;
        for (uint32_t k = 0; k < 20; k++)
            if (draw_is(&u, ARM_CANARY))
                cell = k < 10 ? k * 10 : cell + k - 10;
        counts[cell]++;
    }
    double chi = chi_square(counts, 100, PAIRS / 100.0);
    printf("pairs: chi-square %.1f on 99 degrees of freedom\n", chi);
    assert_true(chi < qchisq(P_LIMIT, 99, 0, 0));
}

static void test_a_new_share_begins_a_new_group(void **state)
{
    struct urn u = new_urn(10, 9);
    (void)state;
    for (int i = 0; i < 7; i++)
        urn_draw(&u);
    urn_set_share(&u, 50, true);
    assert_int_equal(u.n_groups, 0);
    assert_int_equal(u.n_drawn, 0);
    for (int i = 0; i < 100; i++)
        assert_int_equal(draw(&u, 2).n[ARM_CANARY], 1);
}

/* The stratum of a tiny share has more draws than 32 bits count. At 2^-32 their
 * number was cut to 0 and the draw ended the process. */
/* Of evenly spread users as many as the share says, and with a larger share the same
 * ones and more: nobody changes sides. */
static void test_users_stay_where_they_are(void **state)
{
    static const double percents[] = {0, 0.1, 1, 10, 33.33, 50};
    enum arm before[10000] = {ARM_STABLE};
    (void)state;
    for (size_t p = 1; p < sizeof percents / sizeof percents[0]; p++) {
        struct urn u = new_urn(percents[p], 3);
        int n[N_ARMS] = {0};
        for (int i = 0; i < 10000; i++) {
            enum arm arm = urn_place(&u, i / 1e4).arm;
            n[arm]++;
            if (before[i] == ARM_CANARY || (before[i] == ARM_BASELINE && percents[p] < 50))
                assert_int_equal(arm, before[i]);
            before[i] = arm;
        }
        assert_int_equal(n[ARM_CANARY], (int)(percents[p] * 100));
        assert_in_range(n[ARM_BASELINE], percents[p] < 50 ? n[ARM_CANARY] - 1 : 0,
                        percents[p] < 50 ? n[ARM_CANARY] + 1 : 0); /* 1 - share is rounded */
    }
}

/* Ten users are a group, but none ends inside a group of draws. */
static void test_groups_of_users(void **state)
{
    struct urn u = new_urn(10, 3);
    (void)state;
    for (int i = 1; i <= 100; i++)
        assert_int_equal(urn_place(&u, 0.5).ends_group, i % 10 == 0);
    urn_draw(&u);
    for (int i = 1; i <= 100; i++)
        assert_false(urn_place(&u, 0.5).ends_group);
    while (!urn_draw(&u).ends_group)
        continue;
    assert_true(urn_place(&u, 0.5).ends_group);
    urn_set_share(&u, 0.3, true);
    for (int i = 1; i <= 1002; i++)
        assert_int_equal(urn_place(&u, 0.5).ends_group, i % 334 == 0);
    urn_set_share(&u, 0, true);
    assert_int_equal(urn_place(&u, 0).arm, ARM_STABLE);
}

static void test_tiny_shares(void **state)
{
    static const double percents[] = {100.0 / 4294967296, 1e-9, 1e-12, 1e-100, 5e-324};
    (void)state;
    for (size_t i = 0; i < sizeof percents / sizeof percents[0]; i++) {
        struct urn u = new_urn(percents[i], 1);
        struct drawn d = draw(&u, 100000);
        assert_int_equal(d.n[ARM_CANARY] + d.n[ARM_BASELINE], 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_groups_are_exact),
        cmocka_unit_test(test_no_baseline),
        cmocka_unit_test(test_strata_are_never_more_than_one_off),
        cmocka_unit_test(test_nothing_of_nothing),
        cmocka_unit_test(test_places_are_uniform),
        cmocka_unit_test(test_neither_arm_is_first),
        cmocka_unit_test(test_places_in_strata_are_uniform),
        cmocka_unit_test(test_groups_do_not_know_each_other),
        cmocka_unit_test(test_a_new_share_begins_a_new_group),
        cmocka_unit_test(test_tiny_shares),
        cmocka_unit_test(test_users_stay_where_they_are),
        cmocka_unit_test(test_groups_of_users),
    };
    return cmocka_run_group_tests_name("urn", tests, NULL, NULL);
}
