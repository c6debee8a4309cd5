/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The life of a worker process: its table cell by cell, then real lives of a
 * worker that misbehaves in every way there is (tests/support/evil_worker.c).
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <event2/event.h>

#include "common/clock.h"
#include "common/log.h"
#include "supervisor/proc.h"
#include "tests/support/evil.h"
#include "tests/support/life.h"
#include "tests/support/loop.h"

#define MAX_CALLS 8

/* --- The table --------------------------------------------------------------*/

#define STA "starting"
#define RDY "ready"
#define DRA "draining"
#define STO "stopping"
#define KIL "killed"
#define DEA "dead"

/* clang-format off */
static const char *const expected[N_PROC_STATES][N_PROC_EVENTS] = {
    /*                 READY REFUSE deadline drain idle kill  EOF reaped */
    [PROC_STARTING] = {RDY,   STO,    KIL,    STO,  STA,  KIL,  KIL,  DEA},
    [PROC_READY]    = {KIL,   KIL,    KIL,    DRA,  RDY,  KIL,  KIL,  DEA},
    [PROC_DRAINING] = {KIL,   KIL,    KIL,    DRA,  STO,  KIL,  KIL,  DEA},
    [PROC_STOPPING] = {STO,   STO,    KIL,    STO,  STO,  KIL,  STO,  DEA},
    [PROC_KILLED]   = {KIL,   KIL,    KIL,    KIL,  KIL,  KIL,  KIL,  DEA},
    [PROC_DEAD]     = {DEA,   DEA,    DEA,    DEA,  DEA,  DEA,  DEA,  DEA},
};
/* clang-format on */

static void check_cell(enum proc_state s, enum proc_event e)
{
    const char *next = proc_state_name(proc_next_state(s, e));
    if (strcmp(next, expected[s][e]) != 0)
        fail_msg("%s by %s becomes %s, not %s", proc_state_name(s), proc_event_name(e), next,
                 expected[s][e]);
}

static void test_table(void **state)
{
    (void)state;
    for (int s = 0; s < N_PROC_STATES; s++)
        for (int e = 0; e < N_PROC_EVENTS; e++)
            check_cell((enum proc_state)s, (enum proc_event)e);
}

static void test_names(void **state)
{
    static const char *const states[] = {"starting", "ready",  "draining",
                                         "stopping", "killed", "dead"};
    static const char *const events[] = {"READY", "REFUSE", "deadline", "drain",
                                         "idle",  "kill",   "EOF",      "reaped"};
    (void)state;
    for (int i = 0; i < N_PROC_STATES; i++)
        assert_string_equal(proc_state_name((enum proc_state)i), states[i]);
    for (int i = 0; i < N_PROC_EVENTS; i++)
        assert_string_equal(proc_event_name((enum proc_event)i), events[i]);
}

/* --- Lives that end by themselves -------------------------------------------*/

#define MID_SERVICE "it broke the protocol: READY or REFUSE in mid-service"

static const struct {
    const char *script;
    struct life_limits limits;
    bool was_ready;
    bool start_timed_out;
    const char *how;
    const char *why; /* what it contains; "": empty */
    const char *refusal;
} lives[] = {
    {"refuse exit=65", {0}, false, false, "exit status 65", "", EVIL_REFUSAL},
    {"exit=9", {0}, false, false, "exit status 9", "it closed its socket", ""},
    {"signal=15", {0}, false, false, "signal 15 (Terminated)", "it closed its socket", ""},
    {"sleep", {.start_ms = 60}, false, true, KILLED_BY_US, "it was not ready in time", ""},
    {"stubborn", {.start_ms = 60}, false, true, KILLED_BY_US, "it was not ready in time", ""},
    {"version", {0}, false, false, KILLED_BY_US, "", "the worker speaks protocol 7, not 2"},
    {"garbage", {0}, false, false, KILLED_BY_US, "the bytes are not one msgpack array", ""},
    {"stray", {0}, false, false, KILLED_BY_US, "it answered a call that nobody made", ""},
    {"oversize sleep", {0}, false, false, KILLED_BY_US, "it announced a frame of", ""},
    {"quit", {0}, false, false, KILLED_BY_US, "that only the supervisor sends", ""},
    {"eof", {0}, false, false, KILLED_BY_US, "it closed its socket", ""},
    {"ready ready", {0}, true, false, KILLED_BY_US, MID_SERVICE, ""},
    {"ready refuse", {0}, true, false, KILLED_BY_US, MID_SERVICE, ""},
    {"ready version", {0}, true, false, KILLED_BY_US, "", "the worker speaks protocol 7, not 2"},
    {"ready garbage", {0}, true, false, KILLED_BY_US, "the bytes are not one msgpack array", ""},
    {"ready stray", {0}, true, false, KILLED_BY_US, "it answered a call that nobody made", ""},
    {"ready oversize sleep", {0}, true, false, KILLED_BY_US, "it announced a frame of", ""},
    {"ready eof", {0}, true, false, KILLED_BY_US, "it closed its socket", ""},
    {"ready exit=4", {0}, true, false, "exit status 4", "it closed its socket", ""},
    {"ready signal=15", {0}, true, false, "signal 15 (Terminated)", "it closed its socket", ""},
    /* It said no and does not go: STOPPING has its own deadline. */
    {"refuse sleep", {0}, false, false, KILLED_BY_US, "it did not go in time", EVIL_REFUSAL},
};

static bool contains(const char *text, const char *part)
{
    return part[0] == '\0' ? text[0] == '\0' : strstr(text, part) != NULL;
}

static void test_lives_that_end_by_themselves(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof lives / sizeof lives[0]; i++) {
        struct life l;
        life_begin(&l, lives[i].script, &lives[i].limits);
        life_end(&l);
        if (strcmp(l.how, lives[i].how) != 0 || !contains(l.why, lives[i].why) ||
            !contains(l.refusal, lives[i].refusal) || l.o.was_ready != lives[i].was_ready ||
            l.o.start_timed_out != lives[i].start_timed_out)
            fail_msg("\"%s\": how \"%s\", why \"%s\", refusal \"%s\", ready %d, timed out %d",
                     lives[i].script, l.how, l.why, l.refusal, l.o.was_ready, l.o.start_timed_out);
        assert_int_equal(l.n_ready, lives[i].was_ready);
        assert_false(l.o.wanted);
        assert_int_equal(l.o.n_lost, 0);
    }
}

static void test_program_that_is_not_there(void **state)
{
    const struct life_limits limits = {0};
    struct life l;
    (void)state;
    life_begin_program(&l, "/nowhere/canary-worker", "ready", &limits);
    life_end(&l);
    assert_string_equal(l.how, "exit status 127 (the program could not be executed)");
    assert_false(l.o.was_ready);
}

/* --- Service ----------------------------------------------------------------*/

static void test_answers(void **state)
{
    const struct life_limits limits = {0};
    struct question q[3];
    struct life l;
    (void)state;
    life_begin_ready(&l, "ready", &limits);
    assert_string_equal(proc_kind(l.p), "evil");
    assert_string_equal(proc_output_name(l.p), "badness");
    assert_int_equal(proc_n_features(l.p), EVIL_FEATURES);
    assert_int_equal(proc_board_row(l.p, BOARD_ROUND_TRIP), -1);
    life_ask_all(&l, q, 3);
    loop_until(l.base, proc_counts(l.p).n_in_flight == 0);
    life_assert_all(q, 3, CALL_OK);
    assert_true(q[0].output == 7.5);
    assert_int_equal(proc_counts(l.p).n[CALL_OK], 3);
    proc_reset_counts(l.p);
    assert_int_equal(proc_counts(l.p).n[CALL_OK], 0);
    proc_kill(l.p, "the test is over");
    life_end(&l);
}

static void test_faults_do_not_end_it(void **state)
{
    const struct life_limits limits = {0};
    struct question q[2];
    struct life l;
    (void)state;
    life_begin_ready(&l, "ready fault", &limits);
    life_ask_all(&l, q, 2);
    loop_until(l.base, proc_counts(l.p).n_in_flight == 0);
    life_assert_all(q, 2, CALL_FAULT);
    assert_string_equal(q[0].text, EVIL_FAULT);
    assert_int_equal(proc_counts(l.p).n[CALL_FAULT], 2);
    assert_int_equal(proc_state(l.p), PROC_READY);
    proc_kill(l.p, "the test is over");
    life_end(&l);
}

/* One row was asked about: two answers are a breach of the protocol. */
static void test_wrong_number_of_outputs(void **state)
{
    const struct life_limits limits = {0};
    struct question q[1];
    struct life l;
    (void)state;
    life_begin_ready(&l, "ready double", &limits);
    life_ask_all(&l, q, 1);
    life_end(&l);
    life_assert_all(q, 1, CALL_LOST);
    assert_string_equal(l.how, KILLED_BY_US);
    assert_non_null(strstr(l.why, "outputs"));
}

static void test_hanging_worker_is_killed(void **state)
{
    const struct life_limits limits = {.hang_ms = 80};
    struct question q[3];
    struct life l;
    (void)state;
    life_begin_ready(&l, "ready hang", &limits);
    life_ask_all(&l, q, 3);
    life_end(&l);
    life_assert_all(q, 3, CALL_LOST);
    assert_string_equal(l.how, KILLED_BY_US);
    assert_string_equal(l.why, "it answered nothing within hang_ms");
    assert_int_equal(l.o.n_lost, 3);
    assert_false(l.o.wanted);
}

/* A call past its own deadline is over; the worker still owes the answer. */
static void test_timeouts_count_as_owed(void **state)
{
    const struct life_limits limits = {.hang_ms = 400};
    struct question q;
    struct life l;
    (void)state;
    life_begin_ready(&l, "ready hang", &limits);
    life_ask(&l, &q, 20);
    loop_until(l.base, q.n_done > 0);
    assert_int_equal(q.outcome, CALL_TIMEOUT);
    life_end(&l);
    assert_int_equal(q.n_done, 1);
    assert_string_equal(l.why, "it answered nothing within hang_ms");
    assert_int_equal(l.o.n_lost, 0);
}

/* Nobody asks, so it may be silent for ever: it answers the PINGs. They are no
 * calls, and nobody sees them. */
static void test_idle_worker_is_not_hanging(void **state)
{
    const struct life_limits limits = {.hang_ms = 400};
    struct question q;
    struct life l;
    (void)state;
    life_begin_ready(&l, "ready pings", &limits);
    int64_t until = clock_mono_ns() + 900 * NS_PER_MS;
    loop_until(l.base, clock_mono_ns() > until);
    assert_int_equal(l.n_dead, 0);
    assert_int_equal(proc_state(l.p), PROC_READY);
    assert_int_equal(proc_counts(l.p).n_in_flight, 0);
    for (int i = 0; i < N_CALL_OUTCOMES; i++)
        assert_int_equal(proc_counts(l.p).n[i], 0);
    life_ask(&l, &q, LIFE_LONG_MS);
    loop_until(l.base, q.n_done > 0);
    print_message("%.0f PINGs in 900 ms of silence; hang_ms 400\n", q.output);
    assert_true(q.output >= 2 && q.output <= 40);
    proc_kill(l.p, "the test is over");
    life_end(&l);
}

/* An idle worker that is stopped says nothing at all: no EOF, no exit. */
static void test_stopped_idle_worker_is_killed(void **state)
{
    const struct life_limits limits = {.hang_ms = 240};
    struct life l;
    (void)state;
    life_begin_ready(&l, "ready", &limits);
    int64_t began_ns = clock_mono_ns();
    assert_int_equal(kill(l.pid, SIGSTOP), 0);
    life_end(&l);
    print_message("found after %.0f ms; hang_ms 240\n",
                  ns_to_ms((double)(clock_mono_ns() - began_ns)));
    assert_true(clock_mono_ns() - began_ns >= 240 * NS_PER_MS);
    assert_string_equal(l.why, "it answered nothing within hang_ms");
    assert_string_equal(l.how, KILLED_BY_US);
    assert_false(l.o.wanted);
}

static void test_death_loses_its_calls(void **state)
{
    const struct life_limits limits = {0};
    struct question q[4];
    struct life l;
    (void)state;
    life_begin_ready(&l, "ready good=1 die", &limits);
    life_ask_all(&l, q, 4);
    life_end(&l);
    life_assert_all(q, 1, CALL_OK); /* what was answered is not lost */
    life_assert_all(q + 1, 3, CALL_LOST);
    assert_string_equal(l.how, "exit status 3");
    assert_int_equal(l.o.n_lost, 3);
    assert_true(l.o.was_ready);
}

/* --- What the owner wants ---------------------------------------------------*/

static void test_drain_finishes_its_calls(void **state)
{
    const struct life_limits limits = {0};
    struct question q[MAX_CALLS];
    struct life l;
    (void)state;
    life_begin_ready(&l, "ready slow=5", &limits);
    life_ask_all(&l, q, MAX_CALLS);
    proc_drain(l.p);
    assert_int_equal(proc_state(l.p), PROC_DRAINING);
    proc_drain(l.p); /* again: nothing happens */
    assert_int_equal(proc_state(l.p), PROC_DRAINING);
    life_end(&l);
    life_assert_all(q, MAX_CALLS, CALL_OK);
    assert_string_equal(l.how, "exit status 0");
    assert_string_equal(l.why, "");
    assert_true(l.o.wanted);
    assert_int_equal(l.o.n_lost, 0);
}

static void test_drain_of_an_idle_worker(void **state)
{
    const struct life_limits limits = {0};
    struct life l;
    (void)state;
    life_begin_ready(&l, "ready", &limits);
    proc_drain(l.p);
    assert_int_equal(proc_state(l.p), PROC_STOPPING);
    life_end(&l);
    assert_string_equal(l.how, "exit status 0");
    assert_true(l.o.wanted);
}

static void test_drain_ends_at_its_deadline(void **state)
{
    const struct life_limits limits = {.drain_ms = 60};
    struct question q[2];
    struct life l;
    (void)state;
    life_begin_ready(&l, "ready hang", &limits);
    life_ask_all(&l, q, 2);
    proc_drain(l.p);
    life_end(&l);
    life_assert_all(q, 2, CALL_LOST);
    assert_string_equal(l.how, KILLED_BY_US);
    assert_string_equal(l.why, "it did not go in time");
    assert_true(l.o.wanted);
}

/* Its calls time out while it drains: then, too, it is idle and may go. */
static void test_drain_by_timeouts(void **state)
{
    const struct life_limits limits = {0};
    struct question q;
    struct life l;
    (void)state;
    life_begin_ready(&l, "ready hang", &limits);
    life_ask(&l, &q, 20);
    proc_drain(l.p);
    life_end(&l);
    assert_int_equal(q.n_done, 1);
    assert_int_equal(q.outcome, CALL_TIMEOUT);
    assert_string_equal(l.how, "exit status 0");
}

static void test_worker_that_ignores_quit(void **state)
{
    const struct life_limits limits = {0};
    struct life l;
    (void)state;
    life_begin_ready(&l, "ready stubborn", &limits);
    proc_drain(l.p);
    life_end(&l);
    assert_string_equal(l.how, KILLED_BY_US);
    assert_string_equal(l.why, "it did not go in time");
    assert_true(l.o.wanted);
}

static void test_drain_before_it_was_ready(void **state)
{
    const struct life_limits limits = {0};
    struct life l;
    (void)state;
    life_begin(&l, "ready", &limits);
    proc_drain(l.p);
    assert_int_equal(proc_state(l.p), PROC_STOPPING);
    life_end(&l);
    assert_int_equal(l.n_ready, 0);
    assert_string_equal(l.how, "exit status 0");
    assert_true(l.o.wanted);
}

static void test_kill_loses_its_calls_at_once(void **state)
{
    const struct life_limits limits = {0};
    struct question q[5];
    struct life l;
    (void)state;
    life_begin_ready(&l, "ready hang", &limits);
    life_ask_all(&l, q, 5);
    proc_kill(l.p, "rolled back");
    assert_int_equal(proc_state(l.p), PROC_KILLED);
    assert_int_equal(q[0].n_done, 0); /* on the next turn, not from inside */
    proc_kill(l.p, "killed again");
    proc_drain(l.p);
    life_end(&l);
    life_assert_all(q, 5, CALL_LOST);
    assert_true(q[0].before_reaping); /* so they can be asked elsewhere at once */
    assert_string_equal(l.how, KILLED_BY_US);
    assert_string_equal(l.why, "rolled back"); /* the first reason stands */
    assert_int_equal(l.o.n_lost, 5);
    assert_true(l.o.wanted);
}

static void test_kill_before_it_was_ready(void **state)
{
    const struct life_limits limits = {0};
    struct life l;
    (void)state;
    life_begin(&l, "sleep", &limits);
    proc_kill(l.p, "not wanted any more");
    life_end(&l);
    assert_int_equal(l.n_ready, 0);
    assert_false(l.o.start_timed_out);
    assert_string_equal(l.why, "not wanted any more");
    assert_true(l.o.wanted);
}

/* The delay is told, and a role may change while calls are answered. */
static void test_delay_and_role(void **state)
{
    const struct life_limits limits = {0};
    struct question q;
    struct life l;
    (void)state;
    life_begin_ready(&l, "ready delay", &limits);
    proc_delay(l.p, 12.5);
    life_ask(&l, &q, LIFE_LONG_MS);
    assert_string_equal(proc_role(l.p), "canary");
    proc_set_role(l.p, "stable");
    loop_until(l.base, q.n_done > 0);
    assert_true(q.output == 12.5);
    assert_string_equal(proc_role(l.p), "stable");
    proc_drain(l.p);
    life_end(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_faults_do_not_end_it),
        cmocka_unit_test(test_drain_of_an_idle_worker),
        cmocka_unit_test(test_drain_finishes_its_calls),
        cmocka_unit_test(test_drain_ends_at_its_deadline),
        cmocka_unit_test(test_drain_by_timeouts),
        cmocka_unit_test(test_drain_before_it_was_ready),
        cmocka_unit_test(test_worker_that_ignores_quit),
        cmocka_unit_test(test_kill_loses_its_calls_at_once),
        cmocka_unit_test(test_kill_before_it_was_ready),
        cmocka_unit_test(test_delay_and_role),
        cmocka_unit_test(test_idle_worker_is_not_hanging),
        cmocka_unit_test(test_stopped_idle_worker_is_killed),
        cmocka_unit_test(test_hanging_worker_is_killed),
        cmocka_unit_test(test_timeouts_count_as_owed),
        cmocka_unit_test(test_death_loses_its_calls),
        cmocka_unit_test(test_wrong_number_of_outputs),
        cmocka_unit_test(test_program_that_is_not_there),
        cmocka_unit_test(test_lives_that_end_by_themselves),
    };
    log_init("test_proc", LOG_LEVEL_ERROR);
    return cmocka_run_group_tests_name("proc", tests, NULL, NULL);
}
