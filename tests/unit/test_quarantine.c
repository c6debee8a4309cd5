/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Who is refused, for how long, and that there is an end to the table.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/clock.h"
#include "supervisor/quarantine.h"

#define N 5

static int setup(void **state)
{
    *state = quarantine_new();
    return 0;
}

static int teardown(void **state)
{
    quarantine_free((struct quarantine **)state);
    assert_null(*state);
    return 0;
}

static void test_the_very_features(void **state)
{
    struct quarantine *q = *state;
    double x[N] = {666, 1, 2, 3, 0.0};
    assert_false(quarantine_has(q, x, N, 0));
    quarantine_add(q, x, N, 0);
    assert_true(quarantine_has(q, x, N, 0));
    assert_false(quarantine_has(q, x, N - 1, 0));
    x[N - 1] = -0.0; /* another request, and no other is refused */
    assert_false(quarantine_has(q, x, N, 0));
    x[N - 1] = 1e-300;
    assert_false(quarantine_has(q, x, N, 0));
}

static void test_for_a_minute(void **state)
{
    struct quarantine *q = *state;
    const double x[N] = {1}, y[N] = {2};
    const int64_t end = QUARANTINE_SECONDS * NS_PER_SEC;
    quarantine_add(q, x, N, 0);
    quarantine_add(q, y, N, NS_PER_SEC);
    assert_true(quarantine_has(q, x, N, end - 1));
    assert_false(quarantine_has(q, x, N, end));
    assert_true(quarantine_has(q, y, N, end));
    assert_false(quarantine_has(q, y, N, end + NS_PER_SEC));
    quarantine_add(q, x, N, end + NS_PER_SEC);
    assert_true(quarantine_has(q, x, N, end + NS_PER_SEC));
}

static void test_is_bounded(void **state)
{
    struct quarantine *q = *state;
    const int n_more = 10;
    for (int i = 0; i < QUARANTINE_PLACES + n_more; i++)
        quarantine_add(q, &(double){i}, 1, i);
    for (int i = 0; i < QUARANTINE_PLACES + n_more; i++)
        assert_int_equal(quarantine_has(q, &(double){i}, 1, NS_PER_SEC), i >= n_more);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_the_very_features),
        TEST(test_for_a_minute),
        TEST(test_is_bounded),
    };
    return cmocka_run_group_tests_name("quarantine", tests, NULL, NULL);
}
