/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "supervisor/features.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/jsonx.h"
#include "common/rng.h"

#define MAX_NUMBERS 8

/* What the general parser makes of it: true if it is the ordinary body. */
static bool read_generally(const char *body, double *features, size_t n)
{
    struct err e;
    cJSON *root = jsonx_parse(body, strlen(body), &e);
    const cJSON *array = jsonx_member(root, "features");
    size_t i = 0;
    bool fits = cJSON_IsObject(root) && root->child != NULL && root->child->next == NULL &&
                cJSON_IsArray(array) && cJSON_GetArraySize(array) == (int)n;
    for (const cJSON *item = fits ? array->child : NULL; item != NULL; item = item->next) {
        fits = fits && cJSON_IsNumber(item);
        features[i++] = item->valuedouble;
    }
    cJSON_Delete(root);
    return fits;
}

static void assert_same_reading(const char *body, size_t n)
{
    double ours[MAX_NUMBERS] = {0}, theirs[MAX_NUMBERS] = {0};
    bool generally = read_generally(body, theirs, n);
    bool here = features_read(body, strlen(body), ours, n);
    if (here != generally)
        print_message("%s: %d, generally %d\n", body, here, generally);
    assert_int_equal(here, generally);
    if (here)
        assert_memory_equal(ours, theirs, n * sizeof ours[0]);
}

static void test_the_ordinary_body(void **state)
{
    double x[5];
    static const char body[] = "{\"features\":[0.5,1.2,0.8,0.3,1.1]}";
    static const double expected[5] = {0.5, 1.2, 0.8, 0.3, 1.1};
    (void)state;
    assert_true(features_read(body, sizeof body - 1, x, 5));
    assert_memory_equal(x, expected, sizeof x);
}

static void test_numbers_are_those_of_the_general_parser(void **state)
{
    static const char *const numbers[] = {
        "0",
        "-0",
        "-0.0",
        "1",
        "10",
        "1e0",
        "1E+2",
        "1e-2",
        "0.1",
        "0.30000000000000004",
        "9007199254740992",
        "9007199254740993",
        "9007199254740991e22",
        "1e22",
        "1e23",
        "1e-22",
        "1e-23",
        "123456789012345678901234567890",
        "0.000000000000000000000000000001",
        "1.7976931348623157e308",
        "1e309",
        "-1e309",
        "4.9e-324",
        "2.4703282292062327e-324",
        "1e-999",
        "0.0000012345678901234567",
        "-0.00000000000000000001234567890123456789",
        "0.000000000000000000012345678901234567891",
        "00",
        "01",
        "-",
        "-01",
        ".5",
        "5.",
        "1e",
        "1e+",
        "+1",
        "0x10",
        "1_0",
        "NaN",
        "Infinity",
        "1e99999",
        "00000000000000000000000000000000000000000000000000000000000001",
        "0.10000000000000000000000000000000000000000000000000000000001",
        "0.100000000000000000000000000000000000000000000000000000000001",
        "0.1000000000000000000000000000000000000000000000000000000000001",
        "\"1\"",
        "null",
        "true",
        "[1]",
        "{}",
        "",
        " ",
        "1 1",
        "1,",
    };
    char body[256];
    (void)state;
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        snprintf(body, sizeof body, "{\"features\":[%s]}", numbers[i]);
        assert_same_reading(body, 1);
    }
}

static void test_other_bodies_are_left_alone(void **state)
{
    static const char *const bodies[] = {
        "",
        "{}",
        "[]",
        "[1,2]",
        "{\"features\":[]}",
        "{\"features\":[1]}",
        "{\"features\":[1,2,3]}",
        "{\"features\":[1,2]} ",
        " { \"features\" : [ 1 , 2 ] } ",
        "{\"features\":[1,2]}x",
        "{\"features\":[1,2],}",
        "{\"features\":[1,2],\"id\":1}",
        "{\"id\":1,\"features\":[1,2]}",
        "{\"feature\":[1,2]}",
        "{\"features\":[1 2]}",
        "{\"features\":[1,2}",
        "{\"features\":1,2]}",
        "\t{\n\"features\"\r:[1\n,2]}\n",
        "{\"features\":[1,2,]}",
        "{\"features\":[,1,2]}",
        "{\"features\"[1,2]}",
        "{'features':[1,2]}",
        "{\"features\":[1,2]",
        "{\"features\":[1,",
        "{\"features\":[1,2]}\v",
        "{\"features\":[1,2]}{\"features\":[1,2]}",
    };
    (void)state;
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++)
        assert_same_reading(bodies[i], 2);
}

/* Any bytes: what is read here is read so by the general parser as well. */
static void test_random_bodies(void **state)
{
    static const char alphabet[] = "0123456789.-+eE, []{}:\"features\"\n";
    struct rng rng;
    (void)state;
    rng_seed(&rng, 1);
    for (int i = 0; i < 200000; i++) {
        char body[128] = "{\"features\":[1.25,-3e2,0.7]}";
        size_t n = strlen(body);
        for (uint32_t k = rng_below(&rng, 4); k > 0; k--)
            body[rng_below(&rng, (uint32_t)n)] = alphabet[rng_below(&rng, sizeof alphabet - 1)];
        assert_same_reading(body, 3);
    }
}

static void test_random_numbers(void **state)
{
    struct rng rng;
    char body[128];
    (void)state;
    rng_seed(&rng, 2);
    for (int i = 0; i < 200000; i++) {
        uint64_t bits = rng_next(&rng);
        double x;
        memcpy(&x, &bits, sizeof x);
        if (x - x != 0)
            continue;
        snprintf(body, sizeof body, "{\"features\":[%.*g]}", 1 + (int)rng_below(&rng, 17), x);
        assert_same_reading(body, 1);
        snprintf(body, sizeof body, "{\"features\":[%.*f]}", (int)rng_below(&rng, 18),
                 (double)(int64_t)bits / 0x1p53);
        assert_same_reading(body, 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_ordinary_body),
        cmocka_unit_test(test_numbers_are_those_of_the_general_parser),
        cmocka_unit_test(test_other_bodies_are_left_alone),
        cmocka_unit_test(test_random_bodies),
        cmocka_unit_test(test_random_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
