/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The running series against the formulas written out over all numbers, at
 * offsets where a sum of squares would have no digits left, and merged.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/rng.h"
#include "judge/dependence.h"
#include "tests/support/vectors.h"

#define MAX 2000

/* n numbers with autocorrelation about rho. */
static void make(double x[], size_t n, double rho, double offset, uint64_t seed)
{
    struct rng r;
    double last = 0;
    rng_seed(&r, seed);
    for (size_t i = 0; i < n; i++) {
        last = rho * last + (double)rng_below(&r, 2001) - 1000;
        x[i] = offset + floor(last);
    }
}

/* Sums about the mean, by parts of n[k] numbers that are no neighbours. offset is
 * taken off first, so that they are exact. */
static double vif_of(const double x[], const size_t n[], size_t n_parts, double offset)
{
    double mean = 0, m2 = 0, products = 0;
    size_t all = 0, i = 0;
    for (size_t k = 0; k < n_parts; k++)
        all += n[k];
    for (i = 0; i < all; i++)
        mean += (x[i] - offset) / (double)all;
    for (i = 0; i < all; i++)
        m2 += pow(x[i] - offset - mean, 2);
    i = 0;
    for (size_t k = 0; k < n_parts; i++, k++)
        for (size_t end = i + n[k] - 1; i < end; i++)
            products += (x[i] - offset - mean) * (x[i + 1] - offset - mean);
    double r = ((double)all * (products / m2) + 1) / ((double)all - 4);
    double cap = 2.5 * sqrt(fmax(1, (double)all / 40));
    return r >= 1 ? cap : fmin(fmax(1, (1 + r) / (1 - r)), cap);
}

static struct series series_of(const double x[], size_t n)
{
    struct series s = {0};
    for (size_t i = 0; i < n; i++)
        series_add(&s, x[i]);
    return s;
}

static void test_vif_is_the_formula(void **state)
{
    static const double rhos[] = {-0.6, 0, 0.3, 0.6, 0.95, 1};
    static const double offsets[] = {0, 1e6, 1e12};
    double x[MAX];
    (void)state;
    for (size_t i = 0; i < sizeof rhos / sizeof rhos[0]; i++)
        for (size_t k = 0; k < sizeof offsets / sizeof offsets[0]; k++)
            for (size_t n = 8; n <= MAX; n = n * 3 / 2) {
                make(x, n, rhos[i], offsets[k], n + i);
                struct series s = series_of(x, n);
                double want = vif_of(x, &n, 1, offsets[k]);
                vectors_close("series", "vif", series_vif(&s), want, 1e-9);
            }
}

/* Found by the cut: it grows no faster than the root of the numbers. */
static void test_a_step_does_not_inflate_without_end(void **state)
{
    struct series s = {0};
    (void)state;
    for (int i = 0; i < 160; i++)
        series_add(&s, i < 80 ? 0 : 1);
    vectors_close("step", "vif", series_vif(&s), 5, 1e-12);
    for (int i = 0; i < 10; i++)
        series_add(&s, 1);
    assert_true(series_vif(&s) < 5.2);
}

static void test_too_few_and_constant(void **state)
{
    struct series s = {0};
    (void)state;
    assert_true(series_vif(&s) == 1);
    for (int i = 0; i < 7; i++) {
        series_add(&s, i);
        assert_true(series_vif(&s) == 1);
    }
    series_add(&s, 7);
    assert_true(series_vif(&s) > 1);
    struct series constant = {0};
    for (int i = 0; i < 100; i++)
        series_add(&constant, 1e12);
    assert_true(series_vif(&constant) == 1);
    assert_true(series_standard_error(&constant) == 0);
}

static void test_merged(void **state)
{
    static const size_t parts[] = {300, 1, 450, 37};
    static const double offsets[] = {0, 1e12};
    double x[MAX];
    (void)state;
    for (size_t k = 0; k < 2; k++) {
        struct series whole = {0};
        struct moments all = {0};
        size_t from = 0;
        make(x, 788, 0.5, offsets[k], 5);
        for (size_t i = 0; i < 4; from += parts[i++]) {
            struct series part = series_of(x + from, parts[i]);
            series_merge(&whole, &part);
        }
        for (size_t i = 0; i < 788; i++)
            moments_add(&all, x[i]);
        vectors_close("merged", "vif", series_vif(&whole), vif_of(x, parts, 4, offsets[k]), 1e-9);
        assert_int_equal(whole.x.n, 788);
        vectors_close("merged", "m2", whole.x.m2, all.m2, 1e-11);
    }
}

static void test_merging_nothing(void **state)
{
    double x[] = {1, 5, 2, 8, 1, 9, 3, 3, 4};
    struct series s = series_of(x, 9);
    struct series before = s;
    struct series none = {0};
    (void)state;
    series_merge(&s, &none);
    assert_memory_equal(&s, &before, sizeof s);
    series_merge(&none, &s);
    assert_memory_equal(&none, &before, sizeof s);
    assert_true(series_is_sound(&s));
    s.last = NAN;
    assert_false(series_is_sound(&s));
}

/* A billion numbers about 1e12 that differ by 1: merging halves that double. */
static void test_a_billion_at_a_large_offset(void **state)
{
    struct series s = {0};
    (void)state;
    for (int i = 0; i < 1 << 10; i++)
        series_add(&s, i % 2 == 0 ? 1e12 : 1e12 + 1);
    for (int i = 0; i < 20; i++) {
        struct series same = s;
        series_merge(&s, &same);
    }
    assert_int_equal(s.x.n, 1 << 30);
    vectors_near("billion", "mean", (s.x.mean - 1e12) + s.x.mean_low, 0.5, 1e-9);
    vectors_close("billion", "variance", moments_variance(&s.x), 0.25, 1e-8);
    assert_true(series_vif(&s) == 1); /* they alternate */
    vectors_close("billion", "standard error", series_standard_error(&s), 0.5 / 32768, 1e-8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vif_is_the_formula),
        cmocka_unit_test(test_a_step_does_not_inflate_without_end),
        cmocka_unit_test(test_too_few_and_constant),
        cmocka_unit_test(test_merged),
        cmocka_unit_test(test_merging_nothing),
        cmocka_unit_test(test_a_billion_at_a_large_offset),
    };
    return cmocka_run_group_tests_name("dependence", tests, NULL, NULL);
}
