/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Memory: zeroed, checked for overflow, and the process ends where it is not
 * to be had.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include <cmocka.h>

#include "common/mem.h"
#include "tests/support/child.h"

/* Impossible sizes are asked for on purpose: AddressSanitizer shall say NULL. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "allocator_may_return_null=1";
}

static void test_new_memory_is_zero(void **state)
{
    static const char zeros[4096];
    static const size_t sizes[] = {1, 24, 1024, 1025, sizeof zeros};
    (void)state;
    for (size_t i = 0; i < 8 * sizeof sizes / sizeof sizes[0]; i++) {
        size_t size = sizes[i / 8];
        char *p = mem_array(size, 1);
        assert_memory_equal(p, zeros, size);
        memset(p, 0xaa, size); /* a later round may get it again */
        free(p);
        p = mem_alloc(size);
        assert_memory_equal(p, zeros, size);
        memset(p, 0xaa, size);
        free(p);
    }
}

static void test_nothing_is_something(void **state)
{
    (void)state;
    void *p[] = {mem_alloc(0),           mem_array(0, 8), mem_array(8, 0),
                 mem_resize(NULL, 0, 8), mem_malloc(0),   mem_realloc(mem_malloc(8), 0)};
    for (size_t i = 0; i < sizeof p / sizeof p[0]; i++) {
        assert_non_null(p[i]);
        free(p[i]);
    }
}

static void test_resize_keeps(void **state)
{
    (void)state;
    int *p = mem_resize(NULL, 2, sizeof *p);
    p[0] = 1;
    p[1] = 2;
    p = mem_resize(p, 100000, sizeof *p);
    assert_int_equal(p[0], 1);
    assert_int_equal(p[1], 2);
    p[99999] = 3;
    free(p);
}

static void test_texts(void **state)
{
    (void)state;
    char *copy = mem_strdup("text");
    char *printed = mem_printf("%s-%d", copy, 7);
    assert_string_equal(printed, "text-7");
    free(copy);
    free(printed);
    printed = mem_printf("%5000s", "x");
    assert_int_equal(strlen(printed), 5000);
    free(printed);
}

static volatile size_t most = SIZE_MAX; /* out of the compiler's sight */

static int overflow_array(void *arg)
{
    (void)arg;
    free(mem_array(most / 2, 4));
    return 0;
}

static int overflow_resize(void *arg)
{
    (void)arg;
    free(mem_resize(NULL, most / 2, 4));
    return 0;
}

static int too_much_for_a_library(void *arg)
{
    (void)arg;
    free(mem_malloc(most / 4));
    return 0;
}

static int too_much_more_for_a_library(void *arg)
{
    static void *volatile kept; /* reachable at the end: no leak */
    (void)arg;
    kept = mem_malloc(1);
    free(mem_realloc(kept, most / 4));
    return 0;
}

static int too_much(void *arg)
{
    (void)arg;
    free(mem_alloc(most / 4));
    return 0;
}

static void test_exhaustion_ends_the_process(void **state)
{
    static int (*const bodies[])(void *) = {overflow_array, overflow_resize, too_much,
                                            too_much_for_a_library, too_much_more_for_a_library};
    char said[4096];
    (void)state;
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
        assert_int_equal(child_run(bodies[i], NULL, said, sizeof said), EX_SOFTWARE);
        assert_non_null(strstr(said, "out of memory"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_new_memory_is_zero),
        cmocka_unit_test(test_nothing_is_something),
        cmocka_unit_test(test_resize_keeps),
        cmocka_unit_test(test_texts),
        cmocka_unit_test(test_exhaustion_ends_the_process),
    };
    return cmocka_run_group_tests_name("mem", tests, NULL, NULL);
}
