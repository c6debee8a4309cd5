/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What becomes of requests when processes die with them: the innocent are
 * answered, the one that kills is found, and nobody notices more than delay.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/clock.h"
#include "supervisor/proc.h"
#include "supervisor/settings.h"
#include "tests/support/house.h"

#define MAX_ASKED 400
#define POISON    666
#define N_BATCH   64

static struct asked asked[MAX_ASKED];

static void assert_answered(const struct asked *a, int n)
{
    for (int i = 0; i < n; i++)
        if (a[i].code[0] != '\0' || a[i].output != 7.5)
            fail_msg("%d: %s: %s", i, a[i].code, a[i].text);
}

static void assert_poison(const struct asked *a)
{
    assert_string_equal(a->code, "poison-request");
    assert_non_null(strstr(a->text, "the only one"));
}

static void assert_refused(struct house *h, double first)
{
    const double features[EVIL_FEATURES] = {first, 1, 2, 3, 4};
    struct err e = {0};
    int n = h->n_buried;
    assert_int_equal(
        router_predict(h->router, features, EVIL_FEATURES, &(struct wish){0}, NULL, NULL, &e), -1);
    assert_string_equal(e.code, "poison-request");
    assert_int_equal(h->n_buried, n);
}

/* Nothing is left over: nobody waits, and no process is held. */
static void assert_quiet(struct house *h)
{
    assert_int_equal(router_counts(h->router)->n_waiting, 0);
    assert_int_equal(router_counts(h->router)->n_in_flight, 0);
    assert_false(fleet_is_holding(h->fleet, ROLE_STABLE));
    assert_false(fleet_is_holding(h->fleet, ROLE_CANARY));
}

/* A canary that dies of everything, alone there while stable starts, makes no
 * request poison: stable answers it. */
static void test_a_canary_s_deaths_make_no_poison(void **state)
{
    struct house *h = *state;
    router_set_share(h->router, 50, false);
    house_start_evil(h, ROLE_CANARY, "ready die");
    evil_write("stable.json", "wait=400 ready");
    house_start(h, ROLE_STABLE, "stable.json");
    house_ask(h, &asked[0], ROUTING_TO_CANARY);
    loop_until(h->base, h->n_buried >= 2); /* it was alone both times */
    house_await(h, asked, 1);
    assert_answered(asked, 1);
    assert_int_equal(asked[0].arm, ARM_STABLE);
    assert_int_equal(router_counts(h->router)->n_poison, 0);
    assert_quiet(h);
}

/* --- Poison -----------------------------------------------------------------*/

/* One request at its place among innocent ones, in one write. */
static void ask_batch(struct house *h, int place, double poison)
{
    int64_t began = clock_mono_ns();
    for (int i = 0; i < N_BATCH; i++)
        house_ask_with(h, &asked[i], ROUTING_BY_LOT, i == place ? poison : 7.5);
    house_await(h, asked, N_BATCH);
    print_message("all answered after %.1f ms\n", ns_to_ms((double)(clock_mono_ns() - began)));
    assert_answered(asked, place);
    assert_answered(asked + place + 1, N_BATCH - place - 1);
}

/* First, in the middle, last: three deaths, for at the first it was not alone. */
static void test_poison_in_a_batch(void **state)
{
    static const int places[] = {0, N_BATCH / 2, N_BATCH - 1};
    struct house *h = *state;
    for (int k = 0; k < 3; k++) {
        const char *const scripts[] = {"ready killer=666", "ready killer=667", "ready killer=668"};
        int n = h->n_buried;
        house_start_evil(h, ROLE_STABLE, scripts[k]);
        ask_batch(h, places[k], POISON + k);
        assert_poison(&asked[places[k]]);
        assert_refused(h, POISON + k);
        house_ask_all(h, asked, 10, ROUTING_BY_LOT);
        assert_answered(asked, 10);
        assert_in_range(h->n_buried - n, 2, 3); /* the last of a batch may be alone at once */
        assert_quiet(h);
        fleet_kill(h->fleet, ROLE_STABLE, "the next one comes");
        loop_until(h->base, fleet_n_procs(h->fleet) == 0);
    }
    assert_int_equal(router_counts(h->router)->n_poison, 6);
}

static void test_poison_alone(void **state)
{
    struct house *h = *state;
    house_start_evil(h, ROLE_STABLE, "ready die");
    house_ask_all(h, asked, 1, ROUTING_BY_LOT);
    assert_poison(&asked[0]);
    loop_until(h->base, h->n_buried == 2);
    loop_settle(h->base);
    assert_int_equal(h->n_buried, 2); /* not one more */
}

/* The same one several times: two deaths tell about them all. */
static void test_several_poisons(void **state)
{
    struct house *h = *state;
    house_start_evil(h, ROLE_STABLE, "ready killer=666");
    for (int i = 0; i < N_BATCH; i++)
        house_ask_with(h, &asked[i], ROUTING_BY_LOT, i % 30 == 1 ? POISON : 7.5);
    house_await(h, asked, N_BATCH);
    for (int i = 0; i < N_BATCH; i++) {
        if (i % 30 == 1)
            assert_string_equal(asked[i].code, "poison-request");
        else
            assert_answered(&asked[i], 1);
    }
    loop_until(h->base, h->n_buried >= 3);
    assert_in_range(h->n_buried, 3, 5);
    assert_quiet(h);
}

/* It kills both versions; each innocent one is answered by either. */
static void test_poison_for_both_arms(void **state)
{
    struct house *h = *state;
    house_start_evil(h, ROLE_STABLE, "ready killer=666");
    house_start_evil(h, ROLE_CANARY, "ready killer=666");
    router_set_share(h->router, 50, false);
    ask_batch(h, 20, POISON);
    assert_poison(&asked[20]);
    assert_quiet(h);
}

/* What only kills the canary is no poison: stable answers. */
static void test_poison_for_the_canary_alone(void **state)
{
    struct house *h = *state;
    house_start_evil(h, ROLE_STABLE, "ready");
    house_start_evil(h, ROLE_CANARY, "ready killer=7");
    for (int i = 0; i < N_BATCH; i++)
        house_ask_with(h, &asked[i], ROUTING_TO_CANARY, 7);
    house_await(h, asked, N_BATCH);
    for (int i = 0; i < N_BATCH; i++)
        assert_true(asked[i].code[0] == '\0' && asked[i].arm == ARM_STABLE);
    loop_until(h->base, h->n_buried == 1);
    assert_int_equal(router_counts(h->router)->n_poison, 0);
    assert_quiet(h);
}

/* A rollback or a promotion is no death: the request is not to blame. */
static void test_wanted_ends_are_no_deaths(void **state)
{
    struct house *h = *state;
    house_ask(h, &asked[0], ROUTING_BY_LOT);
    for (int i = 0; i < 3; i++) {
        house_start_evil(h, ROLE_STABLE, "ready hang");
        loop_settle(h->base);
        fleet_kill(h->fleet, ROLE_STABLE, "rolled back");
        loop_until(h->base, h->n_buried == i + 1);
    }
    house_start_evil(h, ROLE_STABLE, "ready");
    house_await(h, asked, 1);
    assert_answered(asked, 1);
}

/* --- Innocents --------------------------------------------------------------*/

/* 64 in flight at a death, and traffic that goes on meanwhile. */
static void test_suspects_are_through_soon(void **state)
{
    struct house *h = *state;
    house_start_evil(h, ROLE_STABLE, "ready");
    house_start_evil(h, ROLE_CANARY, "ready");
    pid_t canary = proc_pid(fleet_ready(h->fleet, ROLE_CANARY));
    assert_int_equal(kill(canary, SIGSTOP), 0);
    for (int i = 0; i < N_BATCH; i++)
        house_ask(h, &asked[i], ROUTING_TO_CANARY);
    loop_settle(h->base);
    int64_t began = clock_mono_ns();
    assert_int_equal(kill(canary, SIGKILL), 0);
    for (int i = N_BATCH; i < 2 * N_BATCH; i++)
        house_ask(h, &asked[i], ROUTING_TO_STABLE);
    house_await(h, asked, 2 * N_BATCH);
    double ms = ns_to_ms((double)(clock_mono_ns() - began));
    print_message("%d suspects and as many others were through after %.1f ms\n", N_BATCH, ms);
    assert_answered(asked, 2 * N_BATCH);
    assert_true(ms < 1000);
    assert_int_equal(router_counts(h->router)->n_retried, N_BATCH);
    assert_quiet(h);
}

/* A process that serves suspects is not the only one of its arm. */
static void test_others_go_to_another_process(void **state)
{
    struct house *h = *state;
    h->settings->workers_per_version = 2;
    house_start_evil(h, ROLE_STABLE, "ready slow=20");
    loop_until(h->base, fleet_n_ready(h->fleet, ROLE_STABLE) == 2);
    house_start_evil(h, ROLE_CANARY, "ready die");
    for (int i = 0; i < 5; i++)
        house_ask(h, &asked[i], ROUTING_TO_CANARY);
    loop_until(h->base, fleet_is_holding(h->fleet, ROLE_STABLE));
    for (int i = 5; i < 8; i++)
        house_ask(h, &asked[i], ROUTING_TO_STABLE);
    assert_true(router_counts(h->router)->n_waiting <= 4); /* suspects, none of the others */
    house_await(h, asked, 8);
    assert_answered(asked, 8);
    assert_quiet(h);
}

/* Rounds of load on two processes, one of which is killed. */
static void test_one_of_two_is_killed(void **state)
{
    struct house *h = *state;
    h->settings->workers_per_version = 2;
    house_start_evil(h, ROLE_STABLE, "ready");
    loop_until(h->base, fleet_n_ready(h->fleet, ROLE_STABLE) == 2);
    for (int round = 0; round < 4; round++) {
        for (int i = 0; i < N_BATCH; i++) {
            house_ask(h, &asked[i], ROUTING_BY_LOT);
            if (i == N_BATCH / 2)
                assert_int_equal(kill(proc_pid(fleet_pick(h->fleet, ROLE_STABLE, NULL)), SIGKILL),
                                 0);
        }
        house_await(h, asked, N_BATCH);
        assert_answered(asked, N_BATCH);
        loop_until(h->base, fleet_n_ready(h->fleet, ROLE_STABLE) == 2);
    }
    assert_int_equal(h->n_buried, 4);
    assert_int_equal(router_counts(h->router)->n_failed, 0);
    assert_quiet(h);
}

/* The process that suspects are asked on changes its role, or goes, meanwhile. */
static void test_promotion_while_suspects_are_out(void **state)
{
    struct house *h = *state;
    house_start_evil(h, ROLE_STABLE, "ready die");
    house_start_evil(h, ROLE_CANARY, "ready slow=5");
    for (int i = 0; i < 20; i++)
        house_ask(h, &asked[i], ROUTING_TO_STABLE);
    loop_until(h->base, fleet_is_holding(h->fleet, ROLE_CANARY));
    fleet_retire(h->fleet, ROLE_STABLE);
    fleet_move(h->fleet, ROLE_CANARY, ROLE_STABLE);
    router_wake(h->router);
    house_await(h, asked, 20);
    assert_answered(asked, 20);
    assert_quiet(h);
}

static void test_rollback_while_suspects_are_out(void **state)
{
    struct house *h = *state;
    house_start_evil(h, ROLE_STABLE, "ready good=30 die");
    house_start_evil(h, ROLE_CANARY, "ready slow=5");
    assert_int_equal(kill(proc_pid(fleet_ready(h->fleet, ROLE_STABLE)), SIGSTOP), 0);
    for (int i = 0; i < 20; i++)
        house_ask(h, &asked[i], ROUTING_TO_STABLE);
    loop_settle(h->base);
    assert_int_equal(kill(proc_pid(fleet_ready(h->fleet, ROLE_STABLE)), SIGKILL), 0);
    loop_until(h->base, h->n_buried == 1);
    fleet_kill(h->fleet, ROLE_CANARY, "rolled back");
    house_await(h, asked, 20);
    assert_answered(asked, 20);
    assert_quiet(h);
}

/* A suspect that makes a process hang, too, keeps the others for a moment only. */
static void test_others_lose_patience(void **state)
{
    struct house *h = *state;
    h->settings->try_deadline_ms = 1000;
    house_start_evil(h, ROLE_STABLE, "ready hang");
    house_start_evil(h, ROLE_CANARY, "ready die");
    house_ask(h, &asked[0], ROUTING_TO_CANARY);
    loop_until(h->base, fleet_is_holding(h->fleet, ROLE_STABLE));
    fleet_kill(h->fleet, ROLE_CANARY, "the next one comes");
    house_start_evil(h, ROLE_CANARY, "ready");
    house_ask(h, &asked[1], ROUTING_TO_STABLE);
    assert_int_equal(router_counts(h->router)->n_waiting, 1);
    house_await(h, asked + 1, 1);
    assert_int_equal(asked[1].arm, ARM_CANARY);
    assert_int_equal(asked[0].n_done, 0);
    house_await(h, asked, 1); /* after its try: the canary is there */
    assert_answered(asked, 2);
    assert_quiet(h);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, house_setup_without_rollout, house_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_canary_s_deaths_make_no_poison),
        TEST(test_poison_alone),
        TEST(test_poison_in_a_batch),
        TEST(test_several_poisons),
        TEST(test_poison_for_both_arms),
        TEST(test_poison_for_the_canary_alone),
        TEST(test_wanted_ends_are_no_deaths),
        TEST(test_suspects_are_through_soon),
        TEST(test_others_go_to_another_process),
        TEST(test_one_of_two_is_killed),
        TEST(test_promotion_while_suspects_are_out),
        TEST(test_rollback_while_suspects_are_out),
        TEST(test_others_lose_patience),
    };
    return cmocka_run_group_tests_name("router_deaths", tests, NULL, NULL);
}
