/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Power against 50-digit vectors, and the noncentral t against mpmath, also
 * where the usual algorithm gives up.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "judge/power.h"
#include "tests/support/vectors.h"

#define VECTORS   "tests/data/power_vectors.json"
#define REFERENCE "tests/data/power_reference.json"

static struct power_design design_of(const cJSON *v, int sides)
{
    return (struct power_design){.effect = vectors_number(v, "effect"),
                                 .sd = vectors_number(v, "sd"),
                                 .alpha = vectors_number(v, "alpha"),
                                 .sides = sides};
}

static void test_vectors(void **state)
{
    cJSON *root = vectors_load(VECTORS);
    const cJSON *v;
    size_t n = 0;
    (void)state;
    cJSON_ArrayForEach(v, cJSON_GetObjectItemCaseSensitive(root, "power")) {
        struct power_design design = design_of(v, (int)vectors_number(v, "sides"));
        double power =
            power_of_test(&design, vectors_number(v, "n_canary"), vectors_number(v, "n_stable"));
        vectors_near(vectors_text(v, "id"), "power", power, vectors_number(v, "power"),
                     1e-6 * vectors_number(v, "power"));
        n++;
    }
    assert_int_equal(n, 10);
    cJSON_Delete(root);
}

static void test_needed_samples(void **state)
{
    cJSON *root = vectors_load(VECTORS);
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(root, "power_min_n");
    struct power_design one = design_of(v, 1), two = design_of(v, 2);
    uint64_t n = 0;
    (void)state;
    assert_int_equal(power_needed_samples(&one, 1, vectors_number(v, "target"), &n, NULL), 0);
    assert_int_equal(n, (uint64_t)vectors_number(v, "equal_one_sided"));
    assert_int_equal(power_needed_samples(&two, 1, vectors_number(v, "target"), &n, NULL), 0);
    assert_int_equal(n, (uint64_t)vectors_number(v, "equal_two_sided"));
    vectors_near("power", "at 36", power_of_test(&two, 36, 36),
                 vectors_number(v, "equal_two_sided_power_at_36"), 1e-6);
    cJSON_Delete(root);
}

/* The fewest: one sample less does not do. */
static void test_needed_is_the_fewest(void **state)
{
    static const double effects[] = {0.004, 0.3, 2, 40};
    static const double ratios[] = {1, 4, 8};
    (void)state;
    for (size_t i = 0; i < sizeof effects / sizeof effects[0] * 3; i++) {
        struct power_design design = {
            .effect = effects[i / 3], .sd = 1, .alpha = .01, .sides = 1 + (int)(i % 2)};
        double ratio = ratios[i % 3];
        uint64_t n = 0;
        assert_int_equal(power_needed_samples(&design, ratio, .9, &n, NULL), 0);
        double enough = (double)n;
        assert_true(n >= 2);
        assert_true(power_of_test(&design, enough, ratio * enough) >= .9);
        assert_true(n == 2 || power_of_test(&design, enough - 1, ratio * (enough - 1)) < .9);
    }
}

static void test_out_of_reach(void **state)
{
    struct power_design design = {.effect = 1e-9, .sd = 1, .alpha = .05, .sides = 1};
    struct err e = {0};
    uint64_t n = 7;
    (void)state;
    assert_int_equal(power_needed_samples(&design, 1, .8, &n, &e), -1);
    assert_string_equal(e.code, "out-of-reach");
    assert_int_equal(n, 7);
}

static void test_noncentral_t(void **state)
{
    cJSON *root = vectors_load(REFERENCE);
    const cJSON *v;
    size_t n = 0;
    (void)state;
    cJSON_ArrayForEach(v, cJSON_GetObjectItemCaseSensitive(root, "noncentral_t")) {
        double tail = power_noncentral_tail(vectors_number(v, "t"), vectors_number(v, "df"),
                                            vectors_number(v, "ncp"));
        vectors_near("noncentral t", "tail", tail, vectors_number(v, "upper_tail"), 1e-12);
        n++;
    }
    assert_true(n >= 19);
    cJSON_Delete(root);
}

/* No effect is found as often as alpha says, whatever alpha. */
static void test_no_effect_is_found_by_chance(void **state)
{
    static const double alphas[] = {1e-9, .001, .05, .5, .9};
    (void)state;
    for (size_t i = 0; i < sizeof alphas / sizeof alphas[0]; i++) {
        for (int sides = 1; sides <= 2; sides++) {
            struct power_design design = {.sd = 1, .alpha = alphas[i], .sides = sides};
            vectors_near("power", "of no effect", power_of_test(&design, 5, 9), alphas[i], 1e-10);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_needed_samples),
        cmocka_unit_test(test_needed_is_the_fewest),
        cmocka_unit_test(test_out_of_reach),
        cmocka_unit_test(test_noncentral_t),
        cmocka_unit_test(test_no_effect_is_found_by_chance),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
