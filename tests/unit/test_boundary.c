/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The boundary and the always-valid p-value against 50-digit reference vectors,
 * and what they must be to each other.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <Rmath.h>

#include "common/jsonx.h"
#include "judge/boundary.h"
#include "tests/support/vectors.h"

#define VECTORS   "tests/data/guard_vectors.json"
#define TOLERANCE 1e-9

static void test_boundary_vectors(void **state)
{
    cJSON *root = vectors_load(VECTORS);
    const cJSON *v;
    size_t n = 0;
    (void)state;
    cJSON_ArrayForEach(v, jsonx_member(root, "rs_boundary")) {
        const char *id = vectors_text(v, "id");
        struct boundary b = boundary_of(vectors_number(v, "alpha"));
        double z = boundary_z(&b, log(vectors_number(v, "r")));
        vectors_near(id, "a", b.a, vectors_number(v, "a"), TOLERANCE);
        vectors_near(id, "z", z, vectors_number(v, "z_boundary"), TOLERANCE);
        vectors_close(id, "p", pnorm(z, 0, 1, 0, 0), vectors_number(v, "p_boundary"), 1e-9);
        n++;
    }
    assert_int_equal(n, 35);
    cJSON_Delete(root);
}

static void test_anytime_p_vectors(void **state)
{
    cJSON *root = vectors_load(VECTORS);
    const cJSON *v;
    size_t n = 0;
    (void)state;
    cJSON_ArrayForEach(v, jsonx_member(root, "anytime_p")) {
        double p = boundary_anytime_p(vectors_number(v, "z"), log(vectors_number(v, "r")));
        vectors_close(vectors_text(v, "id"), "p", p, vectors_number(v, "anytime_p"), 1e-9);
        n++;
    }
    assert_int_equal(n, 30);
    cJSON_Delete(root);
}

/* The p-value of the boundary itself is alpha, wherever that lies. */
static void test_p_on_the_boundary_is_alpha(void **state)
{
    static const double alphas[] = {0.9, 0.5, 0.1, 0.05, 0.0125, 0.0075, 1e-3, 1e-6, 1e-12};
    (void)state;
    for (size_t i = 0; i < sizeof alphas / sizeof alphas[0]; i++)
        for (double ln_r = 0; ln_r < 21; ln_r += 3) {
            struct boundary b = boundary_of(alphas[i]);
            double p = boundary_anytime_p(boundary_z(&b, ln_r), ln_r);
            vectors_close("alpha", "p", p, alphas[i], 1e-9);
        }
}

/* The shortcut never says other than the distributions would. */
static void test_crossing(void **state)
{
    static const double dfs[] = {1, 2, 5, 11, 35, 1000, 1e9};
    struct boundary b = boundary_of(0.0125);
    int n_crossed = 0;
    (void)state;
    for (size_t i = 0; i < sizeof dfs / sizeof dfs[0]; i++)
        for (double ln_r = 0; ln_r < 10; ln_r += 1.7)
            for (double t = -5; t < 60; t += 0.05) {
                double limit = pnorm(boundary_z(&b, ln_r), 0, 1, 0, 1);
                bool crosses = t > 0 && pt(t, dfs[i], 0, 1) <= limit;
                assert_int_equal(boundary_is_crossed(&b, t, dfs[i], ln_r), crosses);
                n_crossed += crosses;
            }
    assert_true(n_crossed > 1000);
    assert_false(boundary_is_crossed(&b, NAN, 20, 0));
    assert_true(boundary_is_crossed(&b, INFINITY, 20, 0));
}

/* Far out too the deviate has the tail of the t it stands for. */
static void test_deviates(void **state)
{
    static const double ts[] = {-30, -2, 0, 1, 3, 8, 20, 37, 100, 1000, 1e5, 1e8};
    static const double dfs[] = {11, 100, 1e4, 1e6};
    (void)state;
    for (size_t i = 0; i < sizeof ts / sizeof ts[0]; i++)
        for (size_t k = 0; k < sizeof dfs / sizeof dfs[0]; k++) {
            double z = boundary_deviate(ts[i], dfs[k]);
            double want = pt(ts[i], dfs[k], 0, 1);
            vectors_close("tail", "ln p", pnorm(z, 0, 1, 0, 1), want, 1e-9);
        }
    for (size_t i = 0; i < sizeof dfs / sizeof dfs[0]; i++)
        for (double t = 1; t < 1e6; t *= 7) { /* the other way as far */
            double z = boundary_deviate(-t, dfs[i]);
            assert_true(isfinite(z) && z == -boundary_deviate(t, dfs[i]));
        }
    assert_true(boundary_deviate(INFINITY, 20) == INFINITY);
    assert_true(boundary_anytime_p(INFINITY, 3) == 0);
    assert_true(boundary_anytime_p(-50, 0) == 1);
}

static void test_quantile(void **state)
{
    (void)state;
    vectors_close("df 35", "t", pt(boundary_t_quantile(2.5, 35), 35, 0, 0), pnorm(2.5, 0, 1, 0, 0),
                  1e-10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_boundary_vectors),
        cmocka_unit_test(test_anytime_p_vectors),
        cmocka_unit_test(test_p_on_the_boundary_is_alpha),
        cmocka_unit_test(test_crossing),
        cmocka_unit_test(test_deviates),
        cmocka_unit_test(test_quantile),
    };
    return cmocka_run_group_tests_name("boundary", tests, NULL, NULL);
}
