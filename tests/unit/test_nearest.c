/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * "Did you mean": typing mistakes find their name, other words find none.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/nearest.h"

static const char *const known[] = {"listen",         "model_dir", "stable_model", "canary_model",
                                    "canary_percent", "alpha",     "hang_ms",      ""};

static const char *name_at(size_t i)
{
    return known[i];
}

static void test_names(void **state)
{
    static const struct {
        const char *name;
        const char *nearest; /* NULL: none is near */
    } cases[] = {
        {"listen", "listen"},
        {"lisen", "listen"},
        {"listenn", "listen"},
        {"model-dir", "model_dir"},
        {"canary_precent", "canary_percent"},
        {"stabel_model", "stable_model"},
        {"cannary_model", "canary_model"},
        {"aplha", "alpha"},
        {"ALPHA", NULL},
        {"port", NULL},
        {"xyzzy", NULL},
        {"verbose_logging", NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *found = nearest_name(cases[i].name, 8, name_at);
        if (cases[i].nearest == NULL ? found != NULL
                                     : found == NULL || strcmp(found, cases[i].nearest) != 0)
            fail_msg("%s: found %s", cases[i].name, found == NULL ? "none" : found);
    }
    assert_null(nearest_name("listen", 0, name_at));
}

static const char *twins(size_t i)
{
    static const char *const names[] = {"abcdx", "abcdy", "abcde"};
    return names[i];
}

/* The nearest wins wherever it stands; among equals the first. */
static void test_the_nearest_of_several(void **state)
{
    (void)state;
    assert_string_equal(nearest_name("abcde", 3, twins), "abcde");
    assert_string_equal(nearest_name("abcdz", 3, twins), "abcdx");
}

static const char *long_name(size_t i)
{
    static char names[2][72];
    memset(names[i], 'a', i == 0 ? 64 : 65);
    return names[i];
}

static void test_long_names(void **state)
{
    char name[200] = {0};
    (void)state;
    memset(name, 'a', 64);
    assert_int_equal(strlen(nearest_name(name, 2, long_name)), 64);
    memset(name, 'a', sizeof name - 1);
    assert_null(nearest_name(name, 2, long_name));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_the_nearest_of_several),
        cmocka_unit_test(test_long_names),
    };
    return cmocka_run_group_tests_name("nearest", tests, NULL, NULL);
}
