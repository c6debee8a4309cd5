/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Roles and the processes that play them: coming up, dying, restarting, moving
 * and going, with real processes.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/clock.h"
#include "common/mem.h"
#include "supervisor/modelref.h"
#include "supervisor/proc.h"
#include "supervisor/settings.h"
#include "tests/support/house.h"
#include "tests/support/script.h"

static int setup(void **state)
{
    int rc = house_setup(state);
    struct house *h = *state;
    h->without_rollout = true;
    return rc;
}

/* --- One question to the process of a role ----------------------------------*/

struct question {
    struct proc_call call; /* first */
    int n_done;
    enum call_outcome outcome;
    double output;
};

static void on_done(struct proc_call *call, const struct call_result *result)
{
    struct question *q = (struct question *)call;
    q->n_done++;
    q->outcome = result->outcome;
    if (result->outcome == CALL_OK)
        q->output = result->outputs[0];
}

static void ask(const struct house *h, enum role role, struct question *q)
{
    static const double features[EVIL_FEATURES] = {1, 2, 3, 4, 5};
    *q = (struct question){.call.done = on_done};
    proc_predict(fleet_ready(h->fleet, role), &q->call, features, EVIL_FEATURES, 1,
                 clock_mono_ns() + 60 * NS_PER_SEC, false);
}

static double answer_of(const struct house *h, enum role role)
{
    struct question q;
    ask(h, role, &q);
    loop_until(h->base, q.n_done > 0);
    assert_int_equal(q.outcome, CALL_OK);
    return q.output;
}

static pid_t pid_of(const struct house *h, enum role role)
{
    return proc_pid(fleet_ready(h->fleet, role));
}

static void kill_role(const struct house *h, enum role role)
{
    int n = h->n_buried;
    assert_int_equal(kill(pid_of(h, role), SIGKILL), 0);
    loop_until(h->base, h->n_buried > n);
}

/* --- Coming up --------------------------------------------------------------*/

static void test_comes_up(void **state)
{
    struct house *h = *state;
    house_start_evil(h, ROLE_STABLE, "ready");
    assert_int_equal(fleet_n_procs(h->fleet), 1);
    assert_string_equal(fleet_model(h->fleet, ROLE_STABLE)->name, "stable.json");
    assert_null(fleet_model(h->fleet, ROLE_CANARY));
    assert_null(fleet_ready(h->fleet, ROLE_CANARY));
    assert_string_equal(proc_role(fleet_ready(h->fleet, ROLE_STABLE)), "stable");
    assert_int_equal(fleet_n_restarts(h->fleet, ROLE_STABLE), 0);
    assert_string_equal(role_name(N_ROLES), "retired");
}

/* Calls before the traffic: they are not in the counts, and a FAULT is one too. */
static void test_warm_up(void **state)
{
    static const char *const scripts[] = {"ready", "ready fault"};
    struct house *h = *state;
    h->settings->warmup_requests = 20;
    for (size_t i = 0; i < 2; i++) {
        house_start_evil(h, ROLE_CANARY, scripts[i]);
        struct proc_counts counts = proc_counts(fleet_ready(h->fleet, ROLE_CANARY));
        assert_int_equal(counts.n[CALL_OK] + counts.n[CALL_FAULT], 0);
        fleet_kill(h->fleet, ROLE_CANARY, "the next one comes");
    }
    assert_int_equal(h->n_up[ROLE_CANARY], 2);
}

static const struct {
    const char *script;
    int start_ms; /* 0: for ever */
    int n_warm_ups;
    const char *code;
    const char *says;
} failures[] = {
    {"refuse exit=65", 0, 0, "model-invalid", EVIL_REFUSAL},
    {"exit=9", 0, 0, "model-invalid", "exit status 9"},
    {"signal=15", 0, 0, "model-invalid", "signal 15"},
    {"version", 0, 0, "model-invalid", "protocol 7"},
    {"garbage", 0, 0, "model-invalid", "msgpack"},
    {"sleep", 80, 0, "worker-start-timeout", "80 ms"},
    {"ready good=2 hang", 300, 5, "worker-start-timeout", "300 ms"},
    {"ready good=2 die", 0, 5, "model-invalid", "exit status 3"},
};

static void test_first_process_fails(void **state)
{
    struct house *h = *state;
    for (size_t i = 0; i < sizeof failures / sizeof failures[0]; i++) {
        h->settings->start_timeout_ms = failures[i].start_ms > 0 ? failures[i].start_ms : 60000;
        h->settings->warmup_requests = failures[i].n_warm_ups;
        evil_write("bad.json", failures[i].script);
        house_start(h, ROLE_CANDIDATE, "bad.json");
        loop_until(h->base, h->n_failed[ROLE_CANDIDATE] > (int)i);
        if (strcmp(h->code, failures[i].code) != 0 || strstr(h->text, failures[i].says) == NULL ||
            strstr(h->text, "bad.json") == NULL)
            fail_msg("\"%s\": %s, \"%s\"", failures[i].script, h->code, h->text);
        assert_null(fleet_model(h->fleet, ROLE_CANDIDATE));
        assert_null(fleet_ready(h->fleet, ROLE_CANDIDATE));
    }
    loop_settle(h->base);
    assert_int_equal(h->n_failed[ROLE_CANDIDATE], sizeof failures / sizeof failures[0]);
    assert_int_equal(h->n_up[ROLE_CANDIDATE], 0);
    assert_int_equal(fleet_n_procs(h->fleet), 0);
}

static void test_program_is_missing(void **state)
{
    struct house *h = *state;
    snprintf(h->program, sizeof h->program, "/nowhere/canary-worker");
    evil_write("x.json", "ready");
    house_start(h, ROLE_CANDIDATE, "x.json");
    loop_until(h->base, h->n_failed[ROLE_CANDIDATE] > 0);
    assert_string_equal(h->code, "model-invalid");
    assert_non_null(strstr(h->text, "could not be executed"));
}

/* Before its role is up an accident is tried again, a refusal is not. */
static void test_tries_before_it_is_up(void **state)
{
    static const struct {
        const char *script;
        enum role role;
        int n_processes;
        bool may_pass;
    } cases[] = {
        {"exit=3", ROLE_STABLE, 3, true},
        {"signal=9", ROLE_CANDIDATE, 3, true},
        {"refuse exit=65", ROLE_STABLE, 1, false},
        {"sleep", ROLE_STABLE, 1, true},
    };
    struct house *h = *state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct modelref *m = evil_model(cases[i].script);
        h->settings->start_timeout_ms = strcmp(cases[i].script, "sleep") == 0 ? 100 : 60000;
        h->n_buried = 0;
        int n_failed = h->n_failed[cases[i].role];
        fleet_start(h->fleet, cases[i].role, m, 3);
        modelref_free(&m);
        loop_until(h->base, h->n_failed[cases[i].role] > n_failed);
        loop_until(h->base, h->n_buried == cases[i].n_processes);
        assert_int_equal(h->may_pass, cases[i].may_pass);
        assert_null(fleet_model(h->fleet, cases[i].role));
    }
}

/* --- Models that Python serves ------------------------------------------------*/

static void start_by_python(struct house *h, const char *script)
{
    struct err e = {0};
    evil_write("x.joblib", script);
    struct modelref *m = modelref_open(h->settings->model_dir, "x.joblib", 1000, &e);
    assert_non_null(m);
    m->served_fd = m->fd;
    m->runtime = RUNTIME_PYTHON;
    fleet_start(h->fleet, ROLE_CANDIDATE, m, 1);
    modelref_free(&m);
}

static void set_python(struct house *h, const char *path)
{
    free(h->settings->python);
    h->settings->python = mem_strdup(path);
}

/* A script in Python's place that runs what it is given, if it is given it rightly. */
static void test_python_runs_the_worker(void **state)
{
    struct house *h = *state;
    char python[SCRATCH_PATH_SIZE];
    script_write(python, "python",
                 "[ \"$1 $2 $4 $#\" = '-I -B x.joblib 6' ] && exec \"$3\" \"$4\"");
    set_python(h, python);
    h->settings->worker_memory_bytes = 0; /* what runs here may be full of sanitizers */
    snprintf(h->python_program, sizeof h->python_program, "%s", h->program);
    snprintf(h->program, sizeof h->program, "/nowhere/canary-worker");
    start_by_python(h, "ready");
    loop_until(h->base, h->n_up[ROLE_CANDIDATE] > 0 || h->n_failed[ROLE_CANDIDATE] > 0);
    assert_int_equal(h->n_up[ROLE_CANDIDATE], 1);
}

static void test_python_is_missing(void **state)
{
    struct house *h = *state;
    static const char *const pythons[] = {"", "/nowhere/python3", "/bin/sh"};
    static const char *const says[] = {"the setting python is empty", "/nowhere/python3 is not",
                                       "set python_worker_program"};
    for (int i = 0; i < 3; i++) {
        set_python(h, pythons[i]); /* the worker is not there at all */
        start_by_python(h, "ready");
        loop_until(h->base, h->n_failed[ROLE_CANDIDATE] > i);
        assert_string_equal(h->code, "python-missing");
        assert_non_null(strstr(h->text, "x.joblib: serving it needs "));
        assert_non_null(strstr(h->text, says[i]));
    }
}

/* --- Dying ------------------------------------------------------------------*/

/* At once the first time, then later and later; stable has no crash limit. */
static void test_restarts_with_back_off(void **state)
{
    static const int at_least_ms[] = {0, 100, 200};
    struct house *h = *state;
    h->settings->crash_limit = 2;
    house_start_evil(h, ROLE_STABLE, "ready");
    for (int i = 0; i < 3; i++) {
        pid_t old = pid_of(h, ROLE_STABLE);
        kill_role(h, ROLE_STABLE);
        int64_t died_ns = clock_mono_ns();
        assert_null(fleet_ready(h->fleet, ROLE_STABLE));
        assert_non_null(fleet_model(h->fleet, ROLE_STABLE));
        loop_until(h->base, h->n_up[ROLE_STABLE] == i + 2);
        /* died_ns is up to a turn late, so a little less than the delay is seen */
        assert_true(clock_mono_ns() - died_ns >= (at_least_ms[i] - 20) * NS_PER_MS);
        assert_int_equal(fleet_n_restarts(h->fleet, ROLE_STABLE), i + 1);
        assert_int_not_equal(pid_of(h, ROLE_STABLE), old);
    }
    assert_int_equal(h->n_gave_up[ROLE_STABLE], 0);
    assert_int_equal(h->n_failed[ROLE_STABLE], 0);
}

/* A process that served for a second did not die of its start. */
static void test_a_healthy_life_resets_the_back_off(void **state)
{
    struct house *h = *state;
    house_start_evil(h, ROLE_STABLE, "ready");
    for (int i = 0; i < 3; i++) {
        kill_role(h, ROLE_STABLE);
        loop_until(h->base, h->n_up[ROLE_STABLE] == i + 2);
    }
    int64_t healthy_ns = clock_mono_ns() + NS_PER_SEC;
    loop_until(h->base, clock_mono_ns() > healthy_ns);
    kill_role(h, ROLE_STABLE);
    int64_t died_ns = clock_mono_ns();
    loop_until(h->base, h->n_up[ROLE_STABLE] == 5);
    const struct proc *p = fleet_ready(h->fleet, ROLE_STABLE);
    assert_true(proc_started_ns(p) - died_ns < 300 * NS_PER_MS); /* it would be 400 */
}

/* One that answers and dies soon has not failed to start: requests wait for it. */
static void test_a_short_life_with_an_answer_does_not_double(void **state)
{
    struct house *h = *state;
    house_start_evil(h, ROLE_STABLE, "ready");
    for (int i = 0; i < 6; i++) {
        answer_of(h, ROLE_STABLE);
        kill_role(h, ROLE_STABLE);
        int64_t died_ns = clock_mono_ns();
        loop_until(h->base, h->n_up[ROLE_STABLE] == i + 2);
        const struct proc *p = fleet_ready(h->fleet, ROLE_STABLE);
        assert_true(proc_started_ns(p) - died_ns < 300 * NS_PER_MS); /* it would be 1600 */
    }
}

/* Ready, and dead at once, for ever: each start is later. */
static void test_a_crash_loop_is_no_busy_loop(void **state)
{
    struct house *h = *state;
    evil_write("stable.json", "ready exit=1");
    house_start(h, ROLE_STABLE, "stable.json"); /* it may be gone before we look */
    loop_until(h->base, h->n_up[ROLE_STABLE] > 0);
    int64_t end_ns = clock_mono_ns() + 900 * NS_PER_MS;
    loop_until(h->base, clock_mono_ns() > end_ns);
    assert_in_range(fleet_n_restarts(h->fleet, ROLE_STABLE), 2, 5); /* 0, 100, 300, 700 ms */
    assert_int_equal(h->n_gave_up[ROLE_STABLE], 0);
}

static void test_canary_has_a_crash_limit(void **state)
{
    struct house *h = *state;
    h->settings->crash_limit = 3;
    house_start_evil(h, ROLE_CANARY, "ready");
    for (int i = 0; i < 3; i++) {
        assert_int_equal(h->n_gave_up[ROLE_CANARY], 0);
        loop_until(h->base, h->n_up[ROLE_CANARY] == i + 1);
        kill_role(h, ROLE_CANARY);
    }
    assert_int_equal(h->n_gave_up[ROLE_CANARY], 1);
    assert_non_null(strstr(h->text, "died 3 times within 60 s"));
    assert_non_null(strstr(h->text, "signal 9"));
    assert_null(fleet_model(h->fleet, ROLE_CANARY));
    assert_int_equal(fleet_n_procs(h->fleet), 0);
    house_start_evil(h, ROLE_CANARY, "ready"); /* the next canary begins at 0 */
    kill_role(h, ROLE_CANARY);
    loop_until(h->base, h->n_up[ROLE_CANARY] == 5);
    assert_int_equal(h->n_gave_up[ROLE_CANARY], 1);
}

/* Nothing depends on a baseline: a first process that fails is tried again like
 * any other, later and later, and nobody hears of it. */
static void test_a_baseline_is_tried_for_ever(void **state)
{
    static const enum role roles[] = {ROLE_BASELINE, ROLE_NEXT_BASELINE};
    struct house *h = *state;
    h->settings->crash_limit = 2;
    for (size_t i = 0; i < 2; i++) {
        evil_write("b.json", "refuse exit=65");
        house_start(h, roles[i], "b.json");
        loop_until(h->base, fleet_n_restarts(h->fleet, roles[i]) == 3);
        assert_non_null(fleet_model(h->fleet, roles[i]));
        assert_null(fleet_ready(h->fleet, roles[i]));
        fleet_retire(h->fleet, roles[i]);
        loop_until(h->base, fleet_n_procs(h->fleet) == 0);
        house_start_evil(h, roles[i], "ready");
        for (int n = 0; n < 3; n++) {
            kill_role(h, roles[i]);
            loop_until(h->base, fleet_ready(h->fleet, roles[i]) != NULL);
        }
        assert_int_equal(h->n_failed[roles[i]] + h->n_gave_up[roles[i]], 0);
        fleet_retire(h->fleet, roles[i]);
    }
}

/* --- Moving -----------------------------------------------------------------*/

static void test_move(void **state)
{
    struct house *h = *state;
    house_start_evil(h, ROLE_CANDIDATE, "ready");
    pid_t pid = pid_of(h, ROLE_CANDIDATE);
    fleet_move(h->fleet, ROLE_CANDIDATE, ROLE_CANARY);
    assert_int_equal(pid_of(h, ROLE_CANARY), pid);
    assert_string_equal(proc_role(fleet_ready(h->fleet, ROLE_CANARY)), "canary");
    assert_null(fleet_model(h->fleet, ROLE_CANDIDATE));
    assert_null(fleet_ready(h->fleet, ROLE_CANDIDATE));
    fleet_move(h->fleet, ROLE_CANARY, ROLE_STABLE);
    assert_int_equal(pid_of(h, ROLE_STABLE), pid);
    assert_string_equal(fleet_model(h->fleet, ROLE_STABLE)->name, "candidate.json");
    assert_int_equal(fleet_n_procs(h->fleet), 1);
    kill_role(h, ROLE_STABLE); /* it is restarted where it is now */
    loop_until(h->base, h->n_up[ROLE_STABLE] == 1);
    assert_int_equal(h->n_up[ROLE_CANARY], 0);
}

/* The share opens while the baseline is still starting: it goes on, as that. */
static void test_move_before_it_is_up(void **state)
{
    struct house *h = *state;
    evil_write("b.json", "exit=1");
    house_start(h, ROLE_NEXT_BASELINE, "b.json");
    loop_until(h->base, fleet_n_restarts(h->fleet, ROLE_NEXT_BASELINE) == 1);
    evil_write("c.json", "ready");
    house_start(h, ROLE_STABLE, "c.json");
    loop_until(h->base, h->n_up[ROLE_STABLE] == 1);
    fleet_move(h->fleet, ROLE_NEXT_BASELINE, ROLE_BASELINE);
    assert_null(fleet_model(h->fleet, ROLE_NEXT_BASELINE));
    loop_until(h->base, fleet_n_restarts(h->fleet, ROLE_BASELINE) == 2);
    assert_int_equal(h->n_failed[ROLE_NEXT_BASELINE] + h->n_failed[ROLE_BASELINE], 0);
}

static void test_move_between_death_and_restart(void **state)
{
    struct house *h = *state;
    house_start_evil(h, ROLE_CANARY, "ready");
    kill_role(h, ROLE_CANARY);
    assert_null(fleet_ready(h->fleet, ROLE_CANARY));
    fleet_move(h->fleet, ROLE_CANARY, ROLE_STABLE);
    loop_until(h->base, h->n_up[ROLE_STABLE] == 1);
    loop_settle(h->base);
    assert_int_equal(h->n_up[ROLE_CANARY], 1);
    assert_int_equal(fleet_n_procs(h->fleet), 1);
}

/* --- The delay --------------------------------------------------------------*/

static void test_delay_is_the_role_s(void **state)
{
    struct house *h = *state;
    fleet_set_delay(h->fleet, ROLE_CANARY, 7);
    house_start_evil(h, ROLE_CANDIDATE, "ready delay");
    assert_true(answer_of(h, ROLE_CANDIDATE) == 0);
    fleet_move(h->fleet, ROLE_CANDIDATE, ROLE_CANARY);
    assert_true(answer_of(h, ROLE_CANARY) == 7);
    fleet_move(h->fleet, ROLE_CANARY, ROLE_STABLE);
    assert_true(answer_of(h, ROLE_STABLE) == 0);
    house_start_evil(h, ROLE_CANARY, "ready delay"); /* the next one */
    assert_true(answer_of(h, ROLE_CANARY) == 7);
    kill_role(h, ROLE_CANARY);
    loop_until(h->base, h->n_up[ROLE_CANARY] == 2);
    assert_true(answer_of(h, ROLE_CANARY) == 7); /* its next life */
    fleet_set_delay(h->fleet, ROLE_CANARY, 0);
    assert_true(answer_of(h, ROLE_CANARY) == 0);
    assert_true(answer_of(h, ROLE_STABLE) == 0);
}

/* --- Going ------------------------------------------------------------------*/

struct census {
    int n[N_ROLES + 1];
};

static void see(void *arg, enum role role, const struct proc *p)
{
    struct census *c = arg;
    (void)p;
    c->n[role]++;
}

static void test_retire_finishes_its_calls(void **state)
{
    struct house *h = *state;
    struct question q[4];
    struct census c = {0};
    house_start_evil(h, ROLE_STABLE, "ready slow=5");
    for (int i = 0; i < 4; i++)
        ask(h, ROLE_STABLE, &q[i]);
    fleet_retire(h->fleet, ROLE_STABLE);
    assert_null(fleet_model(h->fleet, ROLE_STABLE));
    assert_null(fleet_ready(h->fleet, ROLE_STABLE));
    fleet_each(h->fleet, see, &c);
    assert_int_equal(c.n[ROLE_STABLE], 0);
    assert_int_equal(c.n[N_ROLES], 1);
    house_start_evil(h, ROLE_STABLE, "ready"); /* the role is free */
    loop_until(h->base, h->n_buried == 1);
    for (int i = 0; i < 4; i++)
        assert_true(q[i].n_done == 1 && q[i].outcome == CALL_OK);
    assert_int_equal(fleet_n_procs(h->fleet), 1);
    assert_int_equal(h->n_failed[ROLE_STABLE], 0);
}

static void test_kill_loses_its_calls(void **state)
{
    struct house *h = *state;
    struct question q;
    house_start_evil(h, ROLE_CANARY, "ready hang");
    ask(h, ROLE_CANARY, &q);
    fleet_kill(h->fleet, ROLE_CANARY, "rolled back");
    assert_null(fleet_model(h->fleet, ROLE_CANARY));
    loop_until(h->base, h->n_buried == 1);
    assert_int_equal(q.n_done, 1);
    assert_int_equal(q.outcome, CALL_LOST);
    loop_settle(h->base);
    assert_int_equal(h->n_up[ROLE_CANARY], 1); /* it was wanted: no restart */
    assert_int_equal(h->n_gave_up[ROLE_CANARY] + h->n_failed[ROLE_CANARY], 0);
    fleet_kill(h->fleet, ROLE_CANARY, "an empty role has nothing to kill");
    fleet_retire(h->fleet, ROLE_CANARY);
}

/* In every stage: loading, warming up, serving, waiting for a restart. */
static void test_stop(void **state)
{
    struct house *h = *state;
    house_start_evil(h, ROLE_STABLE, "ready");
    house_start_evil(h, ROLE_CANARY, "ready");
    h->settings->warmup_requests = 5;
    evil_write("slow.json", "ready hang");
    house_start(h, ROLE_CANDIDATE, "slow.json");
    loop_until(h->base, fleet_n_procs(h->fleet) == 3);
    kill_role(h, ROLE_CANARY);
    fleet_stop(h->fleet);
    fleet_kill_all(h->fleet); /* what hangs in its warm-up does not go by itself */
    loop_until(h->base, fleet_n_procs(h->fleet) == 0);
    loop_settle(h->base);
    assert_int_equal(fleet_n_procs(h->fleet), 0);
    assert_int_equal(h->n_up[ROLE_STABLE] + h->n_up[ROLE_CANARY], 2);
    assert_int_equal(h->n_failed[ROLE_CANDIDATE], 0);
}

static void test_stop_is_gentle(void **state)
{
    struct house *h = *state;
    struct question q;
    house_start_evil(h, ROLE_STABLE, "ready slow=20");
    ask(h, ROLE_STABLE, &q);
    fleet_stop(h->fleet);
    loop_until(h->base, fleet_n_procs(h->fleet) == 0);
    assert_true(q.n_done == 1 && q.outcome == CALL_OK);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, house_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_comes_up),
        TEST(test_warm_up),
        TEST(test_first_process_fails),
        TEST(test_program_is_missing),
        TEST(test_tries_before_it_is_up),
        TEST(test_python_runs_the_worker),
        TEST(test_python_is_missing),
        TEST(test_restarts_with_back_off),
        TEST(test_a_healthy_life_resets_the_back_off),
        TEST(test_a_short_life_with_an_answer_does_not_double),
        TEST(test_a_crash_loop_is_no_busy_loop),
        TEST(test_canary_has_a_crash_limit),
        TEST(test_a_baseline_is_tried_for_ever),
        TEST(test_move),
        TEST(test_move_before_it_is_up),
        TEST(test_move_between_death_and_restart),
        TEST(test_delay_is_the_role_s),
        TEST(test_retire_finishes_its_calls),
        TEST(test_kill_loses_its_calls),
        TEST(test_stop),
        TEST(test_stop_is_gentle),
    };
    return cmocka_run_group_tests_name("fleet", tests, NULL, NULL);
}
