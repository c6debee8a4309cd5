/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Welch's test against 50-digit reference vectors and against SciPy, and what
 * no table covers: extreme scales, the policy for no variance, refusals.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>
#include <Rmath.h>

#include "common/jsonx.h"
#include "judge/welch.h"
#include "tests/support/vectors.h"

#define VECTORS   "tests/data/welch_vectors.json"
#define REFERENCE "tests/data/welch_reference.json"

static struct moments moments_of(const cJSON *arm)
{
    struct moments m = {0};
    const cJSON *x;
    if (cJSON_IsObject(arm)) {
        m.n = (uint64_t)vectors_number(arm, "n");
        m.mean = vectors_number(arm, "mean");
        m.m2 = vectors_number(arm, "var") * (double)(m.n - 1);
        return m;
    }
    cJSON_ArrayForEach(x, arm)
        moments_add(&m, x->valuedouble);
    return m;
}

/* p: within 1e-9 of it where it is above 1e-300, else about 0. */
static void check_p(const char *id, const char *name, double got, const cJSON *want)
{
    if (vectors_number(want, name) >= 1e-300)
        vectors_close(id, name, got, vectors_number(want, name), 1e-9);
    else
        vectors_near(id, name, got, 0, 1e-300);
}

/* At an offset of 1e9 and more t may be 1e-7 off; it is not. */
static void check_vector(const cJSON *v)
{
    const char *id = jsonx_member(v, "id")->valuestring;
    const cJSON *want = jsonx_member(v, "expected");
    struct moments stable = moments_of(jsonx_member(v, "stable"));
    struct moments canary = moments_of(jsonx_member(v, "canary"));
    struct welch w;
    assert_int_equal(welch_test(&stable, &canary, WELCH_LEVEL, &w, NULL), 0);
    vectors_close(id, "t", w.t, vectors_number(want, "t"), 1e-12);
    vectors_close(id, "df", w.df, vectors_number(want, "df"), 1e-12);
    check_p(id, "p_greater", w.p_greater, want);
    check_p(id, "p_less", w.p_less, want);
    check_p(id, "p_two_sided", w.p_two_sided, want);
    vectors_close(id, "ln_p_greater", w.ln_p_greater, vectors_number(want, "ln_p_greater"), 1e-8);
}

static void test_vectors(void **state)
{
    cJSON *root = vectors_load(VECTORS);
    const cJSON *v;
    size_t n = 0;
    (void)state;
    cJSON_ArrayForEach(v, jsonx_member(root, "welch")) {
        check_vector(v);
        n++;
    }
    assert_int_equal(n, 32);
    cJSON_Delete(root);
}

/* The tails that Welch takes from libRmath: from another library, the same. */
static void test_tails_of_the_library(void **state)
{
    cJSON *root = vectors_load(VECTORS);
    const cJSON *v;
    size_t n = 0;
    (void)state;
    cJSON_ArrayForEach(v, jsonx_member(root, "t_sf")) {
        const char *id = jsonx_member(v, "id")->valuestring;
        double t = vectors_number(v, "t");
        double df = vectors_number(v, "df");
        check_p(id, "sf", pt(t, df, 0, 0), v);
        vectors_close(id, "ln_sf", pt(t, df, 0, 1), vectors_number(v, "ln_sf"), 1e-8);
        n++;
    }
    assert_int_equal(n, 167);
    cJSON_Delete(root);
}

static void check_intervals(const char *name, const cJSON *c, const struct moments *stable,
                            const struct moments *canary)
{
    const cJSON *want;
    cJSON_ArrayForEach(want, jsonx_member(c, "intervals")) {
        struct welch w;
        assert_int_equal(welch_test(stable, canary, vectors_number(want, "level"), &w, NULL), 0);
        double tolerance = 1e-9 * (w.interval_high - w.interval_low);
        vectors_near(name, "interval_low", w.interval_low, vectors_number(want, "low"), tolerance);
        vectors_near(name, "interval_high", w.interval_high, vectors_number(want, "high"),
                     tolerance);
    }
}

static void check_effect(const char *name, const cJSON *c, const struct welch *w)
{
    double effect = welch_minimum_detectable_effect(w, 0.05, WELCH_POWER);
    double exact = vectors_number(c, "exact_effect");
    vectors_close(name, "effect", effect, vectors_number(c, "minimum_detectable_effect"), 1e-9);
    vectors_close(name, "effect, exact", effect, exact, w->df >= 2 ? 0.011 : 0.06);
}

static void test_scipy_agrees(void **state)
{
    cJSON *root = vectors_load(REFERENCE);
    const cJSON *c;
    size_t n = 0;
    (void)state;
    cJSON_ArrayForEach(c, jsonx_member(root, "cases")) {
        const char *name = jsonx_member(c, "name")->valuestring;
        struct moments stable = moments_of(jsonx_member(c, "stable_ns"));
        struct moments canary = moments_of(jsonx_member(c, "canary_ns"));
        struct welch w;
        assert_int_equal(welch_test(&stable, &canary, WELCH_LEVEL, &w, NULL), 0);
        vectors_close(name, "t", w.t, vectors_number(c, "t"), 1e-12);
        vectors_close(name, "df", w.df, vectors_number(c, "df"), 1e-12);
        check_p(name, "p_greater", w.p_greater, c);
        check_p(name, "p_less", w.p_less, c);
        check_p(name, "p_two_sided", w.p_two_sided, c);
        check_intervals(name, c, &stable, &canary);
        check_effect(name, c, &w);
        n++;
    }
    assert_int_equal(n, 8);
    cJSON_Delete(root);
}

static struct moments summary(uint64_t n, double mean, double variance)
{
    return (struct moments){.n = n, .mean = mean, .m2 = variance * (double)(n - 1)};
}

/* t, df and p do not depend on the unit, be it 1e-140 or 1e140 of the first. */
static void test_extreme_scales(void **state)
{
    static const double units[] = {1e-140, 1e-60, 1e60, 1e140};
    struct moments stable = summary(50, 10, 4);
    struct moments canary = summary(20, 11, 25);
    struct welch want;
    (void)state;
    assert_int_equal(welch_test(&stable, &canary, WELCH_LEVEL, &want, NULL), 0);
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        struct moments a = moments_shift_scale(&stable, 0, units[i]);
        struct moments b = moments_shift_scale(&canary, 0, units[i]);
        struct welch w;
        assert_int_equal(welch_test(&a, &b, WELCH_LEVEL, &w, NULL), 0);
        vectors_close("scaled", "t", w.t, want.t, 1e-12);
        vectors_close("scaled", "df", w.df, want.df, 1e-12);
        vectors_close("scaled", "p", w.p_greater, want.p_greater, 1e-11);
        vectors_close("scaled", "low", w.interval_low, want.interval_low * units[i], 1e-11);
    }
}

/* The smaller variance may vanish beside the larger: df is the larger's own. */
static void test_extreme_ratios(void **state)
{
    struct moments still = summary(30, 10, 1e-300);
    struct moments wild = summary(2, 10, 1e300);
    struct moments many = summary(UINT64_C(1) << 53, 10, 1e280);
    struct welch w;
    (void)state;
    assert_int_equal(welch_test(&still, &wild, WELCH_LEVEL, &w, NULL), 0);
    vectors_close("ratio", "df", w.df, 1, 0);
    vectors_close("ratio", "p", w.p_greater, 0.5, 0);
    assert_int_equal(welch_test(&wild, &still, WELCH_LEVEL, &w, NULL), 0);
    vectors_close("ratio", "df", w.df, 1, 0);
    assert_int_equal(welch_test(&still, &many, WELCH_LEVEL, &w, NULL), 0);
    vectors_close("ratio", "df", w.df, 0x1p53 - 1, 1e-12);
    assert_true(isfinite(w.interval_low) && isfinite(w.interval_high));
}

static void test_no_variance(void **state)
{
    struct moments five = summary(3, 5, 0);
    struct moments six = summary(4, 6, 0);
    struct welch w;
    (void)state;
    assert_int_equal(welch_test(&five, &six, WELCH_LEVEL, &w, NULL), 0);
    assert_true(w.t == INFINITY && w.p_greater == 0 && w.p_less == 1 && w.p_two_sided == 0);
    assert_true(w.df == 5 && w.ln_p_greater == -INFINITY);
    assert_true(w.interval_low == 1 && w.interval_high == 1);
    assert_true(welch_minimum_detectable_effect(&w, 0.05, WELCH_POWER) == 0);
    assert_int_equal(welch_test(&six, &five, WELCH_LEVEL, &w, NULL), 0);
    assert_true(w.t == -INFINITY && w.p_greater == 1 && w.p_less == 0 && w.ln_p_greater == 0);
    assert_int_equal(welch_test(&five, &five, WELCH_LEVEL, &w, NULL), 0);
    assert_true(w.t == 0 && w.p_greater == 0.5 && w.p_two_sided == 1);
}

static void test_refusals(void **state)
{
    static const struct {
        struct moments a, b;
        const char *code;
    } cases[] = {
        {{.n = 0}, {.n = 9, .m2 = 1}, "too-few-samples"},
        {{.n = 9, .m2 = 1}, {.n = 1}, "too-few-samples"},
        {{.n = 9, .mean = (double)NAN}, {.n = 9, .m2 = 1}, "not-finite"},
        {{.n = 9, .m2 = 1}, {.n = 9, .m2 = (double)INFINITY}, "not-finite"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct welch w = {.t = 42};
        struct err e = {0};
        assert_int_equal(welch_test(&cases[i].a, &cases[i].b, WELCH_LEVEL, &w, &e), -1);
        assert_string_equal(e.code, cases[i].code);
        assert_true(w.t == 42);
    }
}

static void test_margin_moves_the_null(void **state)
{
    struct moments stable = summary(100, 1e6, 1e10);
    struct moments canary = summary(100, 1.3e6, 1.44e10); /* 1.2 * stable + 0.1 ms */
    struct welch_margin none = {0};
    struct welch_margin margin = {.absolute_ns = 1e5, .ratio = 0.2};
    struct moments changed = welch_take_margin(&canary, &margin);
    struct moments same = welch_take_margin(&canary, &none);
    (void)state;
    assert_int_equal(changed.n, 100);
    vectors_close("margin", "mean", changed.mean, stable.mean, 1e-12);
    vectors_close("margin", "m2", changed.m2, stable.m2, 1e-12);
    assert_memory_equal(&same, &canary, sizeof same);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),        cmocka_unit_test(test_tails_of_the_library),
        cmocka_unit_test(test_scipy_agrees),   cmocka_unit_test(test_extreme_scales),
        cmocka_unit_test(test_extreme_ratios), cmocka_unit_test(test_no_variance),
        cmocka_unit_test(test_refusals),       cmocka_unit_test(test_margin_moves_the_null),
    };
    return cmocka_run_group_tests_name("welch", tests, NULL, NULL);
}
