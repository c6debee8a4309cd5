/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * See life.h.
 */
#include "tests/support/life.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>
#include <event2/event.h>

#include "common/clock.h"
#include "supervisor/modelref.h"
#include "tests/support/evil.h"
#include "tests/support/loop.h"

static void on_ready(void *arg, struct proc *p)
{
    struct life *l = arg;
    assert_ptr_equal(p, l->p);
    assert_int_equal(proc_state(p), PROC_READY);
    l->n_ready++;
}

static void on_dead(void *arg, struct proc *p, const struct obituary *o)
{
    struct life *l = arg;
    if (l->p != NULL)
        assert_ptr_equal(p, l->p);
    l->n_dead++;
    l->o = *o;
    snprintf(l->how, sizeof l->how, "%s", o->how);
    snprintf(l->why, sizeof l->why, "%s", o->why);
    snprintf(l->refusal, sizeof l->refusal, "%s", o->refusal);
    snprintf(l->last_words, sizeof l->last_words, "%s", o->last_words);
    l->p = NULL;
}

static void on_done(struct proc_call *call, const struct call_result *result)
{
    struct question *q = (struct question *)call;
    q->n_done++;
    q->outcome = result->outcome;
    if (result->outcome == CALL_OK)
        q->output = result->outputs[0];
    if (result->outcome == CALL_FAULT)
        snprintf(q->text, sizeof q->text, "%s", result->text);
    q->before_obituary = q->life->n_dead == 0;
    q->before_reaping = kill(q->life->pid, 0) == 0;
}

void life_begin_program(struct life *l, const char *program, const char *script,
                        const struct life_limits *limits)
{
    struct err e = {0};
    *l = (struct life){.base = event_base_new()};
    lines_open(&l->lines, l->base);
    const struct proc_options options = {
        .base = l->base,
        .lines = &l->lines,
        .program = program,
        .role = "canary",
        .start_timeout_ms = limits->start_ms > 0 ? limits->start_ms : LIFE_LONG_MS,
        .hang_ms = limits->hang_ms > 0 ? limits->hang_ms : LIFE_LONG_MS,
        .drain_ms = limits->drain_ms > 0 ? limits->drain_ms : LIFE_LONG_MS,
    };
    const struct proc_listener listener = {.ready = on_ready, .dead = on_dead, .arg = l};
    struct modelref *model = evil_model(script);
    l->p = proc_start(&options, model, &listener, &e);
    assert_non_null(l->p);
    l->pid = proc_pid(l->p);
    assert_ptr_equal(proc_model(l->p), model);
    assert_int_equal(proc_state(l->p), PROC_STARTING);
    assert_string_equal(proc_kind(l->p), "");
    assert_int_equal(proc_n_features(l->p), 0);
    modelref_free(&model); /* the process keeps its own */
}

void life_begin(struct life *l, const char *script, const struct life_limits *limits)
{
    char program[EVIL_PATH_SIZE];
    built_program(program, "tests/support/evil_worker");
    life_begin_program(l, program, script, limits);
}

void life_begin_ready(struct life *l, const char *script, const struct life_limits *limits)
{
    life_begin(l, script, limits);
    loop_until(l->base, l->n_ready > 0 || l->n_dead > 0);
    assert_int_equal(l->n_ready, 1);
    assert_non_null(l->p);
}

void life_end(struct life *l)
{
    loop_until(l->base, l->n_dead > 0);
    loop_settle(l->base);
    assert_int_equal(l->n_dead, 1);
    assert_int_equal(l->o.pid, l->pid);
    assert_int_equal(kill(l->pid, 0), -1);
    lines_close(&l->lines);
    event_base_free(l->base);
}

static void ask(struct life *l, struct question *q, const double *features, size_t n,
                int deadline_ms)
{
    *q = (struct question){.call.done = on_done, .life = l};
    proc_predict(l->p, &q->call, features, n, 1, clock_mono_ns() + deadline_ms * NS_PER_MS, true);
    assert_int_equal(q->n_done, 0); /* never from inside */
}

void life_ask(struct life *l, struct question *q, int deadline_ms)
{
    static const double features[EVIL_FEATURES] = {7.5, 1, 2, 3, 4};
    ask(l, q, features, EVIL_FEATURES, deadline_ms);
}

void life_ask_wide(struct life *l, struct question *q, const double *features, size_t n)
{
    ask(l, q, features, n, LIFE_LONG_MS);
}

void life_ask_all(struct life *l, struct question *questions, int n)
{
    for (int i = 0; i < n; i++)
        life_ask(l, &questions[i], LIFE_LONG_MS);
    assert_int_equal(proc_counts(l->p).n_in_flight, n);
}

void life_assert_all(const struct question *questions, int n, enum call_outcome outcome)
{
    for (int i = 0; i < n; i++) {
        assert_int_equal(questions[i].n_done, 1);
        assert_int_equal(questions[i].outcome, outcome);
        assert_true(questions[i].before_obituary);
    }
}
