/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/jsonx.h"
#include "common/rng.h"

/* The first of %.15g, %.16g and %.17g that reads back. */
static void print_plainly(char text[64], double x)
{
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, 64, "%.*g", digits, x);
        if (strtod(text, NULL) == x)
            return;
    }
}

static void assert_shortest(double x)
{
    char ours[JSONX_NUMBER_SIZE], plain[64];
    size_t n = jsonx_print_number(ours, x);
    print_plainly(plain, x);
    assert_string_equal(ours, plain);
    assert_int_equal(n, strlen(ours));
}

static void test_read_back(void **state)
{
    const double values[] = {0,      -0.0,   0.1,       1.0 / 3, 0.22217993076484612,
                             1e308,  5e-324, 123456789, 0.0001,  1.0,
                             0.0625, 0.5,    0.25,      0x1p-13, 0.01};
    char text[JSONX_NUMBER_SIZE];
    (void)state;
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        jsonx_print_number(text, values[i]);
        double back = strtod(text, NULL);
        assert_memory_equal(&back, &values[i], sizeof back);
        assert_shortest(values[i]);
    }
    jsonx_print_number(text, 0.1);
    assert_string_equal(text, "0.1");
}

/* Where the fast way begins, ends and changes: the doubles around each of these. */
static void test_neighbours(void **state)
{
    const double places[] = {1, 0.5, 0.25, 0.125, 0.1, 0.01, 0.001, 0.0001, 0.3, 0.9, 0.99, 0.999};
    (void)state;
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        uint64_t bits;
        memcpy(&bits, &places[i], sizeof bits);
        for (uint64_t k = bits - 200; k <= bits + 200; k++) {
            double x;
            memcpy(&x, &k, sizeof x);
            assert_shortest(x);
        }
    }
}

static void test_probabilities(void **state)
{
    struct rng rng;
    (void)state;
    rng_seed(&rng, 1);
    for (int i = 0; i < 300000; i++) {
        double x = (double)(rng_next(&rng) >> 11) * 0x1p-53;
        assert_shortest(x);
        assert_shortest(x * x * x);
        assert_shortest((double)(int)(x * 1e6) / 1e6);
    }
}

static void test_any_bits(void **state)
{
    struct rng rng;
    (void)state;
    rng_seed(&rng, 2);
    for (int i = 0; i < 20000; i++) {
        uint64_t bits = rng_next(&rng);
        double x;
        memcpy(&x, &bits, sizeof x);
        if (x - x == 0)
            assert_shortest(x);
    }
}

static void test_whole_numbers(void **state)
{
    static const uint64_t numbers[] = {0, 1, 9, 10, 99, 100, 1234567890, UINT64_MAX};
    char ours[JSONX_NUMBER_SIZE], plain[64];
    (void)state;
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        snprintf(plain, sizeof plain, "%llu", (unsigned long long)numbers[i]);
        assert_int_equal(jsonx_print_whole(ours, numbers[i]), strlen(plain));
        assert_string_equal(ours, plain);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_read_back),     cmocka_unit_test(test_neighbours),
        cmocka_unit_test(test_probabilities), cmocka_unit_test(test_any_bits),
        cmocka_unit_test(test_whole_numbers),
    };
    return cmocka_run_group_tests_name("jsonx_number", tests, NULL, NULL);
}
