/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The state on disk: whole or not at all, with the models it names and no others.
 */
#include <fcntl.h>
#include <glob.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <event2/event.h>

#include "common/log.h"
#include "common/mem.h"
#include "supervisor/chores.h"
#include "supervisor/modelref.h"
#include "supervisor/state.h"
#include "supervisor/store.h"
#include "tests/support/loop.h"
#include "tests/support/scratch.h"

static struct event_base *base;
static struct chores *chores;
static struct store *store;
static char dir[SCRATCH_PATH_SIZE];

static struct outcome {
    int n_done;
    char code[40];
} outcome;

static int setup(void **state)
{
    int rc = scratch_setup(state);
    log_init("test", LOG_LEVEL_ERROR);
    scratch_path(dir, "state");
    mkdir(dir, 0700);
    base = event_base_new();
    chores = chores_new(base);
    store = store_new(dir, chores);
    outcome = (struct outcome){0};
    return rc;
}

static int teardown(void **state)
{
    chores_free(&chores);
    store_free(&store);
    event_base_free(base);
    return scratch_teardown(state);
}

static void on_saved(void *arg, const struct err *why)
{
    (void)arg;
    outcome.n_done++;
    snprintf(outcome.code, sizeof outcome.code, "%s", why != NULL ? why->code : "");
}

static struct modelref *open_model(const char *name)
{
    struct err e = {0};
    struct modelref *m = modelref_open("models", name, INT64_C(1) << 30, &e);
    if (m == NULL)
        fail_msg("%s", e.text);
    m->served_fd = m->fd;
    return m;
}

/* Saves and waits; "" or the code of the failure is in outcome. */
static void save(struct modelref *stable, struct modelref *canary)
{
    struct saved_state *s = mem_alloc(sizeof *s);
    int before = outcome.n_done;
    s->stable_setting = mem_strdup("x");
    s->canary_setting = mem_strdup("");
    s->percent = canary != NULL ? 10 : 0;
    store_save(store, s, stable, canary, on_saved, NULL);
    assert_int_equal(outcome.n_done, before); /* never from inside */
    assert_true(store_is_busy(store));
    loop_until(base, outcome.n_done > before);
    assert_false(store_is_busy(store));
}

static struct saved_state *load(void)
{
    struct saved_state *s;
    struct err e = {0};
    assert_int_equal(store_load(store, &s, &e), 0);
    return s;
}

static int count(const char *pattern)
{
    char path[SCRATCH_PATH_SIZE + 32];
    glob_t found;
    snprintf(path, sizeof path, "%s/%s", dir, pattern);
    int n = glob(path, 0, NULL, &found) == 0 ? (int)found.gl_pathc : 0;
    globfree(&found);
    return n;
}

static void write_text(const char *name, const char *text)
{
    char path[SCRATCH_PATH_SIZE + 32];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void test_nothing_there(void **state)
{
    (void)state;
    assert_null(load());
}

static void test_saved_is_loaded(void **state)
{
    struct err e = {0};
    struct modelref *v1 = open_model("model_v1.json");
    struct modelref *v2 = open_model("model_v2.json");
    (void)state;
    save(v1, v2);
    assert_string_equal(outcome.code, "");
    assert_int_equal(count("models/*"), 2);
    struct saved_state *s = load();
    assert_non_null(s);
    struct modelref *again = store_open_model(store, &s->canary, &e);
    assert_non_null(again);
    assert_string_equal(again->sha256, v2->sha256);
    assert_string_equal(again->version, v2->version);
    assert_string_equal(again->path, "model_v2.json");
    modelref_free(&again);
    saved_state_free(&s);
    save(v2, NULL); /* v1 is named no more */
    assert_int_equal(count("models/*"), 1);
    assert_int_equal(count("*.new"), 0);
    modelref_free(&v1);
    modelref_free(&v2);
}

/* Of a model that Python serves the file itself is kept, and that Python serves it. */
static void test_a_python_model_comes_back(void **state)
{
    struct err e = {0};
    struct modelref *v2 = open_model("model_v2.joblib");
    (void)state;
    v2->runtime = RUNTIME_PYTHON;
    save(v2, NULL);
    assert_int_equal(count("models/*.joblib"), 1);
    struct saved_state *s = load();
    struct modelref *again = store_open_model(store, &s->stable, &e);
    assert_non_null(again);
    assert_int_equal(again->runtime, RUNTIME_PYTHON);
    assert_int_equal(again->served_fd, again->fd);
    assert_string_equal(again->version, v2->version);
    assert_string_equal(s->stable.served_sha256, v2->sha256);
    modelref_free(&again);
    saved_state_free(&s);
    modelref_free(&v2);
}

static void test_a_changed_copy_is_refused(void **state)
{
    char path[SCRATCH_PATH_SIZE + 128];
    struct err e = {0};
    struct modelref *v1 = open_model("model_v1.json");
    (void)state;
    save(v1, NULL);
    struct saved_state *s = load();
    snprintf(path, sizeof path, "%s/models/%s.json", dir, s->stable.served_sha256);
    int fd = open(path, O_WRONLY);
    assert_int_equal(pwrite(fd, "X", 1, 100), 1);
    close(fd);
    assert_null(store_open_model(store, &s->stable, &e));
    assert_string_equal(e.code, "model-invalid");
    unlink(path);
    assert_null(store_open_model(store, &s->stable, &e));
    assert_string_equal(e.code, "model-not-found");
    saved_state_free(&s);
    modelref_free(&v1);
}

static void test_damage_is_set_aside(void **state)
{
    (void)state;
    log_set_level(LOG_LEVEL_ERROR);
    write_text("state.json", "");
    assert_null(load());
    assert_int_equal(count("state.json.damaged-*"), 1);
    assert_int_equal(count("state.json"), 0);
    assert_null(load());
}

static void test_newer_is_not_touched(void **state)
{
    struct saved_state *s;
    struct err e = {0};
    (void)state;
    write_text("state.json", "{\"canaryd_state\": 999}");
    assert_int_equal(store_load(store, &s, &e), -1);
    assert_string_equal(e.code, "state-newer");
    assert_int_equal(count("state.json"), 1);
    assert_int_equal(count("state.json.damaged-*"), 0);
}

/* A full disk, played by a limit on the size of files: the old state stands. */
static void test_no_room(void **state)
{
    struct rlimit all;
    struct rlimit none;
    struct modelref *v1 = open_model("model_v1.json");
    struct modelref *v2 = open_model("model_v2.json");
    (void)state;
    save(v1, NULL);
    void (*before)(int) = signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &all), 0);
    none = all;
    none.rlim_cur = 16;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
    log_set_level(LOG_LEVEL_ERROR);
    save(v2, NULL);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &all), 0);
    signal(SIGXFSZ, before);
    assert_string_equal(outcome.code, "state-not-saved");
    struct saved_state *s = load();
    assert_non_null(s);
    assert_string_equal(s->stable.sha256, v1->sha256);
    assert_int_equal(count("*.new") + count("models/*.new"), 0);
    saved_state_free(&s);
    modelref_free(&v1);
    modelref_free(&v2);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_nothing_there),
        CASE(test_saved_is_loaded),
        CASE(test_a_python_model_comes_back),
        CASE(test_a_changed_copy_is_refused),
        CASE(test_damage_is_set_aside),
        CASE(test_newer_is_not_touched),
        CASE(test_no_room),
    };
    return cmocka_run_group_tests_name("store", tests, NULL, NULL);
}
