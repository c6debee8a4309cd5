/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * struct err: one line refuses, whatever the length, and errno survives.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/err.h"

static void test_set(void **state)
{
    struct err e = {.pointer = "/old"};
    (void)state;
    assert_int_equal(err_set(&e, "wrong-length", "expected %d, got %d", 5, 4), -1);
    assert_string_equal(e.code, "wrong-length");
    assert_string_equal(e.pointer, "");
    assert_string_equal(e.text, "expected 5, got 4");
    assert_int_equal(err_set_at(&e, "not-finite", "/features/3", "%s", "1e999"), -1);
    assert_string_equal(e.pointer, "/features/3");
    assert_string_equal(e.text, "1e999");
}

static void test_errno_is_told_and_kept(void **state)
{
    struct err e = {0};
    (void)state;
    errno = ENOENT;
    assert_int_equal(err_set_errno(&e, "file-unreadable", "%s", "a.json"), -1);
    assert_int_equal(errno, ENOENT);
    assert_string_equal(e.text, "a.json: No such file or directory");
}

static void test_prefix(void **state)
{
    struct err e = {0};
    (void)state;
    err_set_at(&e, "bad-json", "/a", "expected a value");
    err_prefix(&e, "%s, line %d", "c.json", 3);
    assert_string_equal(e.text, "c.json, line 3: expected a value");
    assert_string_equal(e.code, "bad-json");
    assert_string_equal(e.pointer, "/a");
}

static void test_nobody_listens(void **state)
{
    (void)state;
    errno = EIO;
    assert_int_equal(err_set(NULL, "x", "%d", 1), -1);
    assert_int_equal(err_set_at(NULL, "x", "/p", "%d", 1), -1);
    assert_int_equal(err_set_errno(NULL, "x", "%d", 1), -1);
    assert_int_equal(errno, EIO);
    err_prefix(NULL, "%d", 1);
}

/* What does not fit is cut; the struct behind it is not touched. */
static void test_long_texts_are_cut(void **state)
{
    struct {
        struct err e;
        char guard[8];
    } box = {.guard = "guard"};
    char longer[2 * sizeof box.e.text];
    (void)state;
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    err_set_at(&box.e, "c", longer, "%s", longer);
    assert_int_equal(strlen(box.e.pointer), sizeof box.e.pointer - 1);
    assert_int_equal(strlen(box.e.text), sizeof box.e.text - 1);
    errno = ENOENT;
    err_set_errno(&box.e, "c", "%s", longer);
    assert_int_equal(strlen(box.e.text), sizeof box.e.text - 1);
    err_prefix(&box.e, "front");
    assert_int_equal(strlen(box.e.text), sizeof box.e.text - 1);
    assert_memory_equal(box.e.text, "front: xxx", 10);
    err_prefix(&box.e, "%s", longer);
    assert_memory_equal(box.e.text, "xxxxx", 5);
    assert_string_equal(box.guard, "guard");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_set),
        cmocka_unit_test(test_errno_is_told_and_kept),
        cmocka_unit_test(test_prefix),
        cmocka_unit_test(test_nobody_listens),
        cmocka_unit_test(test_long_texts_are_cut),
    };
    return cmocka_run_group_tests_name("err", tests, NULL, NULL);
}
