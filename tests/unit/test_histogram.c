/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The histogram: its error over the whole range, the ends, quantiles by nearest
 * rank against sorting, merging.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/histogram.h"
#include "common/rng.h"

#define N_SAMPLES 5000

static struct histogram h; /* 18 kB: rather not on the stack */

static int setup(void **state)
{
    (void)state;
    memset(&h, 0, sizeof h);
    return 0;
}

static double relative_error(uint64_t ns)
{
    return fabs(histogram_midpoint(histogram_bucket(ns)) - (double)ns) / (double)ns;
}

static void test_error_is_below_one_percent(void **state)
{
    struct rng r;
    (void)state;
    rng_seed(&r, 2);
    for (uint64_t ns = 1; ns < 200000; ns++)
        assert_true(relative_error(ns) < 0.01);
    for (int i = 0; i < 1000000; i++) {
        uint64_t ns = rng_next(&r) >> (24 + rng_below(&r, 40));
        if (ns > 0)
            assert_true(relative_error(ns) < 0.01);
    }
    for (uint64_t ns = 0; ns < 128; ns++)
        assert_true(histogram_midpoint(histogram_bucket(ns)) == (double)ns);
}

/* Every bucket holds its own midpoint, and the edges of octaves join. */
static void test_buckets_are_in_order(void **state)
{
    (void)state;
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++)
        assert_int_equal(histogram_bucket((uint64_t)histogram_midpoint(i)), i);
    for (int k = 1; k < HISTOGRAM_MAX_BITS; k++) {
        uint64_t edge = UINT64_C(1) << k;
        assert_int_equal(histogram_bucket(edge), histogram_bucket(edge - 1) + 1);
    }
}

static void test_ends(void **state)
{
    (void)state;
    assert_true(isnan(histogram_quantile(&h, 0.5)));
    assert_true(HISTOGRAM_MAX_NS >= UINT64_C(1000000000000));
    assert_int_equal(histogram_bucket(0), 0);
    assert_int_equal(histogram_bucket(HISTOGRAM_MAX_NS), HISTOGRAM_BUCKETS - 1);
    assert_int_equal(histogram_bucket(HISTOGRAM_MAX_NS + 1), HISTOGRAM_BUCKETS - 1);
    assert_int_equal(histogram_bucket(UINT64_MAX), HISTOGRAM_BUCKETS - 1);
    histogram_add(&h, UINT64_MAX);
    assert_int_equal(h.n, 1);
    assert_true(fabs(histogram_quantile(&h, 0.5) / (double)HISTOGRAM_MAX_NS - 1) < 0.01);
}

/* 1..100 are exact buckets, so the nearest rank is the value itself. */
static void test_nearest_rank(void **state)
{
    (void)state;
    for (uint64_t ns = 1; ns <= 100; ns++)
        histogram_add(&h, ns);
    assert_true(histogram_quantile(&h, 0) == 1);
    assert_true(histogram_quantile(&h, 0.001) == 1);
    assert_true(histogram_quantile(&h, 0.011) == 2);
    assert_true(histogram_quantile(&h, 1) == 100);
    for (int percent = 1; percent <= 100; percent++)
        assert_true(histogram_quantile(&h, percent / 100.0) == percent);
}

static int compare_durations(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static void test_quantiles_agree_with_sorting(void **state)
{
    static const double qs[] = {0, 0.01, 0.25, 0.5, 0.9, 0.95, 0.99, 0.999, 1};
    static uint64_t sorted[N_SAMPLES];
    struct rng r;
    (void)state;
    rng_seed(&r, 3);
    for (size_t i = 0; i < N_SAMPLES; i++) {
        sorted[i] = 1 + (rng_next(&r) >> (30 + rng_below(&r, 20)));
        histogram_add(&h, sorted[i]);
    }
    qsort(sorted, N_SAMPLES, sizeof sorted[0], compare_durations);
    for (size_t i = 0; i < sizeof qs / sizeof qs[0]; i++) {
        size_t rank = qs[i] > 0 ? (size_t)ceil(qs[i] * N_SAMPLES) : 1;
        double want = (double)sorted[rank - 1];
        assert_true(fabs(histogram_quantile(&h, qs[i]) / want - 1) < 0.01);
    }
}

static void test_merge(void **state)
{
    static struct histogram odd;
    static struct histogram even;
    (void)state;
    for (uint64_t i = 0; i < N_SAMPLES; i++) {
        histogram_add(i % 2 == 0 ? &even : &odd, i * i * i);
        histogram_add(&h, i * i * i);
    }
    histogram_merge(&odd, &even);
    assert_memory_equal(&odd, &h, sizeof h);
}

/* What comes out of a foreign file may contradict itself. */
static void test_quantile_survives_a_wrong_total(void **state)
{
    (void)state;
    h.n = UINT64_MAX;
    assert_true(histogram_quantile(&h, 0.5) == histogram_midpoint(HISTOGRAM_BUCKETS - 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_error_is_below_one_percent, setup),
        cmocka_unit_test_setup(test_buckets_are_in_order, setup),
        cmocka_unit_test_setup(test_ends, setup),
        cmocka_unit_test_setup(test_nearest_rank, setup),
        cmocka_unit_test_setup(test_quantiles_agree_with_sorting, setup),
        cmocka_unit_test_setup(test_merge, setup),
        cmocka_unit_test_setup(test_quantile_survives_a_wrong_total, setup),
    };
    return cmocka_run_group_tests_name("histogram", tests, NULL, NULL);
}
