/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The clocks: they go forward, in nanoseconds, and dates print as ISO 8601.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "common/clock.h"

static void test_dates(void **state)
{
    static const struct {
        int64_t wall_ns;
        const char *text;
    } cases[] = {
        {0, "1970-01-01T00:00:00.000000+00:00"},
        {999, "1970-01-01T00:00:00.000000+00:00"},
        {INT64_C(1754252160123456789), "2025-08-03T20:16:00.123456+00:00"},
        {INT64_C(1709251199999999999), "2024-02-29T23:59:59.999999+00:00"},
        {INT64_C(4102444800000001000), "2100-01-01T00:00:00.000001+00:00"},
        {INT64_MAX, "2262-04-11T23:47:16.854775+00:00"},
    };
    (void)state;
    setenv("TZ", "America/New_York", 1); /* UTC is UTC, wherever we are */
    tzset();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[CLOCK_TEXT_SIZE];
        clock_text(cases[i].wall_ns, text);
        assert_string_equal(text, cases[i].text);
    }
}

static void test_monotonic(void **state)
{
    int64_t before = clock_mono_ns();
    const struct timespec nap = {.tv_nsec = 2000000};
    (void)state;
    for (int i = 0; i < 1000; i++) {
        int64_t now = clock_mono_ns();
        assert_true(now >= before);
        before = now;
    }
    nanosleep(&nap, NULL);
    assert_true(clock_mono_ns() - before >= 2 * NS_PER_MS);
}

static void test_timers(void **state)
{
    struct timeval t = clock_span(12345);
    (void)state;
    assert_int_equal(t.tv_sec, 12);
    assert_int_equal(t.tv_usec, 345000);
    t = clock_until(clock_mono_ns() - NS_PER_SEC); /* past: at once */
    assert_int_equal(t.tv_sec, 0);
    assert_int_equal(t.tv_usec, 1);
    int64_t deadline_ns = clock_mono_ns() + 90 * NS_PER_SEC;
    t = clock_until(deadline_ns);
    int64_t left_ns = t.tv_sec * NS_PER_SEC + t.tv_usec * 1000;
    assert_true(left_ns > 80 * NS_PER_SEC && left_ns <= 90 * NS_PER_SEC + 1000);
    assert_true(clock_mono_ns() + left_ns >= deadline_ns); /* never before */
}

static void test_first_reading(void **state)
{
    (void)state;
    clock_forget_first();
    assert_int_equal(clock_first_ns(), 0);
    clock_wall_ns();
    assert_int_equal(clock_first_ns(), 0);
    int64_t first = clock_mono_ns();
    while (clock_mono_ns() == first)
        continue;
    assert_int_equal(clock_first_ns(), first);
    clock_forget_first();
    assert_true(clock_mono_ns() > first && clock_first_ns() > first);
}

static void test_wall(void **state)
{
    (void)state;
    int64_t seconds = time(NULL);
    int64_t now = clock_wall_ns() / NS_PER_SEC;
    assert_true(now >= seconds - 1 && now - seconds < 60);
    assert_true(ns_to_ms(1.5e6) == 1.5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dates),  cmocka_unit_test(test_monotonic),
        cmocka_unit_test(test_timers), cmocka_unit_test(test_first_reading),
        cmocka_unit_test(test_wall),
    };
    return cmocka_run_group_tests_name("clock", tests, NULL, NULL);
}
