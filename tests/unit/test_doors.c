/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Which sockets are opened for which settings, and what each counts as. Nobody is
 * served here.
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

#include "supervisor/doors.h"
#include "supervisor/settings.h"
#include "tests/support/scratch.h"

static const struct {
    const char *listen, *admin_listen;
    enum door door;
    const char *admin_address; /* how it begins; SOCKET: the socket in the scratch directory */
} doors[] = {
#define SOCKET "a socket"
    {"listen=127.0.0.1:0", "admin_listen=", DOOR_LOCAL, ""},
    {"listen=0.0.0.0:0", "admin_listen=", DOOR_REMOTE, ""},
    {"listen=127.0.0.1:0", "admin_listen=127.0.0.1:0", DOOR_PUBLIC, "127.0.0.1:"},
    {"listen=0.0.0.0:0", "admin_listen=unix:admin.sock", DOOR_PUBLIC, SOCKET},
};

static void test_doors(void **state)
{
    char dir[SCRATCH_PATH_SIZE], path[SCRATCH_PATH_SIZE];
    (void)state;
    scratch_path(dir, "");
    dir[strlen(dir) - 1] = '\0';
    scratch_path(path, "admin.sock");
    for (size_t i = 0; i < sizeof doors / sizeof doors[0]; i++) {
        const char *const overrides[] = {doors[i].listen, doors[i].admin_listen};
        struct err e = {0};
        struct doors d;
        struct stat st;
        struct settings *s = settings_load(NULL, overrides, 2, &e);
        assert_non_null(s);
        if (doors_open(&d, s, dir, &e) < 0)
            fail_msg("%zu: %s", i, e.text);
        assert_int_equal(d.door, doors[i].door);
        if (strcmp(doors[i].admin_address, SOCKET) == 0) {
            assert_string_equal(d.admin_address + strlen("unix:"), path);
            assert_int_equal(stat(path, &st), 0);
        } else {
            assert_memory_equal(d.admin_address, doors[i].admin_address,
                                strlen(doors[i].admin_address) + 1 -
                                    (doors[i].admin_address[0] != '\0'));
        }
        doors_close(&d);
        assert_int_equal(stat(path, &st), -1);
        settings_free(&s);
    }
}

static void test_refusals(void **state)
{
    static const char *const overrides[] = {"listen=127.0.0.1:0", "admin_listen=0.0.0.0:0"};
    struct err e = {0};
    struct doors d;
    (void)state;
    struct settings *s = settings_load(NULL, overrides, 2, &e);
    assert_int_equal(doors_open(&d, s, "/", &e), -1);
    assert_string_equal(e.code, "bad-setting");
    assert_non_null(strstr(e.text, "not a loopback address"));
    doors_close(&d);
    settings_free(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_doors, scratch_setup, scratch_teardown),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests_name("doors", tests, NULL, NULL);
}
