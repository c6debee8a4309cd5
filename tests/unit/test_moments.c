/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Running moments: against the two-pass formulas, at large offsets, merged,
 * shifted and scaled.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/moments.h"
#include "common/rng.h"

#define N_SAMPLES 1000

static double samples[N_SAMPLES];

static int make_samples(void **state)
{
    struct rng r;
    (void)state;
    rng_seed(&r, 1);
    for (size_t i = 0; i < N_SAMPLES; i++)
        samples[i] = 100 + (double)rng_below(&r, 100000) / 7;
    return 0;
}

static struct moments moments_of(const double *x, size_t n, double offset)
{
    struct moments m = {0};
    for (size_t i = 0; i < n; i++)
        moments_add(&m, x[i] + offset);
    return m;
}

static void assert_near(double got, double want, double relative)
{
    if (!(fabs(got - want) <= relative * fabs(want)))
        fail_msg("got %.17g, expected %.17g within %g of it", got, want, relative);
}

static void test_two_passes_agree(void **state)
{
    struct moments m = moments_of(samples, N_SAMPLES, 0);
    double sum = 0;
    double squares = 0;
    (void)state;
    for (size_t i = 0; i < N_SAMPLES; i++)
        sum += samples[i];
    for (size_t i = 0; i < N_SAMPLES; i++)
        squares += pow(samples[i] - sum / N_SAMPLES, 2);
    assert_int_equal(m.n, N_SAMPLES);
    assert_near(m.mean, sum / N_SAMPLES, 1e-13);
    assert_near(moments_variance(&m), squares / (N_SAMPLES - 1), 1e-12);
}

static void test_few_samples(void **state)
{
    struct moments m = {0};
    (void)state;
    assert_true(isnan(moments_variance(&m)));
    moments_add(&m, 5);
    assert_near(m.mean, 5, 0);
    assert_true(isnan(moments_variance(&m)));
    moments_add(&m, 5);
    assert_near(moments_variance(&m), 0, 0);
}

/* A sum of squares would have lost every digit here. */
static void test_offset_keeps_the_variance(void **state)
{
    const double near_zero[] = {4, 7, 13, 16};
    struct moments m = moments_of(near_zero, 4, 1e12);
    (void)state;
    assert_near(m.mean, 1e12 + 10, 1e-15);
    assert_near(moments_variance(&m), 30, 1e-9);
}

/* Where a double counts in steps of 0.0001, two means still differ by 1e-9. */
static void test_offset_keeps_the_difference(void **state)
{
    struct moments a = {0};
    struct moments b = {0};
    (void)state;
    for (int i = 0; i < 999; i++)
        moments_add(&a, 1e12 + i);
    for (int i = 0; i < 1000; i++)
        moments_add(&b, 1e12 + (i < 999 ? i : 500.0));
    assert_near(moments_difference(&a, &b), 0.001, 1e-9);
    assert_near(moments_difference(&b, &a), -0.001, 1e-9);
    struct moments near_a = moments_shift_scale(&a, -1e12, 0.1);
    struct moments near_b = moments_shift_scale(&b, -1e12, 0.1);
    assert_near(near_b.mean - near_a.mean, 0.0001, 1e-9);
    moments_merge(&a, &b);
    struct moments near = moments_shift_scale(&a, -1e12, 1);
    assert_near(near.mean, (999 * 499.0 + 1000 * 499.001) / 1999, 1e-14);
}

static void test_merge_equals_adding(void **state)
{
    struct moments all = moments_of(samples, N_SAMPLES, 0);
    (void)state;
    for (size_t cut = 0; cut <= N_SAMPLES; cut += 125) {
        struct moments m = moments_of(samples, cut, 0);
        struct moments rest = moments_of(samples + cut, N_SAMPLES - cut, 0);
        moments_merge(&m, &rest);
        assert_int_equal(m.n, all.n);
        assert_near(m.mean, all.mean, 1e-13);
        assert_near(m.m2, all.m2, 1e-12);
    }
}

static void test_shift_scale_equals_changed_samples(void **state)
{
    struct moments plain = moments_of(samples, N_SAMPLES, 0);
    struct moments changed = moments_shift_scale(&plain, -100, 1 / 1.2);
    struct moments want = {0};
    struct moments empty = {0};
    (void)state;
    for (size_t i = 0; i < N_SAMPLES; i++)
        moments_add(&want, (samples[i] - 100) / 1.2);
    assert_int_equal(changed.n, want.n);
    assert_near(changed.mean, want.mean, 1e-12);
    assert_near(changed.m2, want.m2, 1e-12);
    assert_int_equal(moments_shift_scale(&empty, -100, 2).n, 0);
}

/* 3 * 2^32 samples, by doubling: 1, 2 and 6 over and over. */
static void test_counts_beyond_32_bits(void **state)
{
    struct moments m = {0};
    (void)state;
    moments_add(&m, 1);
    moments_add(&m, 2);
    moments_add(&m, 6);
    for (int i = 0; i < 32; i++) {
        struct moments twin = m;
        moments_merge(&m, &twin);
    }
    assert_true(m.n == UINT64_C(3) << 32);
    assert_true(m.mean == 3);
    assert_near(moments_variance(&m), 14.0 / 3, 1e-9);
    moments_add(&m, 3);
    assert_true(m.n == (UINT64_C(3) << 32) + 1 && m.mean == 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_two_passes_agree),
        cmocka_unit_test(test_few_samples),
        cmocka_unit_test(test_offset_keeps_the_variance),
        cmocka_unit_test(test_offset_keeps_the_difference),
        cmocka_unit_test(test_merge_equals_adding),
        cmocka_unit_test(test_shift_scale_equals_changed_samples),
        cmocka_unit_test(test_counts_beyond_32_bits),
    };
    return cmocka_run_group_tests_name("moments", tests, make_samples, NULL);
}
