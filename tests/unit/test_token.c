/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The token file: what is taken, and each way in which it can be wrong. No
 * message ever says the token.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/mem.h"
#include "supervisor/token.h"
#include "tests/support/workdir.h"

#define T32 "abcdefghijklmnopqrstuvwxyz-12345"

#define OTHER_GROUP 4711

static char *dir;
static char *path;

static int setup(void **state)
{
    (void)state;
    dir = workdir_new();
    path = workdir_path(dir, "token");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    workdir_free(&dir);
    free(path);
    return 0;
}

static int read_text(const char *text, size_t n, mode_t mode, struct token *t, struct err *e)
{
    workdir_write(dir, "token", text, n);
    assert_int_equal(chmod(path, mode), 0);
    return token_read(path, t, e);
}

static void test_right(void **state)
{
    static const char *const texts[] = {T32, T32 "\n", T32 "\r\n", T32 T32 "+/=\n\n"};
    static const mode_t modes[] = {0600, 0400};
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct token t = {0};
        struct err e = {0};
        char *token = mem_strdup(texts[i]);
        token[strcspn(token, "\r\n")] = '\0';
        if (read_text(texts[i], strlen(texts[i]), modes[i % 2], &t, &e) < 0)
            fail_msg("%s: %s", texts[i], e.text);
        assert_true(t.is_set);
        assert_true(token_is(&t, token));
        token[strlen(token) - 1] = '\0';
        assert_false(token_is(&t, token));
        free(token);
    }
}

static const struct {
    const char *text;
    size_t n; /* 0: strlen */
    mode_t mode;
    const char *says;
} wrong[] = {
    {"short", 0, 0600, "has 5 characters"},
    {"abc-abc-abc-abc-abc-abc-abc-abc", 0, 0600, "has 31 characters"},
    {"", 0, 0600, "has 0 characters"},
    {"\n" T32, 0, 0600, "more than one line"},
    {T32 "\nand more\n", 0, 0600, "more than one line"},
    {T32 " \n", 0, 0600, "byte 0x20"},
    {T32 "\0x", 34, 0600, "byte 0x00"},
    {T32 "\xc3\xa9", 0, 0600, "byte 0xc3"},
    {T32, 0, 0640, "mode 0640"},
    {T32, 0, 0604, "mode 0604"},
    {T32, 0, 0620, "mode 0620"},
};

static void test_wrong(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct token t = {.is_set = true};
        struct err e = {0};
        size_t n = wrong[i].n > 0 ? wrong[i].n : strlen(wrong[i].text);
        workdir_write(dir, "token", "", 0);
        if (getuid() == 0)
            assert_int_equal(chown(path, 0, OTHER_GROUP), 0);
        assert_int_equal(read_text(wrong[i].text, n, wrong[i].mode, &t, &e), -1);
        assert_string_equal(e.code, "bad-token-file");
        if (strstr(e.text, wrong[i].says) == NULL || strstr(e.text, "abc") != NULL)
            fail_msg("case %zu: %s", i, e.text);
        assert_true(t.is_set); /* untouched */
    }
}

/* How systemd hands a credential to a service: root's, with an ACL, whose mask
 * stands where the group's bits are. */
static void test_credential(void **state)
{
    struct token t = {0};
    struct err e = {0};
    (void)state;
    if (getuid() != 0)
        skip();
    assert_int_equal(read_text(T32, strlen(T32), 0440, &t, &e), 0);
    assert_int_equal(read_text(T32, strlen(T32), 0444, &t, &e), -1);
    assert_int_equal(chmod(path, 0600) | chown(path, OTHER_GROUP, OTHER_GROUP), 0);
    assert_int_equal(token_read(path, &t, &e), -1);
    assert_non_null(strstr(e.text, "belongs to user 4711"));
}

static void test_no_file_of_its_kind(void **state)
{
    struct token t = {0};
    struct err e = {0};
    (void)state;
    assert_int_equal(token_read(path, &t, &e), -1);
    assert_non_null(strstr(e.text, "No such file"));
    assert_int_equal(token_read(dir, &t, &e), -1);
    assert_non_null(strstr(e.text, "not a regular file"));
    assert_int_equal(mkfifo(path, 0600), 0); /* nobody writes to it: no waiting */
    assert_int_equal(token_read(path, &t, &e), -1);
    assert_non_null(strstr(e.text, "not a regular file"));
    assert_false(t.is_set);
}

static void test_none(void **state)
{
    struct token t = {.is_set = true};
    struct err e = {0};
    (void)state;
    assert_int_equal(token_read("", &t, &e), 0);
    assert_false(t.is_set);
    assert_false(token_is(&t, ""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_right, setup, teardown),
        cmocka_unit_test_setup_teardown(test_wrong, setup, teardown),
        cmocka_unit_test_setup_teardown(test_credential, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_file_of_its_kind, setup, teardown),
        cmocka_unit_test(test_none),
    };
    return cmocka_run_group_tests_name("token", tests, NULL, NULL);
}
