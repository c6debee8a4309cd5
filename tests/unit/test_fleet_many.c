/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Roles that several processes play: who is asked, and that whatever befalls a
 * role befalls all of them.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/clock.h"
#include "supervisor/modelref.h"
#include "supervisor/proc.h"
#include "supervisor/settings.h"
#include "tests/support/house.h"

#define N_WORKERS 3
#define MAX_CALLS 30

static int setup(void **state)
{
    int rc = house_setup(state);
    struct house *h = *state;
    h->without_rollout = true;
    h->settings->workers_per_version = N_WORKERS;
    return rc;
}

/* --- Who is there -----------------------------------------------------------*/

struct census {
    enum role role;
    int n, n_ready;
    const struct proc *procs[2 * N_WORKERS];
};

static void see(void *arg, enum role role, const struct proc *p)
{
    struct census *c = arg;
    if (role != c->role)
        return;
    c->procs[c->n++] = p;
    c->n_ready += proc_state(p) == PROC_READY;
}

static struct census census(const struct house *h, enum role role)
{
    struct census c = {.role = role};
    fleet_each(h->fleet, see, &c);
    return c;
}

static void start_all(struct house *h, enum role role, const char *script)
{
    house_start_evil(h, role, script);
    loop_until(h->base, census(h, role).n_ready == N_WORKERS);
}

static void kill_one(const struct house *h, enum role role)
{
    int n = h->n_buried;
    assert_int_equal(kill(proc_pid(fleet_ready(h->fleet, role)), SIGKILL), 0);
    loop_until(h->base, h->n_buried > n);
}

/* --- Asking -----------------------------------------------------------------*/

struct question {
    struct proc_call call; /* first */
    int n_done;
    enum call_outcome outcome;
    double output;
};

static struct question questions[MAX_CALLS];

static void on_done(struct proc_call *call, const struct call_result *result)
{
    struct question *q = (struct question *)call;
    q->n_done++;
    q->outcome = result->outcome;
    if (result->outcome == CALL_OK)
        q->output = result->outputs[0];
}

static struct proc *ask(const struct house *h, enum role role, struct question *q, int64_t ms)
{
    static const double features[EVIL_FEATURES] = {1, 2, 3, 4, 5};
    struct proc *p = fleet_pick(h->fleet, role, NULL);
    *q = (struct question){.call.done = on_done};
    proc_predict(p, &q->call, features, EVIL_FEATURES, 1, clock_mono_ns() + ms * NS_PER_MS, false);
    return p;
}

static void test_ties_rotate(void **state)
{
    struct house *h = *state;
    int n_asked[N_WORKERS] = {0};
    start_all(h, ROLE_STABLE, "ready");
    struct census c = census(h, ROLE_STABLE);
    for (int i = 0; i < 6; i++) {
        const struct proc *p = ask(h, ROLE_STABLE, &questions[i], 60000);
        for (int k = 0; k < N_WORKERS; k++)
            n_asked[k] += c.procs[k] == p;
        loop_until(h->base, questions[i].n_done > 0);
    }
    for (int k = 0; k < N_WORKERS; k++)
        assert_int_equal(n_asked[k], 2);
}

/* One that does not answer keeps what it has and gets no more than the others;
 * a call that timed out is still its work. */
static void test_least_busy_is_asked(void **state)
{
    struct house *h = *state;
    start_all(h, ROLE_STABLE, "ready");
    pid_t stopped = proc_pid(fleet_pick(h->fleet, ROLE_STABLE, NULL));
    int n_to_stopped = 0;
    assert_int_equal(kill(stopped, SIGSTOP), 0);
    for (int i = 0; i < MAX_CALLS; i++) {
        const struct proc *p = ask(h, ROLE_STABLE, &questions[i], 100);
        n_to_stopped += proc_pid(p) == stopped;
        if (proc_pid(p) != stopped || n_to_stopped == 1)
            loop_until(h->base, questions[i].n_done > 0);
    }
    assert_int_equal(n_to_stopped, 1);
    assert_int_equal(kill(stopped, SIGCONT), 0);
}

static void test_pick_but(void **state)
{
    struct house *h = *state;
    h->settings->workers_per_version = 2;
    house_start_evil(h, ROLE_STABLE, "ready");
    loop_until(h->base, census(h, ROLE_STABLE).n_ready == 2);
    const struct proc *one = fleet_pick(h->fleet, ROLE_STABLE, NULL);
    for (int i = 0; i < 3; i++)
        assert_ptr_not_equal(fleet_pick(h->fleet, ROLE_STABLE, one), one);
    fleet_kill(h->fleet, ROLE_STABLE, "the test goes on");
    h->settings->workers_per_version = 1;
    house_start_evil(h, ROLE_STABLE, "ready");
    one = fleet_ready(h->fleet, ROLE_STABLE);
    assert_null(fleet_pick(h->fleet, ROLE_STABLE, one));
    assert_null(fleet_pick(h->fleet, ROLE_CANARY, NULL));
}

/* --- Coming up --------------------------------------------------------------*/

/* Stable serves with the first; a candidate is nothing until all are warm. */
static void test_when_it_is_up(void **state)
{
    struct house *h = *state;
    evil_write("x.json", "ready");
    for (enum role role = ROLE_STABLE; role <= ROLE_CANDIDATE; role += ROLE_CANDIDATE) {
        house_start(h, role, "x.json");
        loop_until(h->base, census(h, role).n == N_WORKERS);
        pid_t last = proc_pid(census(h, role).procs[N_WORKERS - 1]);
        assert_int_equal(kill(last, SIGSTOP), 0);
        loop_until(h->base, census(h, role).n_ready == N_WORKERS - 1);
        assert_int_equal(h->n_up[role], role == ROLE_STABLE ? N_WORKERS - 1 : 0);
        assert_int_equal(kill(last, SIGCONT), 0);
        loop_until(h->base, census(h, role).n_ready == N_WORKERS);
        assert_int_equal(h->n_up[role], role == ROLE_STABLE ? N_WORKERS : 1);
    }
}

static void test_one_fails_all_fail(void **state)
{
    struct house *h = *state;
    evil_write("x.json", "sleep");
    house_start(h, ROLE_CANDIDATE, "x.json");
    loop_until(h->base, census(h, ROLE_CANDIDATE).n == N_WORKERS);
    assert_int_equal(kill(proc_pid(census(h, ROLE_CANDIDATE).procs[1]), SIGKILL), 0);
    loop_until(h->base, fleet_n_procs(h->fleet) == 0);
    assert_int_equal(h->n_failed[ROLE_CANDIDATE], 1);
    assert_non_null(strstr(h->text, "signal 9"));
    assert_null(fleet_model(h->fleet, ROLE_CANDIDATE));
}

/* --- Dying ------------------------------------------------------------------*/

/* The others go on, and each has a back-off of its own. */
static void test_each_restarts_alone(void **state)
{
    struct house *h = *state;
    start_all(h, ROLE_STABLE, "ready");
    for (int i = 0; i < 3; i++) { /* every time another one: at once */
        const struct proc *p = fleet_pick(h->fleet, ROLE_STABLE, NULL);
        int n = h->n_buried;
        assert_int_equal(kill(proc_pid(p), SIGKILL), 0);
        loop_until(h->base, h->n_buried > n);
        assert_non_null(fleet_ready(h->fleet, ROLE_STABLE));
        int64_t died_ns = clock_mono_ns();
        loop_until(h->base, census(h, ROLE_STABLE).n_ready == N_WORKERS);
        print_message("ready again after %.1f ms\n", ns_to_ms((double)(clock_mono_ns() - died_ns)));
    }
    assert_int_equal(fleet_n_restarts(h->fleet, ROLE_STABLE), 3);
    assert_int_equal(h->n_gave_up[ROLE_STABLE], 0);
}

static void test_crash_limit_counts_all(void **state)
{
    struct house *h = *state;
    h->settings->crash_limit = 3;
    start_all(h, ROLE_CANARY, "ready");
    for (int i = 0; i < 3; i++) {
        assert_int_equal(h->n_gave_up[ROLE_CANARY], 0);
        kill_one(h, ROLE_CANARY);
    }
    assert_int_equal(h->n_gave_up[ROLE_CANARY], 1);
    assert_null(fleet_model(h->fleet, ROLE_CANARY));
    loop_until(h->base, fleet_n_procs(h->fleet) == 0); /* those that were well, too */
    loop_settle(h->base);
    assert_int_equal(fleet_n_procs(h->fleet), 0);
}

/* --- Moving and going -------------------------------------------------------*/

static void test_moves_are_for_all(void **state)
{
    struct house *h = *state;
    start_all(h, ROLE_CANARY, "ready");
    kill_one(h, ROLE_CANARY); /* one of them between its death and its restart */
    assert_int_equal(census(h, ROLE_CANARY).n, N_WORKERS - 1);
    fleet_move(h->fleet, ROLE_CANARY, ROLE_STABLE);
    assert_null(fleet_model(h->fleet, ROLE_CANARY));
    loop_until(h->base, census(h, ROLE_STABLE).n_ready == N_WORKERS);
    for (int i = 0; i < N_WORKERS; i++)
        assert_string_equal(proc_role(census(h, ROLE_STABLE).procs[i]), "stable");
    assert_int_equal(census(h, ROLE_CANARY).n, 0);
}

static void assert_delays(const struct house *h, enum role role, double ms)
{
    for (int i = 0; i < N_WORKERS; i++) {
        ask(h, role, &questions[0], 60000);
        loop_until(h->base, questions[0].n_done > 0);
        assert_true(questions[0].output == ms);
    }
}

static void test_delay_is_for_all(void **state)
{
    struct house *h = *state;
    start_all(h, ROLE_CANDIDATE, "ready delay");
    assert_delays(h, ROLE_CANDIDATE, 0);
    fleet_set_delay(h->fleet, ROLE_CANARY, 7);
    fleet_move(h->fleet, ROLE_CANDIDATE, ROLE_CANARY);
    assert_delays(h, ROLE_CANARY, 7);
    fleet_set_delay(h->fleet, ROLE_CANARY, 0);
    assert_delays(h, ROLE_CANARY, 0);
}

static void test_retire_is_for_all(void **state)
{
    struct house *h = *state;
    start_all(h, ROLE_STABLE, "ready slow=5");
    for (int i = 0; i < 2 * N_WORKERS; i++)
        ask(h, ROLE_STABLE, &questions[i], 60000);
    fleet_retire(h->fleet, ROLE_STABLE);
    assert_int_equal(census(h, N_ROLES).n, N_WORKERS);
    assert_null(fleet_pick(h->fleet, ROLE_STABLE, NULL));
    loop_until(h->base, fleet_n_procs(h->fleet) == 0);
    for (int i = 0; i < 2 * N_WORKERS; i++)
        assert_true(questions[i].n_done == 1 && questions[i].outcome == CALL_OK);
}

static void test_kill_is_for_all(void **state)
{
    struct house *h = *state;
    start_all(h, ROLE_CANARY, "ready hang");
    for (int i = 0; i < N_WORKERS; i++)
        ask(h, ROLE_CANARY, &questions[i], 60000);
    fleet_kill(h->fleet, ROLE_CANARY, "rolled back");
    loop_until(h->base, fleet_n_procs(h->fleet) == 0);
    for (int i = 0; i < N_WORKERS; i++)
        assert_true(questions[i].n_done == 1 && questions[i].outcome == CALL_LOST);
    assert_int_equal(h->n_gave_up[ROLE_CANARY] + h->n_failed[ROLE_CANARY], 0);
}

/* The number is that of the next start; one that runs keeps its own. */
static void test_the_setting_counts_at_the_next_start(void **state)
{
    struct house *h = *state;
    start_all(h, ROLE_STABLE, "ready");
    h->settings->workers_per_version = 1;
    fleet_set_settings(h->fleet, h->settings);
    kill_one(h, ROLE_STABLE);
    loop_until(h->base, census(h, ROLE_STABLE).n_ready == N_WORKERS);
    house_start_evil(h, ROLE_CANARY, "ready");
    assert_int_equal(census(h, ROLE_CANARY).n, 1);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, house_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_ties_rotate),
        TEST(test_least_busy_is_asked),
        TEST(test_pick_but),
        TEST(test_when_it_is_up),
        TEST(test_one_fails_all_fail),
        TEST(test_each_restarts_alone),
        TEST(test_crash_limit_counts_all),
        TEST(test_moves_are_for_all),
        TEST(test_delay_is_for_all),
        TEST(test_retire_is_for_all),
        TEST(test_kill_is_for_all),
        TEST(test_the_setting_counts_at_the_next_start),
    };
    return cmocka_run_group_tests_name("fleet_many", tests, NULL, NULL);
}
