/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Bets: wealths as the formula has them, p-values that fit the threshold, games
 * that add up, and fair games that hardly ever fire.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/rng.h"
#include "judge/bet.h"
#include "tests/support/vectors.h"

static const double lambdas[BET_LAMBDAS] = {0.05, 0.1, 0.2, 0.4, 0.7, 0.95};

static void test_wealths_are_products(void **state)
{
    static const double g[] = {1, -1, 0.5, 0, -0.25, 1, 1, 0, 1, -0.125, 0.75, 1};
    struct bet b = {0};
    double mean = 0;
    (void)state;
    assert_true(bet_ln_e(&b) == 0);
    for (size_t i = 0; i < sizeof g / sizeof g[0]; i++)
        bet_add(&b, g[i]);
    for (int k = 0; k < BET_LAMBDAS; k++) {
        double wealth = 1;
        for (size_t i = 0; i < sizeof g / sizeof g[0]; i++)
            wealth *= 1 + lambdas[k] * g[i];
        vectors_close("bet", "wealth", exp(b.ln_wealth[k]), wealth, 1e-12);
        mean += wealth / BET_LAMBDAS;
    }
    assert_true(log(mean) > 0);
    vectors_close("bet", "ln E", bet_ln_e(&b), log(mean) / series_vif(&b.g), 1e-12);
    assert_true(bet_upper_bound(&b) >= bet_ln_e(&b));
}

/* What tells against the gambler is not softened. */
static void test_only_winnings_are_tempered(void **state)
{
    struct bet winning = {0}, losing = {0};
    (void)state;
    for (int i = 0; i < 40; i++) {
        bet_add(&winning, i < 20 ? 0.1 : 0.9);
        bet_add(&losing, i < 20 ? -0.1 : -0.9);
    }
    assert_true(series_vif(&winning.g) == 2.5);
    assert_true(series_vif(&losing.g) == 2.5);
    vectors_close("winning", "ln E", bet_ln_e(&winning),
                  bet_family(winning.ln_wealth, BET_LAMBDAS) / 2.5, 1e-12);
    vectors_close("losing", "ln E", bet_ln_e(&losing), bet_family(losing.ln_wealth, BET_LAMBDAS),
                  1e-12);
}

static void test_p_on_the_threshold_is_alpha(void **state)
{
    (void)state;
    for (double alpha = 0.9; alpha > 1e-12; alpha *= 0.7)
        vectors_close("alpha", "p", bet_anytime_p(bet_threshold(alpha)), alpha, 1e-9);
    assert_true(bet_anytime_p(0) == 1);
    assert_true(bet_anytime_p(-5) == 1);
    assert_true(bet_anytime_p(0.5) == 1);
    assert_true(bet_anytime_p(2000) == 0);
}

static void test_family_far_from_1(void **state)
{
    const double small[] = {-5000, -5001, -5000}, large[] = {5000, -5000};
    (void)state;
    vectors_near("small", "ln E", bet_family(small, 3), -5000 + log((2 + exp(-1)) / 3), 1e-9);
    vectors_near("large", "ln E", bet_family(large, 2), 5000 - log(2), 1e-9);
}

static void test_merged(void **state)
{
    struct bet one = {0}, other = {0}, both = {0};
    struct rng r;
    (void)state;
    rng_seed(&r, 3);
    for (int i = 0; i < 400; i++) {
        double g = ((double)rng_below(&r, 2001) - 900) / 1100;
        bet_add(i < 150 ? &one : &other, g);
        bet_add(&both, g);
    }
    bet_merge(&one, &other);
    for (int k = 0; k < BET_LAMBDAS; k++)
        vectors_near("merged", "wealth", one.ln_wealth[k], both.ln_wealth[k], 1e-9);
    assert_int_equal(one.g.x.n, 400);
    vectors_close("merged", "m2", one.g.x.m2, both.g.x.m2, 1e-12);
    assert_true(bet_is_sound(&one));
    one.ln_wealth[3] = NAN;
    assert_false(bet_is_sound(&one));
}

/* Ville's inequality, as far as 2,000 games of 500 throws of a coin show it. */
static void test_fair_games_seldom_fire(void **state)
{
    struct rng r;
    int n_fired = 0;
    (void)state;
    rng_seed(&r, 11);
    for (int game = 0; game < 2000; game++) {
        struct bet b = {0};
        bool fired = false;
        for (int i = 0; i < 500; i++) {
            bet_add(&b, rng_below(&r, 2) == 0 ? 1 : -1);
            fired = fired || (bet_upper_bound(&b) >= bet_threshold(0.05) &&
                              bet_ln_e(&b) >= bet_threshold(0.05));
        }
        n_fired += fired;
    }
    assert_in_range(n_fired, 1, 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wealths_are_products),
        cmocka_unit_test(test_only_winnings_are_tempered),
        cmocka_unit_test(test_p_on_the_threshold_is_alpha),
        cmocka_unit_test(test_family_far_from_1),
        cmocka_unit_test(test_merged),
        cmocka_unit_test(test_fair_games_seldom_fire),
    };
    return cmocka_run_group_tests_name("bet", tests, NULL, NULL);
}
