/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Power against 50-digit vectors, and the noncentral t against mpmath, also
 * where the usual algorithm gives up.
 */
#include <fcntl.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/fdio.h"
#include "common/jsonx.h"
#include "judge/power.h"

#define VECTORS   "tests/data/power_vectors.json"
#define REFERENCE "tests/data/power_reference.json"

static cJSON *load(const char *path)
{
    struct err e = {0};
    char *text;
    size_t n;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        fail_msg("%s: not found; tests run in the repository's root", path);
    if (fd_read_file(fd, path, 1 << 20, &text, &n, &e) < 0)
        fail_msg("%s", e.text);
    fd_close(&fd);
    cJSON *root = jsonx_parse(text, n, &e);
    if (root == NULL)
        fail_msg("%s: %s", path, e.text);
    free(text);
    return root;
}

static double number(const cJSON *object, const char *name)
{
    const cJSON *item = jsonx_member(object, name);
    if (!cJSON_IsNumber(item))
        fail_msg("%s: expected a number, got %s", name, jsonx_type_name(item));
    return item->valuedouble;
}

static void assert_near(const char *what, double got, double want, double tolerance)
{
    if (!(fabs(got - want) <= tolerance))
        fail_msg("%s: %.17g, expected %.17g within %g", what, got, want, tolerance);
}

static struct power_design design_of(const cJSON *v, int sides)
{
    return (struct power_design){.effect = number(v, "effect"),
                                 .sd = number(v, "sd"),
                                 .alpha = number(v, "alpha"),
                                 .sides = sides};
}

static void test_vectors(void **state)
{
    cJSON *root = load(VECTORS);
    const cJSON *v;
    size_t n = 0;
    (void)state;
    cJSON_ArrayForEach(v, jsonx_member(root, "power")) {
        struct power_design design = design_of(v, (int)number(v, "sides"));
        double power = power_of_test(&design, number(v, "n_canary"), number(v, "n_stable"));
        assert_near(jsonx_member(v, "id")->valuestring, power, number(v, "power"),
                    1e-6 * number(v, "power"));
        n++;
    }
    assert_int_equal(n, 10);
    cJSON_Delete(root);
}

static void test_needed_samples(void **state)
{
    cJSON *root = load(VECTORS);
    const cJSON *v = jsonx_member(root, "power_min_n");
    struct power_design one = design_of(v, 1), two = design_of(v, 2);
    uint64_t n = 0;
    (void)state;
    assert_int_equal(power_needed_samples(&one, 1, number(v, "target"), &n, NULL), 0);
    assert_int_equal(n, (uint64_t)number(v, "equal_one_sided"));
    assert_int_equal(power_needed_samples(&two, 1, number(v, "target"), &n, NULL), 0);
    assert_int_equal(n, (uint64_t)number(v, "equal_two_sided"));
    assert_near("power at 36", power_of_test(&two, 36, 36),
                number(v, "equal_two_sided_power_at_36"), 1e-6);
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
    cJSON *root = load(REFERENCE);
    const cJSON *v;
    size_t n = 0;
    (void)state;
    cJSON_ArrayForEach(v, jsonx_member(root, "noncentral_t")) {
        double tail = power_noncentral_tail(number(v, "t"), number(v, "df"), number(v, "ncp"));
        assert_near("tail", tail, number(v, "upper_tail"), 1e-12);
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
            assert_near("power of no effect", power_of_test(&design, 5, 9), alphas[i], 1e-10);
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
