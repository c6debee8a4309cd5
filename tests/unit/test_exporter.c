/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The export job with shell scripts in Python's place: what they do wrong, and
 * what is said of it.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>
#include <event2/event.h>

#include "common/clock.h"
#include "common/fdio.h"
#include "supervisor/exporter.h"
#include "tests/support/loop.h"
#include "tests/support/script.h"

#define PATIENCE_MS 20000
#define COARSE_MS   10 /* libevent's clock ticks so: a timer may fire early by that */
#define PROGRAM     "models/export.py" /* must be there, but the scripts do not look into it */

static struct event_base *base;
static char python[SCRATCH_PATH_SIZE];
static int pickle_fd;
static int64_t max_bytes;

static struct {
    int n_done;
    int native_fd;
    struct err why;
} heard;

static void on_done(void *arg, int native_fd, const struct err *why)
{
    (void)arg;
    heard.n_done++;
    heard.native_fd = native_fd;
    heard.why = *why;
}

static int setup(void **state)
{
    if (scratch_setup(state) < 0)
        return -1;
    base = event_base_new();
    pickle_fd = memfd_create("pickle", MFD_CLOEXEC);
    memset(&heard, 0, sizeof heard);
    heard.native_fd = -1;
    max_bytes = 100;
    return fd_write_all(pickle_fd, "the pickle", 10);
}

static int teardown(void **state)
{
    fd_close(&heard.native_fd);
    fd_close(&pickle_fd);
    event_base_free(base);
    return scratch_teardown(state);
}

static struct exporter *start(const char *body, int64_t timeout_ms)
{
    const struct exporter_listener listener = {.done = on_done};
    struct err e = {0};
    script_write(python, "python", body);
    const struct exporter_options options = {
        .python = python, .program = PROGRAM, .timeout_ms = timeout_ms, .max_bytes = max_bytes};
    struct exporter *x = exporter_start(base, &options, "m.joblib", pickle_fd, &listener, &e);
    if (x == NULL)
        fail_msg("%s", e.text);
    assert_int_equal(heard.n_done, 0);
    return x;
}

/* Runs the script to its end; the listener heard of it once. */
static void run(const char *body, int64_t timeout_ms)
{
    heard.n_done = 0;
    start(body, timeout_ms);
    loop_until(base, heard.n_done >= 1);
}

static void check_result(const char *text)
{
    char *bytes;
    size_t n;
    if (heard.native_fd < 0)
        fail_msg("%s", heard.why.text);
    assert_int_equal(fd_read_file(heard.native_fd, "result", 1000, &bytes, &n, NULL), 0);
    assert_string_equal(bytes, text);
    free(bytes);
}

static void test_success(void **state)
{
    (void)state;
    run("cat /proc/self/fd/4 >&5", PATIENCE_MS);
    check_result("the pickle");
    assert_int_equal(fcntl(heard.native_fd, F_GET_SEALS),
                     F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE);
    assert_int_equal(pwrite(heard.native_fd, "x", 1, 0), -1);
    assert_int_equal(errno, EPERM);
    char byte;
    assert_int_equal(pread(pickle_fd, &byte, 1, 0), 1); /* was borrowed */
}

static void test_command_line(void **state)
{
    (void)state;
    max_bytes = 1000;
    run("printf '%s|' \"$@\" >&5", PATIENCE_MS);
    check_result("-I|-B|" PROGRAM "|--from-fd|4|--to-fd|5|--reason-fd|3|--source-name|m.joblib|"
                 "--cage-fd|6|--user|0:0|");
    run("test -s /proc/self/fd/6 && echo a filter >&5", PATIENCE_MS);
    check_result("a filter\n");
}

static void test_ends_without_a_model(void **state)
{
    static const struct {
        const char *body;
        const char *code;
        const char *text;
    } cases[] = {
        {"echo 'SVC cannot be exported' >&3; exit 1", "model-invalid",
         "m.joblib: SVC cannot be exported"},
        {"printf 'no line feed' >&3; exit 2", "model-invalid", "m.joblib: no line feed"},
        {"printf 'first\\nsecond\\n' >&3; exit 1", "model-invalid", "m.joblib: first"},
        {"printf '\\n \\nlast\\n' >&3; exit 1", "model-invalid", "m.joblib: last"},
        {"printf 'a\\377\\303\\251\\0b' >&3; exit 1", "model-invalid", "m.joblib: a?\xc3\xa9"},
        {"printf ' \\n\\n' >&3; exit 1", "model-invalid",
         "m.joblib: the export ended with exit status 1 and no reason"},
        {"echo model >&5; echo why >&3; exit 1", "model-invalid", "m.joblib: why"},
        {"exit 0", "model-invalid", "m.joblib: the export produced nothing"},
        {"echo 'no words for a SVC' >&3; exit 10", "model-inexpressible",
         "m.joblib: no words for a SVC"},
        {"echo 'a model' >&5; echo why >&3; exit 10", "model-inexpressible", "m.joblib: why"},
        {"exit 10", "model-invalid",
         "m.joblib: the export ended with exit status 10 and no reason"},
        {"echo 'Traceback' >&2; exit 10", "model-invalid",
         "m.joblib: the export ended with exit status 10 and no reason; last words: Traceback"},
        {"echo why >&3; exit 100", "model-invalid", "m.joblib: why"},
        {"exit 3", "model-invalid", "m.joblib: the export ended with exit status 3 and no reason"},
        {"echo 'Traceback' >&2; echo 'MemoryError' >&2; exit 1", "model-invalid",
         "m.joblib: the export ended with exit status 1 and no reason; last words: Traceback | "
         "MemoryError"},
        {"echo 'a warning' >&2; echo why >&3; exit 1", "model-invalid", "m.joblib: why"},
        {"echo no landlock >&3; exit 77", "cage-missing", "m.joblib: no landlock"},
        {"kill -SYS $$", "model-invalid",
         "m.joblib: the model file tried to do what no model needs to (killed by SIGSYS)"},
        {"echo tried open >&2; kill -SYS $$", "model-invalid",
         "m.joblib: the model file tried to do what no model needs to (killed by SIGSYS); last "
         "words: tried open"},
        {"kill -XCPU $$", "worker-start-timeout",
         "m.joblib: the model file took longer than start_timeout_ms of processor time (killed by "
         "SIGXCPU)"},
        {"head -c 102 /dev/zero >/dev/null; exec head -c 102 /dev/zero >&5", "model-invalid",
         "m.joblib: the model file tried to write too much (killed by SIGXFSZ)"},
        {"kill -KILL $$", "model-invalid",
         "m.joblib: the export ended with signal 9 (Killed) and no reason"},
        {"head -c 101 /dev/zero >&5", "model-too-large",
         "m.joblib: in the native format it has 101 bytes; max_model_bytes is 100"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        run(cases[i].body, PATIENCE_MS);
        assert_int_equal(heard.native_fd, -1);
        assert_string_equal(heard.why.text, cases[i].text);
        assert_string_equal(heard.why.code, cases[i].code);
    }
    run("head -c 100 /dev/zero | tr '\\0' x >&5", PATIENCE_MS); /* just small enough */
    assert_true(heard.native_fd >= 0);
}

static void test_a_long_reason_is_cut(void **state)
{
    (void)state;
    run("head -c 5000 /dev/zero | tr '\\0' x >&3; exit 1", PATIENCE_MS);
    assert_int_equal(strlen(heard.why.text), strlen("m.joblib: ") + 400);
}

/* The end of the child decides, not the end of the pipe, which an offspring of
 * its own may hold open. */
static void test_an_offspring_does_not_hold_us_up(void **state)
{
    (void)state;
    int64_t start_ns = clock_mono_ns();
    run("sleep 15 & echo why >&3; exit 1", PATIENCE_MS);
    assert_string_equal(heard.why.text, "m.joblib: why");
    run("sleep 15 & echo words; exit 1", PATIENCE_MS);
    assert_non_null(strstr(heard.why.text, "no reason; last words: words"));
    assert_true(clock_mono_ns() - start_ns < 10 * NS_PER_SEC);
}

static void test_timeout(void **state)
{
    (void)state;
    int64_t start_ns = clock_mono_ns();
    run("exec sleep 1000", 50);
    assert_true(clock_mono_ns() - start_ns >= (50 - COARSE_MS) * NS_PER_MS);
    assert_int_equal(heard.native_fd, -1);
    assert_string_equal(heard.why.code, "worker-start-timeout");
    assert_string_equal(heard.why.text, "m.joblib: the export was not done within 50 ms");
}

static void test_cancel(void **state)
{
    struct exporter *x = start("exec sleep 1000", PATIENCE_MS);
    (void)state;
    exporter_cancel(x);
    assert_int_equal(heard.n_done, 0); /* never from inside the call */
    loop_until(base, heard.n_done >= 1);
    assert_string_equal(heard.why.code, "cancelled");
    loop_settle(base);
    assert_int_equal(heard.n_done, 1);
}

/* Cancelled too late: the result is there, but nobody wants it. */
static void test_cancel_after_the_end(void **state)
{
    (void)state;
    struct exporter *x = start("echo model >&5; rm \"$0\"", PATIENCE_MS);
    /* The script's last act is to remove itself; the loop does not turn meanwhile. */
    int64_t end_ns = clock_mono_ns() + PATIENCE_MS * NS_PER_MS;
    while (access(python, F_OK) == 0 && clock_mono_ns() < end_ns)
        usleep(1000);
    exporter_cancel(x);
    loop_until(base, heard.n_done >= 1);
    assert_string_equal(heard.why.code, "cancelled");
    assert_int_equal(heard.native_fd, -1);
}

static void test_something_is_missing(void **state)
{
    static const struct {
        const char *python; /* NULL: one that is there */
        const char *program;
        const char *says;
    } cases[] = {
        {"", NULL, "the setting python is empty"},
        {"/nonexistent/python3", NULL, "/nonexistent/python3 is not there"},
        {"/dev/null", NULL, "apt install python3-sklearn"},
        {NULL, "", "set exporter_program"},
        {NULL, "/nonexistent/export.py", "needs /nonexistent/export.py, which is not there"},
    };
    const struct exporter_listener listener = {.done = on_done};
    (void)state;
    script_write(python, "python", "exit 0");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct exporter_options options = {
            .python = cases[i].python != NULL ? cases[i].python : python,
            .program = cases[i].program != NULL ? cases[i].program : PROGRAM,
            .timeout_ms = 100,
            .max_bytes = 100};
        struct err e = {0};
        assert_null(exporter_start(base, &options, "m.joblib", pickle_fd, &listener, &e));
        assert_string_equal(e.code, "python-missing");
        assert_memory_equal(e.text, "m.joblib: ", 10);
        if (strstr(e.text, cases[i].says) == NULL)
            fail_msg("\"%s\" does not say \"%s\"", e.text, cases[i].says);
    }
    assert_int_equal(heard.n_done, 0);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_success),
        CASE(test_command_line),
        CASE(test_ends_without_a_model),
        CASE(test_a_long_reason_is_cut),
        CASE(test_an_offspring_does_not_hold_us_up),
        CASE(test_timeout),
        CASE(test_cancel),
        CASE(test_cancel_after_the_end),
        CASE(test_something_is_missing),
    };
    return cmocka_run_group_tests_name("exporter", tests, NULL, NULL);
}
