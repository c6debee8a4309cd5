/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * How the programs were compiled, as readelf sees it, and how tightly the unit
 * holds the service, as systemd-analyze does (on any machine: offline; the unit
 * at work is tests/integration/test_systemd's).
 */
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/mem.h"
#include "tests/support/workdir.h"

#if defined(__SANITIZE_ADDRESS__) || defined(CANARYD_COVERAGE)
#define IS_INSTRUMENTED 1
#else
#define IS_INSTRUMENTED 0
#endif

static const char *const programs[] = {"canaryd", "canary-worker", "canaryctl"};

static const char *build_dir(void)
{
    const char *build = getenv("CANARYD_BUILD");
    return build != NULL ? build : "build";
}

/* What the command writes, both outputs; free() it. *status: its exit code. */
static char *output_of(const char *command, int *status)
{
    size_t size = 1 << 20, n;
    char *out = mem_array(size, 1);
    char *whole = mem_printf("%s 2>&1", command);
    FILE *f = popen(whole, "re");
    assert_non_null(f);
    n = fread(out, 1, size - 1, f);
    out[n] = '\0';
    *status = pclose(f);
    *status = WIFEXITED(*status) ? WEXITSTATUS(*status) : 128;
    free(whole);
    return out;
}

static bool is_there(const char *tool)
{
    int status;
    char *command = mem_printf("command -v %s", tool);
    free(output_of(command, &status));
    free(command);
    if (status != 0)
        print_message("SKIP: %s is not there\n", tool);
    return status == 0;
}

/* What readelf says of a file of the build; free() it. */
static char *readelf(const char *options, const char *file)
{
    int status;
    char *command = mem_printf("readelf -W %s %s/%s", options, build_dir(), file);
    char *out = output_of(command, &status);
    if (status != 0)
        fail_msg("%s: %s", command, out);
    free(command);
    return out;
}

static void check_elf(const char *options, const char *file, const char *has, const char *has_not)
{
    char *out = readelf(options, file);
    if (has != NULL && strstr(out, has) == NULL)
        fail_msg("readelf %s %s does not say \"%s\":\n%s", options, file, has, out);
    if (has_not != NULL && strstr(out, has_not) != NULL)
        fail_msg("readelf %s %s says \"%s\":\n%s", options, file, has_not, out);
    free(out);
}

static void test_programs(void **state)
{
    (void)state;
    if (!is_there("readelf"))
        skip();
    for (size_t i = 0; i < sizeof programs / sizeof programs[0]; i++) {
        check_elf("-h", programs[i], "Position-Independent Executable", NULL);
        check_elf("-l", programs[i], "GNU_RELRO", " RWE "); /* nothing is written and executed */
        check_elf("-l", programs[i], "GNU_STACK", NULL);
        check_elf("-d", programs[i], "Flags: NOW PIE", "PATH)"); /* no RPATH, no RUNPATH */
        check_elf("-s", programs[i], "__stack_chk_fail", NULL);
        if (!IS_INSTRUMENTED)
            check_elf("-s", programs[i], "__snprintf_chk", NULL); /* FORTIFY_SOURCE */
    }
}

/* The linker keeps the mark of control-flow protection only where the C library's
 * start files have it too, and Debian 12's do not: so in our objects. */
static void test_control_flow_protection(void **state)
{
    (void)state;
#ifndef __x86_64__
    print_message("SKIP: this architecture has other marks\n");
    skip();
#endif
    if (!is_there("readelf"))
        skip();
    check_elf("-n", "supervisor/gate.o", "x86 feature: IBT, SHSTK", NULL);
    check_elf("-n", "worker/model.o", "x86 feature: IBT, SHSTK", NULL);
}

/* --- The unit ------------------------------------------------------------------*/

static void must_be_silent(char *command)
{
    int status;
    char *out = output_of(command, &status);
    assert_string_equal(out, "");
    assert_int_equal(status, 0);
    free(out);
    free(command);
}

/* The units as they are installed, with the build for a prefix. */
static char *make_units(void)
{
    static const char *const units[] = {"canaryd.service", "canaryd.socket",
                                        "canaryd-admin.socket"};
    char *dir = workdir_new();
    char *bin = workdir_path(dir, "bin");
    char build[PATH_MAX];
    assert_non_null(realpath(build_dir(), build));
    assert_int_equal(symlink(build, bin), 0);
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++)
        must_be_silent(
            mem_printf("sed 's|@PREFIX@|%s|' etc/%s >%s/%s", dir, units[i], dir, units[i]));
    must_be_silent(mem_printf("sed -f etc/own-bind.sed %s/canaryd.service >%s/canaryd-bind.service",
                              dir, dir));
    free(bin);
    return dir;
}

static void run_analyze(const char *verb, const char *dir, const char *unit, bool is_silent)
{
    int status;
    char *command = mem_printf("systemd-analyze %s %s/%s", verb, dir, unit);
    char *out = output_of(command, &status);
    if (status != 0 || (is_silent && out[0] != '\0'))
        fail_msg("%s: exit %d, %s", command, status, out);
    const char *overall = strstr(out, "Overall exposure");
    if (overall != NULL)
        print_message("%s", overall);
    free(out);
    free(command);
}

/* Thresholds are tenths: an exposure of at most 0.5 of 10, or 1.0 with its own bind. */
static void test_units(void **state)
{
    (void)state;
    if (!is_there("systemd-analyze"))
        skip();
    char *dir = make_units();
    run_analyze("verify --man=no", dir, "canaryd.service", true);
    run_analyze("verify --man=no", dir, "canaryd-bind.service", true);
    run_analyze("verify --man=no", dir, "canaryd-admin.socket", true);
    run_analyze("security --offline=yes --threshold=5 --no-pager", dir, "canaryd.service", false);
    run_analyze("security --offline=yes --threshold=10 --no-pager", dir, "canaryd-bind.service",
                false);
    workdir_free(&dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_programs),
        cmocka_unit_test(test_control_flow_protection),
        cmocka_unit_test(test_units),
    };
    return cmocka_run_group_tests_name("hardening", tests, NULL, NULL);
}
