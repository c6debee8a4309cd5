/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The generator gives its inventors' numbers, and numbers below n without bias.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <Rmath.h>
#include <cmocka.h>

#include "common/rng.h"

#define P_LIMIT 1e-6 /* of a chi-square, upper tail */

/* From the reference programs at prng.di.unimi.it. */
static void test_known_answers(void **state)
{
    static const uint64_t seeded[] = {UINT64_C(0xe220a8397b1dcdaf), UINT64_C(0x6e789e6aa1b965f4),
                                      UINT64_C(0x06c45d188009454f), UINT64_C(0xf88bb8a8724c81ec)};
    static const uint64_t drawn[] = {11520, 0, 1509978240, UINT64_C(1215971899390074240)};
    struct rng r;
    (void)state;
    rng_seed(&r, 0);
    assert_memory_equal(r.s, seeded, sizeof seeded);
    r = (struct rng){.s = {1, 2, 3, 4}};
    for (int i = 0; i < 4; i++)
        assert_true(rng_next(&r) == drawn[i]);
}

static void test_system_seeds_differ(void **state)
{
    struct rng a;
    struct rng b;
    (void)state;
    rng_seed_from_system(&a);
    rng_seed_from_system(&b);
    assert_true(memcmp(&a, &b, sizeof a) != 0);
}

static double chi_square(const int *counts, int n_cells, int n_draws)
{
    double expected = (double)n_draws / n_cells;
    double sum = 0;
    for (int i = 0; i < n_cells; i++)
        sum += (counts[i] - expected) * (counts[i] - expected) / expected;
    return sum;
}

/* Without rejection every third number below 3 x 2^30 would come twice as often. */
static void test_below_has_no_bias(void **state)
{
    enum { N = 30000 };
    const uint32_t below = UINT32_C(3) << 30;
    int counts[3] = {0};
    struct rng r;
    (void)state;
    rng_seed(&r, 1);
    for (int i = 0; i < N; i++) {
        uint32_t x = rng_below(&r, below);
        assert_true(x < below);
        counts[x % 3]++;
    }
    printf("residues of 3: chi-square %.2f\n", chi_square(counts, 3, N));
    assert_true(chi_square(counts, 3, N) < qchisq(P_LIMIT, 2, 0, 0));
}

static void test_below_small(void **state)
{
    enum { N = 70000 };
    int counts[7] = {0};
    struct rng r;
    (void)state;
    rng_seed(&r, 2);
    for (int i = 0; i < N; i++) {
        uint32_t x = rng_below(&r, 7);
        assert_true(x < 7);
        counts[x]++;
    }
    assert_true(chi_square(counts, 7, N) < qchisq(P_LIMIT, 6, 0, 0));
    for (int i = 0; i < 100; i++)
        assert_int_equal(rng_below(&r, 1), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_answers),
        cmocka_unit_test(test_system_seeds_differ),
        cmocka_unit_test(test_below_has_no_bias),
        cmocka_unit_test(test_below_small),
    };
    return cmocka_run_group_tests_name("rng", tests, NULL, NULL);
}
