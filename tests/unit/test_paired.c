/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The paired t as reports use it: its floor, what it could find, and how much
 * longer it needs. Its numbers are held against vectors in test_guard.c.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <Rmath.h>

#include "common/rng.h"
#include "judge/paired.h"
#include "tests/support/vectors.h"

/* n numbers of variance about 1/12 and that mean, independent. */
static struct series series_of(int n, double mean)
{
    struct series s = {0};
    struct rng r;
    rng_seed(&r, 17);
    for (int i = 0; i < n; i++)
        series_add(&s, mean - 0.5 + (double)rng_below(&r, 1000001) / 1e6);
    return s;
}

static void test_few_numbers(void **state)
{
    struct series s = {0};
    struct paired p = paired_of(&s, 0);
    (void)state;
    assert_true(isnan(p.difference) && isnan(p.t));
    series_add(&s, 3);
    p = paired_of(&s, 0);
    assert_true(p.difference == 3 && isnan(p.standard_error) && isnan(p.t));
    series_add(&s, 3);
    p = paired_of(&s, 0); /* no variance says nothing */
    assert_true(p.standard_error == 0 && isnan(p.t) && p.df == 1);
}

static void test_r(void **state)
{
    struct series s = series_of(100, 0.1);
    (void)state;
    assert_true(paired_of(&s, 0).ln_r == 0);
    assert_true(paired_of(&s, 100).ln_r == 0);
    vectors_near("R", "ln", paired_of(&s, 20).ln_r, log(5), 1e-12);
}

static void test_floor(void **state)
{
    struct series s = series_of(100, 0.1);
    struct paired p = paired_of(&s, 20);
    struct paired same = paired_with_floor(&p, p.standard_error / 2);
    struct paired raised = paired_with_floor(&p, p.standard_error * 2);
    (void)state;
    assert_true(same.t == p.t && same.standard_error == p.standard_error);
    vectors_close("floor", "t", raised.t, p.t / 2, 1e-12);
    assert_true(raised.difference == p.difference && raised.df == p.df);
}

/* An effect of that size is found with probability .8: by the normal's book. */
static void test_detectable(void **state)
{
    struct series s = series_of(10000, 0);
    struct paired p = paired_of(&s, 100);
    const struct boundary b = boundary_of(0.0125);
    double z = boundary_z(&b, p.ln_r);
    (void)state;
    double effect = paired_detectable(&p, &b);
    vectors_close("power", "at that effect", pnorm(effect / p.standard_error - z, 0, 1, 1, 0), 0.8,
                  1e-9);
}

/* So many times the numbers with the same mean and variance, and t stands on the
 * boundary. */
static void test_growth(void **state)
{
    static const double means[] = {0.004, 0.01, 0.02, 0.03};
    const struct boundary b = boundary_of(0.0125);
    (void)state;
    for (size_t i = 0; i < sizeof means / sizeof means[0]; i++) {
        struct paired p = {.difference = means[i], .standard_error = 0.01, .df = 1e9, .ln_r = 1};
        p.t = p.difference / p.standard_error;
        double growth = paired_growth_needed(&p, &b);
        assert_true(growth > 1);
        vectors_close("growth", "t", p.t * sqrt(growth), boundary_z(&b, 1 + log(growth)), 1e-9);
    }
    struct paired p = {.t = 50};
    assert_true(paired_growth_needed(&p, &b) == 1);
    p.t = 1e-3; /* not in a lifetime */
    assert_true(isnan(paired_growth_needed(&p, &b)));
    p.t = -1;
    assert_true(isnan(paired_growth_needed(&p, &b)));
    p.t = NAN;
    assert_true(isnan(paired_growth_needed(&p, &b)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_few_numbers), cmocka_unit_test(test_r),
        cmocka_unit_test(test_floor),       cmocka_unit_test(test_detectable),
        cmocka_unit_test(test_growth),
    };
    return cmocka_run_group_tests_name("paired", tests, NULL, NULL);
}
