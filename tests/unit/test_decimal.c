/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "supervisor/decimal.h"

#include <inttypes.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/rng.h"

#define MAX_EXPONENT 27
#define N_RANDOM     300000

/* The C library's reading is the true one. */
static void assert_as_strtod(uint64_t mantissa, int exponent)
{
    char text[48];
    double ours = NAN;
    snprintf(text, sizeof text, "%" PRIu64 "e%d", mantissa, exponent);
    const double theirs = strtod(text, NULL);
    assert_true(decimal_to_double(mantissa, exponent, &ours));
    if (memcmp(&ours, &theirs, sizeof ours) != 0)
        fail_msg("%s: %a instead of %a", text, ours, theirs);
}

static void test_ends_of_the_ranges(void **state)
{
    static const uint64_t mantissas[] = {
        0,
        1,
        (UINT64_C(1) << 53) - 1,
        UINT64_C(1) << 53,
        (UINT64_C(1) << 53) + 1,
        UINT64_C(1) << 63,
        UINT64_C(9999999999999999999),
        UINT64_MAX,
    };
    (void)state;
    for (size_t i = 0; i < sizeof mantissas / sizeof mantissas[0]; i++)
        for (int exponent = -MAX_EXPONENT; exponent <= MAX_EXPONENT; exponent++)
            assert_as_strtod(mantissas[i], exponent);
}

static void test_other_exponents_are_left_alone(void **state)
{
    double x = 3;
    (void)state;
    assert_false(decimal_to_double(1, MAX_EXPONENT + 1, &x));
    assert_false(decimal_to_double(1, -MAX_EXPONENT - 1, &x));
    assert_true(x == 3);
}

/* Half-way between two doubles, and next to it on both sides. */
static void test_ties(void **state)
{
    struct rng rng;
    (void)state;
    rng_seed(&rng, 1);
    for (int i = 0; i < N_RANDOM / 3; i++) {
        unsigned n_cut = 1 + rng_below(&rng, 10);
        uint64_t high = rng_next(&rng) >> (11 + 10 - n_cut) | 1U << n_cut;
        uint64_t tie = high >> n_cut << n_cut | UINT64_C(1) << (n_cut - 1);
        for (int beside = -1; beside <= 1; beside++)
            assert_as_strtod(tie + (uint64_t)(int64_t)beside, 0);
    }
}

/* A quotient that is a tie in binary is one over a power of two: d * 5^k / 10^k. */
static void test_ties_behind_the_point(void **state)
{
    struct rng rng;
    (void)state;
    rng_seed(&rng, 2);
    for (int i = 0; i < N_RANDOM / 3; i++) {
        int k = 1 + (int)rng_below(&rng, 4);
        uint64_t five = (uint64_t)pow(5, k);
        uint64_t tie = (UINT64_C(1) << 53 | rng_next(&rng) >> 11) | 1;
        for (int beside = -1; beside <= 1; beside++)
            assert_as_strtod(tie * five + (uint64_t)(int64_t)beside, -k);
    }
}

static void test_random_decimals(void **state)
{
    struct rng rng;
    (void)state;
    rng_seed(&rng, 3);
    for (int i = 0; i < N_RANDOM; i++)
        assert_as_strtod(rng_next(&rng) >> rng_below(&rng, 64),
                         (int)rng_below(&rng, 2 * MAX_EXPONENT + 1) - MAX_EXPONENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ends_of_the_ranges),
        cmocka_unit_test(test_other_exponents_are_left_alone),
        cmocka_unit_test(test_ties),
        cmocka_unit_test(test_ties_behind_the_point),
        cmocka_unit_test(test_random_decimals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
