/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Where things are found: settings before systemd's variables before here.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "supervisor/places.h"
#include "supervisor/settings.h"
#include "tests/support/scratch.h"

static struct places *find(const char *const *overrides, size_t n, struct err *e)
{
    struct settings *s = settings_load(NULL, overrides, n, NULL);
    assert_non_null(s);
    struct places *p = places_find(s, e);
    settings_free(&s);
    return p;
}

static void test_directories(void **state)
{
    static const char *const overrides[] = {"worker_program=/bin/sh", "state-dir=/a"};
    struct err e = {0};
    (void)state;
    setenv("STATE_DIRECTORY", "/from/systemd", 1);
    setenv("RUNTIME_DIRECTORY", "/run/from/systemd", 1);
    struct places *p = find(overrides, 2, &e);
    assert_string_equal(p->state_dir, "/a");
    assert_string_equal(p->runtime_dir, "/run/from/systemd");
    places_free(&p);
    setenv("STATE_DIRECTORY", "/first:/second", 1); /* StateDirectory= may name several */
    setenv("RUNTIME_DIRECTORY", "/run/a:/run/b:/run/c", 1);
    p = find(overrides, 1, &e);
    assert_string_equal(p->state_dir, "/first");
    assert_string_equal(p->runtime_dir, "/run/a");
    places_free(&p);
    unsetenv("STATE_DIRECTORY");
    setenv("RUNTIME_DIRECTORY", "", 1);
    p = find(overrides, 1, &e);
    assert_string_equal(p->state_dir, "var/state");
    assert_string_equal(p->runtime_dir, "var/run");
    places_free(&p);
    unsetenv("RUNTIME_DIRECTORY");
}

static void test_worker_is_missing(void **state)
{
    static const char *const overrides[] = {"worker_program=/nonexistent/worker"};
    struct err e = {0};
    (void)state;
    assert_null(find(overrides, 1, &e));
    assert_string_equal(e.text, "worker_program: /nonexistent/worker: No such file or directory");
}

static void test_exporter_is_the_settings(void **state)
{
    static const char *const overrides[] = {"worker_program=/bin/sh", "exporter_program=/x/e.py"};
    struct err e = {0};
    (void)state;
    struct places *p = find(overrides, 2, &e);
    assert_string_equal(p->exporter_program, "/x/e.py");
    assert_string_equal(p->workers.native, "/bin/sh");
    places_free(&p);
}

static void test_python_worker_is_the_settings(void **state)
{
    static const char *const overrides[] = {"worker_program=/bin/sh",
                                            "python_worker_program=/x/w.py"};
    struct err e = {0};
    (void)state;
    struct places *p = find(overrides, 2, &e);
    assert_string_equal(p->workers.python, "/x/w.py");
    places_free(&p);
    p = find(overrides, 1, &e); /* this program stands in neither kind of tree */
    assert_non_null(strstr(p->workers.python, "/tests/unit/canary-worker-python"));
    places_free(&p);
}

static void test_address_file(void **state)
{
    char path[SCRATCH_PATH_SIZE];
    char runtime[SCRATCH_PATH_SIZE + 16];
    char line[64] = "";
    struct err e = {0};
    (void)state;
    scratch_path(path, "listen");
    *strrchr(path, '/') = '\0';
    snprintf(runtime, sizeof runtime, "runtime_dir=%s", path);
    const char *const overrides[] = {"worker_program=/bin/sh", runtime};
    struct places *p = find(overrides, 2, &e);
    scratch_path(path, "listen");
    places_write_address(p, "127.0.0.1:1234", NULL);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    assert_non_null(fgets(line, sizeof line, f));
    fclose(f);
    assert_string_equal(line, "127.0.0.1:1234\n");
    places_remove_address(p);
    assert_int_equal(access(path, F_OK), -1);
    places_free(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_directories),
        cmocka_unit_test(test_worker_is_missing),
        cmocka_unit_test(test_exporter_is_the_settings),
        cmocka_unit_test(test_python_worker_is_the_settings),
        cmocka_unit_test_setup_teardown(test_address_file, scratch_setup, scratch_teardown),
    };
    return cmocka_run_group_tests_name("places", tests, NULL, NULL);
}
