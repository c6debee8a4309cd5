/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * canaryctl power: the specification's figures, as text and as JSON, and no
 * server asked for them. The statistics are test_power's affair.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include <cmocka.h>

#include "common/jsonx.h"
#include "ctl/member.h"
#include "tests/support/ctl_run.h"

static struct ctl_run run(const char *options)
{
    char line[256];
    snprintf(line, sizeof line, "power %s", options);
    return ctl_run_alone(line);
}

static void test_text(void **state)
{
    (void)state;
    struct ctl_run r = run("--effect-ms 10 --sd-ms 15");
    assert_int_equal(r.status, 0);
    ctl_assert_says(r.out, "one-sided           29            290          16            160");
    ctl_assert_says(r.out, "87.6 %");
    ctl_assert_says(r.out, "two-sided           37            370          20            200");
    ctl_assert_says(r.out, "79.7 %");
    ctl_assert_says(r.out, "power at 36");
    assert_string_equal(r.trouble, "");
    ctl_run_clear(&r);
}

static const cJSON *test_of(const cJSON *root, int i)
{
    return cJSON_GetArrayItem(member_array(root, "tests"), i);
}

static void test_json(void **state)
{
    (void)state;
    struct ctl_run r = run("--effect-ms 10 --sd-ms 15 --sides 2 --share 12.5 --json");
    assert_int_equal(r.status, 0);
    cJSON *root = jsonx_parse(r.out, strlen(r.out), NULL);
    assert_int_equal(cJSON_GetArraySize(member_array(root, "tests")), 1);
    const cJSON *two = test_of(root, 0);
    assert_true(member_number_or(two, "sides", 0) == 2);
    assert_true(member_number_or(two, "samples_a_side", 0) == 37);
    assert_true(member_number_or(two, "requests", 0) == 296);
    assert_true(fabs(member_number_or(two, "power_at_samples", 0) - 0.7965793) < 1e-7);
    assert_true(member_number_or(member_object(two, "baseline_off"), "canary_samples", 0) < 37);
    cJSON_Delete(root);
    ctl_run_clear(&r);
}

/* At half the traffic stable is the baseline: both columns are one. */
static void test_half(void **state)
{
    (void)state;
    struct ctl_run r = run("--effect-ms 0.5 --sd-ms 3 --sides 1 --share 50 --json");
    cJSON *root = jsonx_parse(r.out, strlen(r.out), NULL);
    const cJSON *one = test_of(root, 0), *off = member_object(one, "baseline_off");
    double n = member_number_or(one, "samples_a_side", -1);
    assert_true(n == member_number_or(off, "canary_samples", -2));
    assert_true(member_number_or(one, "requests", 0) == 2 * n);
    cJSON_Delete(root);
    ctl_run_clear(&r);
}

/* A share that is no whole part in binary: not a request too many. */
static void test_requests_are_exact(void **state)
{
    (void)state;
    struct ctl_run r = run("--effect-ms 0.01 --sd-ms 15 --sides 1 --share 0.1 --json");
    cJSON *root = jsonx_parse(r.out, strlen(r.out), NULL);
    const cJSON *one = test_of(root, 0);
    double n = member_number_or(one, "samples_a_side", 0);
    assert_true(n > 27e6 && member_number_or(one, "requests", 0) == 1000 * n);
    cJSON_Delete(root);
    ctl_run_clear(&r);
}

static const struct {
    const char *options, *says;
} refused[] = {
    {"--sd-ms 15", "'power' needs --effect-ms; for example: canaryctl power"},
    {"--effect-ms 15", "'power' needs --sd-ms"},
    {"--effect-ms 0 --sd-ms 1", "--effect-ms: expected a number above 0 and at most 3600000"},
    {"--effect-ms 1 --sd-ms 1 --power 1", "a number above 0 and below 1, got '1'"},
    {"--effect-ms 1 --sd-ms 1 --power .01", "--power must be above --alpha"},
    {"--effect-ms 1 --sd-ms 1 --alpha 0.6", "above 0 and at most 0.5, got '0.6'"},
    {"--effect-ms 1 --sd-ms 1 --sides 3", "a whole number from 1 to 2, got '3'"},
    {"--effect-ms 1 --sd-ms 1 --samples 2.5", "a whole number from 2 to 1000000000"},
    {"--effect-ms 1 --sd-ms", "--sd-ms needs a value: a number above 0"},
    {"--effect-ms 1e-9 --sd-ms 1000", "needs more than 1e+12 samples"},
};

static void test_refusals(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        struct ctl_run r = run(refused[i].options);
        assert_int_equal(r.status, EX_USAGE);
        assert_string_equal(r.out, "");
        ctl_assert_says(r.trouble, refused[i].says);
        ctl_run_clear(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text),     cmocka_unit_test(test_json),
        cmocka_unit_test(test_half),     cmocka_unit_test(test_requests_are_exact),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests_name("ctl_power", tests, NULL, NULL);
}
