/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * From a path to a model: directly, through an exporter (a script here), or not
 * at all; and when nobody wants it any more.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <event2/event.h>

#include "common/fdio.h"
#include "common/log.h"
#include "supervisor/chores.h"
#include "supervisor/loader.h"
#include "supervisor/modelref.h"
#include "tests/support/loop.h"
#include "tests/support/script.h"

#define SHA_ABC     "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
#define SHA_ABC_UP  "BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD"
#define SHA_OTHER   "0000000000000000000000000000000000000000000000000000000000000000"
#define PATIENCE_MS 20000

static struct event_base *base;
static struct chores *chores;
static struct loader *loader;
static char dir[SCRATCH_PATH_SIZE];
static char python[SCRATCH_PATH_SIZE];
static bool python_serves;

static struct {
    int n_done;
    struct modelref *model;
    struct err why;
} heard;

static void on_loaded(void *arg, struct modelref *model, const struct err *why)
{
    (void)arg;
    heard.n_done++;
    heard.model = model;
    if (why != NULL)
        heard.why = *why;
}

static void write_model(const char *name)
{
    char path[SCRATCH_PATH_SIZE];
    scratch_path(path, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_int_equal(fd_write_all(fd, "abc", 3), 0);
    fd_close(&fd);
}

static int setup(void **state)
{
    static const char *const models[] = {"m.json", "m.joblib", "m.pkl", "m.onnx", "m", "m.JSON"};
    if (scratch_setup(state) < 0)
        return -1;
    scratch_path(dir, "");
    for (size_t i = 0; i < sizeof models / sizeof models[0]; i++)
        write_model(models[i]);
    script_write(python, "python", "printf 'native ' >&5; cat /proc/self/fd/4 >&5");
    python_serves = true;
    log_set_level(LOG_LEVEL_ERROR);
    base = event_base_new();
    chores = chores_new(base);
    loader = loader_new(base, chores);
    memset(&heard, 0, sizeof heard);
    return 0;
}

static int teardown(void **state)
{
    modelref_free(&heard.model);
    chores_free(&chores);
    loader_free(&loader);
    event_base_free(base);
    return scratch_teardown(state);
}

static struct load *start(const char *path, const char *sha256)
{
    /* Texts of the caller's that do not live long. */
    char model_dir[SCRATCH_PATH_SIZE], interpreter[SCRATCH_PATH_SIZE], copy[64];
    snprintf(model_dir, sizeof model_dir, "%s", dir);
    snprintf(interpreter, sizeof interpreter, "%s", python);
    snprintf(copy, sizeof copy, "%s", path);
    const struct load_options options = {.model_dir = model_dir,
                                         .python = interpreter,
                                         .exporter_program = "models/export.py",
                                         .max_model_bytes = 100,
                                         .timeout_ms = PATIENCE_MS,
                                         .python_serves = python_serves};
    struct load *load = loader_start(loader, &options, copy, sha256, on_loaded, NULL);
    memset(model_dir, 'x', sizeof model_dir - 1);
    memset(interpreter, 'x', sizeof interpreter - 1);
    memset(copy, 'x', sizeof copy - 1);
    return load;
}

static void load(const char *path, const char *sha256)
{
    modelref_free(&heard.model);
    memset(&heard, 0, sizeof heard);
    start(path, sha256);
    assert_int_equal(heard.n_done, 0); /* never from inside the call */
    assert_true(loader_is_busy(loader));
    loop_until(base, heard.n_done >= 1);
    assert_false(loader_is_busy(loader));
}

static void check_native(const char *text)
{
    char *bytes;
    size_t n;
    if (heard.model == NULL)
        fail_msg("%s", heard.why.text);
    assert_int_equal(fd_read_file(heard.model->served_fd, "native", 100, &bytes, &n, NULL), 0);
    assert_string_equal(bytes, text);
    free(bytes);
    assert_string_equal(heard.model->sha256, SHA_ABC);
    assert_int_equal(heard.model->n_references, 1);
}

static void test_native(void **state)
{
    (void)state;
    load("m.json", NULL);
    check_native("abc");
    assert_int_equal(heard.model->served_fd, heard.model->fd);
    assert_int_equal(heard.model->runtime, RUNTIME_NATIVE);
}

static void test_exported(void **state)
{
    static const char *const names[] = {"m.joblib", "m.pkl"};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        load(names[i], SHA_ABC);
        check_native("native abc");
        assert_true(heard.model->served_fd != heard.model->fd);
        assert_int_equal(heard.model->runtime, RUNTIME_NATIVE);
        assert_string_equal(heard.model->name, names[i]);
    }
}

static void test_sha256(void **state)
{
    (void)state;
    load("m.json", SHA_ABC);
    check_native("abc");
    load("m.json", SHA_ABC_UP);
    check_native("abc");
    load("m.joblib", SHA_OTHER); /* before the exporter sees it */
    assert_null(heard.model);
    assert_string_equal(heard.why.code, "sha256-mismatch");
    assert_string_equal(heard.why.pointer, "/sha256");
    assert_non_null(strstr(heard.why.text, SHA_ABC));
    assert_non_null(strstr(heard.why.text, SHA_OTHER));
    load("m.json", "");
    assert_string_equal(heard.why.code, "sha256-mismatch");
}

static void test_refusals(void **state)
{
    static const struct {
        const char *path;
        const char *code;
        const char *says;
    } cases[] = {
        {"m.onnx", "model-invalid", "m.onnx: the extension says"},
        {"m", "model-invalid", "expected .json, .joblib or .pkl"},
        {"m.JSON", "model-invalid", NULL},
        {"none.json", "model-not-found", NULL},
        {"../x.json", "path-outside-model-dir", NULL},
        {"", "missing-model-path", NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        load(cases[i].path, NULL);
        assert_null(heard.model);
        assert_string_equal(heard.why.code, cases[i].code);
        if (cases[i].says != NULL)
            assert_non_null(strstr(heard.why.text, cases[i].says));
    }
}

static void test_exporter_refuses(void **state)
{
    (void)state;
    script_write(python, "python", "echo 'no classifier' >&3; exit 1");
    load("m.joblib", NULL);
    assert_null(heard.model);
    assert_string_equal(heard.why.code, "model-invalid");
    assert_string_equal(heard.why.text, "m.joblib: no classifier");
    snprintf(python, sizeof python, "/nonexistent");
    load("m.joblib", NULL);
    assert_null(heard.model);
    assert_string_equal(heard.why.code, "python-missing");
    load("m.json", NULL); /* needs no Python */
    check_native("abc");
}

#define NO_WORDS "echo half >&5; echo 'no words for it' >&3; exit 10"

/* What the exporter has no words for is served as it is. */
static void test_python_serves(void **state)
{
    static const char *const names[] = {"m.joblib", "m.pkl"};
    (void)state;
    script_write(python, "python", NO_WORDS);
    for (size_t i = 0; i < 2; i++) {
        load(names[i], SHA_ABC);
        check_native("abc");
        assert_int_equal(heard.model->runtime, RUNTIME_PYTHON);
        assert_int_equal(heard.model->served_fd, heard.model->fd);
    }
}

/* It changes nothing for what is native, exported or no model. */
static void test_python_worker_is_off(void **state)
{
    (void)state;
    python_serves = false;
    load("m.joblib", NULL);
    check_native("native abc");
    script_write(python, "python", NO_WORDS);
    load("m.joblib", NULL);
    assert_null(heard.model);
    assert_string_equal(heard.why.code, "model-invalid");
    assert_string_equal(heard.why.text,
                        "m.joblib: no words for it; the setting python_worker is off");
}

static void test_what_is_refused_is_not_served_by_python(void **state)
{
    static const char *const scripts[] = {"echo 'no model' >&3; exit 1", "exit 10", "exit 1",
                                          "kill -KILL $$", "exit 0"};
    (void)state;
    for (size_t i = 0; i < sizeof scripts / sizeof scripts[0]; i++) {
        script_write(python, "python", scripts[i]);
        load("m.joblib", NULL);
        assert_null(heard.model);
        assert_string_equal(heard.why.code, "model-invalid");
    }
}

/* A pickle is a program; what is only read is served as before. */
static void test_no_pickles_from_a_directory_open_to_all(void **state)
{
    (void)state;
    assert_int_equal(chmod(dir, 01777), 0);
    load("m.joblib", NULL);
    assert_null(heard.model);
    assert_string_equal(heard.why.code, "unsafe-directory");
    load("m.pkl", NULL);
    assert_string_equal(heard.why.code, "unsafe-directory");
    load("m.json", NULL);
    check_native("abc");
    assert_int_equal(chmod(dir, 0775), 0);
    load("m.joblib", NULL);
    check_native("native abc");
}

static void test_several_at_once(void **state)
{
    enum { N = 20 };
    (void)state;
    for (int i = 0; i < N; i++)
        start("none.json", NULL);
    loop_until(base, heard.n_done >= N);
    assert_false(loader_is_busy(loader));
}

/* Each script leaves a mark that it ran, and hangs. */
static void write_hanging_python(char mark[SCRATCH_PATH_SIZE])
{
    char body[2 * SCRATCH_PATH_SIZE];
    scratch_path(mark, "mark");
    snprintf(body, sizeof body, "echo >%s; exec sleep 1000", mark);
    script_write(python, "python", body);
}

/* A load that was cancelled while the file was read went on to the exporter,
 * and the supervisor's end waited for that. */
static void test_cancel_before_the_export(void **state)
{
    char mark[SCRATCH_PATH_SIZE];
    (void)state;
    write_hanging_python(mark);
    loader_cancel(start("m.joblib", NULL));
    loader_cancel(start("m.json", NULL));
    loader_cancel(start("none.json", NULL));
    loop_until(base, !loader_is_busy(loader));
    assert_int_equal(heard.n_done, 0);
    assert_int_equal(access(mark, F_OK), -1);
}

static void test_cancel_during_the_export(void **state)
{
    char mark[SCRATCH_PATH_SIZE];
    (void)state;
    write_hanging_python(mark);
    struct load *running = start("m.joblib", NULL);
    loop_until(base, access(mark, F_OK) == 0);
    loader_cancel(running);
    loop_until(base, !loader_is_busy(loader));
    assert_int_equal(heard.n_done, 0);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_native),
        CASE(test_exported),
        CASE(test_sha256),
        CASE(test_refusals),
        CASE(test_exporter_refuses),
        CASE(test_python_serves),
        CASE(test_python_worker_is_off),
        CASE(test_what_is_refused_is_not_served_by_python),
        CASE(test_no_pickles_from_a_directory_open_to_all),
        CASE(test_several_at_once),
        CASE(test_cancel_before_the_export),
        CASE(test_cancel_during_the_export),
    };
    return cmocka_run_group_tests_name("loader", tests, NULL, NULL);
}
