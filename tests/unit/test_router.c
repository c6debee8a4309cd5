/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Who gets a request, what becomes of it when that fails, and what is a sample:
 * with real processes, good and evil.
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

static struct asked asked[MAX_ASKED];

/* Stable and a canary that has half of the traffic. */
static void open_house(struct house *h, const char *stable, const char *canary)
{
    house_start_evil(h, ROLE_STABLE, stable);
    house_start_evil(h, ROLE_CANARY, canary);
    router_set_share(h->router, 50, false);
}

/* --- The split --------------------------------------------------------------*/

static const struct {
    double percent;
    int n_requests;
    int n_canary;
} splits[] = {
    {10, 200, 20}, {25, 100, 25}, {50, 20, 10}, {15, 100, 15}, {1, 300, 3}, {0, 50, 0},
};

static void check_split(struct house *h, double percent, int n, int n_canary)
{
    int by_canary = 0;
    h->n_samples[ARM_STABLE] = h->n_samples[ARM_CANARY] = 0;
    router_set_share(h->router, percent, false);
    house_ask_all(h, asked, n, ROUTING_BY_LOT);
    for (int i = 0; i < n; i++) {
        assert_string_equal(asked[i].code, "");
        assert_true(asked[i].output == 7.5);
        by_canary += asked[i].arm == ARM_CANARY;
    }
    assert_int_equal(by_canary, n_canary);
    assert_int_equal(h->n_samples[ARM_CANARY], n_canary);
    assert_int_equal(h->n_samples[ARM_STABLE], n - n_canary);
}

static void test_split_is_exact(void **state)
{
    struct house *h = *state;
    open_house(h, "ready", "ready");
    for (size_t i = 0; i < sizeof splits / sizeof splits[0]; i++)
        check_split(h, splits[i].percent, splits[i].n_requests, splits[i].n_canary);
    assert_int_equal(router_counts(h->router)->n_retried, 0);
    assert_int_equal(router_counts(h->router)->n_fallbacks, 0);
    assert_int_equal(router_counts(h->router)->n_in_flight, 0);
}

static void test_answer_names_its_version(void **state)
{
    struct house *h = *state;
    open_house(h, "ready", "ready");
    house_ask_all(h, asked, 1, ROUTING_TO_CANARY);
    assert_memory_equal(asked[0].version, "canary@", strlen("canary@"));
    house_ask_all(h, asked, 1, ROUTING_TO_STABLE);
    assert_memory_equal(asked[0].version, "stable@", strlen("stable@"));
}

/* --- What a canary fails, stable answers ------------------------------------*/

static const struct {
    const char *canary;
    int try_ms;           /* 0: for ever */
    enum outcome outcome; /* of five calls */
} canaries[] = {
    {"ready fault", 0, OUTCOME_FAULT},
    {"ready hang", 40, OUTCOME_TIMEOUT},
    {"ready die", 0, OUTCOME_DEATH},
    {"ready double", 0, OUTCOME_DEATH},
};

/* Of ten draws, those five that were the canary's: none that dies with others in flight was
 * asked a second time of it, nor was any that it was not there for. */
static void check_outcomes(struct house *h, enum outcome outcome)
{
    int *n = h->n_outcomes[ARM_CANARY];
    assert_int_equal(n[outcome] + n[OUTCOME_UNASKED], 5);
    assert_true(n[outcome] > 0);
    assert_int_equal(h->n_outcomes[ARM_STABLE][OUTCOME_OK], 5);
    memset(h->n_outcomes, 0, sizeof h->n_outcomes);
}

static void test_what_a_canary_fails_stable_answers(void **state)
{
    struct house *h = *state;
    house_start_evil(h, ROLE_STABLE, "ready");
    router_set_share(h->router, 50, false);
    for (size_t i = 0; i < sizeof canaries / sizeof canaries[0]; i++) {
        struct router_counts before = *router_counts(h->router);
        h->settings->try_deadline_ms = canaries[i].try_ms > 0 ? canaries[i].try_ms : 60000;
        house_start_evil(h, ROLE_CANARY, canaries[i].canary);
        h->n_samples[ARM_STABLE] = h->n_samples[ARM_CANARY] = 0;
        house_ask_all(h, asked, 10, ROUTING_BY_LOT);
        for (int k = 0; k < 10; k++)
            if (asked[k].code[0] != '\0' || asked[k].arm != ARM_STABLE)
                fail_msg("%s: %s", canaries[i].canary, asked[k].text);
        assert_int_equal(h->n_samples[ARM_CANARY], 0); /* a call that fails has no latency */
        check_outcomes(h, canaries[i].outcome);
        assert_int_equal(h->n_samples[ARM_STABLE], 5); /* a second try is none */
        assert_int_equal(router_counts(h->router)->n_fallbacks - before.n_fallbacks, 5);
        assert_true(router_counts(h->router)->n_failed == 0);
        fleet_kill(h->fleet, ROLE_CANARY, "the next one comes");
    }
}

/* Stable's trouble is the canary's to help with, too. */
static void test_canary_answers_for_stable(void **state)
{
    struct house *h = *state;
    open_house(h, "ready fault", "ready");
    house_ask_all(h, asked, 10, ROUTING_TO_STABLE);
    for (int i = 0; i < 10; i++)
        assert_int_equal(asked[i].arm, ARM_CANARY);
    assert_int_equal(router_counts(h->router)->n_retried, 10);
    assert_int_equal(h->n_samples[ARM_STABLE] + h->n_samples[ARM_CANARY], 0);
}

static void test_stable_hangs_and_a_canary_is_ready(void **state)
{
    struct house *h = *state;
    h->settings->try_deadline_ms = 40;
    open_house(h, "ready hang", "ready");
    house_ask_all(h, asked, 10, ROUTING_BY_LOT);
    for (int i = 0; i < 10; i++)
        assert_true(asked[i].code[0] == '\0' && asked[i].arm == ARM_CANARY);
    assert_int_equal(router_counts(h->router)->n_fallbacks, 5);
    assert_int_equal(h->n_samples[ARM_CANARY], 5); /* its own, not those of stable */
    assert_int_equal(h->n_samples[ARM_STABLE], 0); /* a call that fails has no latency */
    assert_int_equal(h->n_outcomes[ARM_STABLE][OUTCOME_TIMEOUT], 5);
}

/* Even when one try may take all the time there is, another one gets its half. */
static void test_a_try_leaves_time_for_another(void **state)
{
    struct house *h = *state;
    h->settings->predict_deadline_ms = h->settings->try_deadline_ms = 2000;
    open_house(h, "ready", "ready hang");
    house_ask_all(h, asked, 3, ROUTING_TO_CANARY);
    for (int i = 0; i < 3; i++)
        assert_true(asked[i].code[0] == '\0' && asked[i].arm == ARM_STABLE);
}

/* It comes after its time, and to nobody: the request has its answer. */
static void test_a_late_answer_is_dropped(void **state)
{
    struct house *h = *state;
    h->settings->try_deadline_ms = 30;
    open_house(h, "ready", "ready slow=120");
    house_ask_all(h, asked, 1, ROUTING_TO_CANARY);
    assert_int_equal(asked[0].arm, ARM_STABLE);
    const struct proc *p = fleet_ready(h->fleet, ROLE_CANARY);
    loop_until(h->base, proc_counts(p).n_owed == 0);
    assert_int_equal(asked[0].n_done, 1);
    assert_int_equal(proc_counts(p).n[CALL_TIMEOUT], 1);
    assert_int_equal(proc_counts(p).n[CALL_OK], 0);
}

/* --- Forced routing ---------------------------------------------------------*/

static void test_forced_routing_is_never_a_sample(void **state)
{
    struct house *h = *state;
    open_house(h, "ready", "ready");
    house_ask_all(h, asked, 20, ROUTING_TO_CANARY);
    for (int i = 0; i < 20; i++)
        assert_int_equal(asked[i].arm, ARM_CANARY);
    house_ask_all(h, asked, 20, ROUTING_TO_STABLE);
    for (int i = 0; i < 20; i++)
        assert_int_equal(asked[i].arm, ARM_STABLE);
    assert_int_equal(h->n_samples[ARM_STABLE] + h->n_samples[ARM_CANARY], 0);
}

static void test_forced_to_a_canary_that_is_not_there(void **state)
{
    struct house *h = *state;
    house_start_evil(h, ROLE_STABLE, "ready");
    house_ask_all(h, asked, 3, ROUTING_TO_CANARY);
    for (int i = 0; i < 3; i++)
        assert_int_equal(asked[i].arm, ARM_STABLE);
}

/* --- Errors -----------------------------------------------------------------*/

static void assert_error(const struct asked *a, const char *code, const char *says)
{
    if (strcmp(a->code, code) != 0 || strstr(a->text, says) == NULL)
        fail_msg("%s: \"%s\", expected %s: \"%s\"", a->code, a->text, code, says);
}

static void test_all_models_fault(void **state)
{
    struct house *h = *state;
    house_start_evil(h, ROLE_STABLE, "ready fault");
    house_ask_all(h, asked, 1, ROUTING_BY_LOT);
    assert_error(&asked[0], "model-fault", EVIL_FAULT);
    house_start_evil(h, ROLE_CANARY, "ready fault");
    house_ask_all(h, asked, 1, ROUTING_TO_CANARY);
    assert_error(&asked[0], "model-fault", EVIL_FAULT);
    assert_int_equal(router_counts(h->router)->n_failed, 2);
    assert_int_equal(router_counts(h->router)->n_retried, 1);
}

/* A FAULT is the model's word, not the role's: another model may become stable. */
static void test_fault_of_a_model_that_goes(void **state)
{
    struct house *h = *state;
    open_house(h, "ready fault", "ready");
    for (int i = 1; i <= 2; i++) { /* the second death's restart takes 100 ms */
        assert_int_equal(kill(proc_pid(fleet_ready(h->fleet, ROLE_CANARY)), SIGKILL), 0);
        loop_until(h->base, h->n_buried == i && (i == 2 || h->n_up[ROLE_CANARY] == 2));
    }
    house_ask(h, &asked[0], ROUTING_BY_LOT);
    loop_until(h->base, router_counts(h->router)->n_waiting == 1); /* stable said FAULT */
    fleet_retire(h->fleet, ROLE_STABLE);
    fleet_move(h->fleet, ROLE_CANARY, ROLE_STABLE);
    house_await(h, asked, 1);
    assert_string_equal(asked[0].code, "");
    assert_int_equal(asked[0].arm, ARM_STABLE);
}

/* Waiting for a model that might know better has an end, and a reason. */
static void test_fault_while_the_other_model_is_away(void **state)
{
    struct house *h = *state;
    h->settings->predict_deadline_ms = 60;
    house_start_evil(h, ROLE_STABLE, "ready fault");
    evil_write("slow.json", "sleep");
    house_start(h, ROLE_CANARY, "slow.json");
    house_ask_all(h, asked, 1, ROUTING_BY_LOT);
    assert_error(&asked[0], "model-fault", EVIL_FAULT);
}

/* --- The retry budget -------------------------------------------------------*/

/* Full at the start, with 2 x max_in_flight; one token comes with a request. */
static void test_retry_budget(void **state)
{
    struct house *h = *state;
    h->settings->try_deadline_ms = 5;
    h->settings->max_in_flight = 4;
    router_set_settings(h->router, h->settings);
    house_start_evil(h, ROLE_STABLE, "ready hang");
    for (int i = 1; i <= 2; i++) {
        house_ask_all(h, asked, 1, ROUTING_BY_LOT);
        assert_error(&asked[0], "unavailable", "retry budget");
        assert_int_equal(router_counts(h->router)->n_over_budget, i);
        assert_int_equal(router_counts(h->router)->n_retried, i == 1 ? 2 * 4 : 2 * 4 + 1);
    }
}

static void test_retry_budget_is_enough_for_a_bad_canary(void **state)
{
    struct house *h = *state;
    h->settings->max_in_flight = 1;
    router_set_settings(h->router, h->settings);
    open_house(h, "ready", "ready fault");
    for (int i = 0; i < 200; i++) {
        house_ask_all(h, asked, 1, ROUTING_BY_LOT);
        assert_string_equal(asked[0].code, "");
    }
    assert_int_equal(router_counts(h->router)->n_retried, 100);
    assert_int_equal(router_counts(h->router)->n_over_budget, 0);
}

static void test_deadline(void **state)
{
    struct house *h = *state;
    h->settings->predict_deadline_ms = 150;
    h->settings->try_deadline_ms = 20;
    house_start_evil(h, ROLE_STABLE, "ready hang");
    int64_t began = clock_mono_ns();
    house_ask_all(h, asked, 2, ROUTING_BY_LOT);
    assert_error(&asked[0], "deadline", "predict_deadline_ms");
    assert_error(&asked[1], "deadline", "predict_deadline_ms");
    assert_true(clock_mono_ns() - began >= 150 * NS_PER_MS);
    assert_true(router_counts(h->router)->n_retried >= 2); /* it was not one try */
}

/* --- The door ---------------------------------------------------------------*/

/* Two in flight, as many as may be, on a stable that says nothing; one more at
 * the door. */
static void crowd(struct house *h)
{
    h->settings->max_in_flight = 2;
    house_start_evil(h, ROLE_STABLE, "ready hang");
    for (int i = 0; i < 3; i++)
        house_ask(h, &asked[i], ROUTING_BY_LOT);
    assert_int_equal(router_counts(h->router)->n_in_flight, 2);
    assert_int_equal(router_counts(h->router)->n_at_door, 1);
    assert_int_equal(router_counts(h->router)->n_requests, 2);
}

static void answer_first(struct house *h, int n)
{
    fleet_kill(h->fleet, ROLE_STABLE, "somebody who answers comes");
    house_start_evil(h, ROLE_STABLE, "ready");
    house_await(h, asked, n);
    for (int i = 0; i < n; i++)
        assert_string_equal(asked[i].code, "");
    assert_int_equal(router_counts(h->router)->n_in_flight, 0);
    assert_int_equal(router_counts(h->router)->n_at_door, 0);
}

static void test_overloaded(void **state)
{
    struct house *h = *state;
    crowd(h);
    house_await(h, asked + 2, 1);
    assert_error(&asked[2], "overloaded", "max_in_flight is 2");
    assert_int_equal(router_counts(h->router)->n_overloaded, 1);
    assert_int_equal(router_counts(h->router)->n_failed, 0);
    assert_int_equal(router_counts(h->router)->n_requests, 2);
    answer_first(h, 2);
}

/* Each turn of the loop refuses a few only, and refuses all in the end. */
static void test_a_crowd_is_overload(void **state)
{
    struct house *h = *state;
    crowd(h);
    for (int i = 3; i < MAX_ASKED; i++)
        house_ask(h, &asked[i], ROUTING_BY_LOT);
    house_await(h, asked + 2, MAX_ASKED - 2);
    for (int i = 2; i < MAX_ASKED; i++)
        assert_error(&asked[i], "overloaded", "2 requests are in flight");
    assert_int_equal(router_counts(h->router)->n_overloaded, MAX_ASKED - 2);
    answer_first(h, 2);
}

/* One in flight at a time, and nobody is refused: who ends lets the next one in,
 * in the order of their coming, and the lot stays exact. */
static void test_the_door_opens(void **state)
{
    struct house *h = *state;
    h->settings->max_in_flight = 1;
    open_house(h, "ready", "ready");
    house_ask_all(h, asked, 20, ROUTING_BY_LOT);
    int by_canary = 0, n_refused = 0;
    for (int i = 0; i < 20; i++) {
        n_refused += strcmp(asked[i].code, "overloaded") == 0; /* if we were not scheduled */
        by_canary += asked[i].code[0] == '\0' && asked[i].arm == ARM_CANARY;
    }
    assert_int_equal(router_counts(h->router)->n_requests, 20 - n_refused);
    assert_int_equal(h->n_samples[ARM_STABLE] + h->n_samples[ARM_CANARY], 20 - n_refused);
    assert_in_range(by_canary, (20 - n_refused) / 2, (20 - n_refused + 1) / 2);
}

static void test_a_reload_opens_the_door(void **state)
{
    struct house *h = *state;
    crowd(h);
    h->settings->max_in_flight = 3;
    router_set_settings(h->router, h->settings);
    loop_settle(h->base);
    assert_int_equal(router_counts(h->router)->n_at_door, 0);
    assert_int_equal(router_counts(h->router)->n_in_flight, 3);
    answer_first(h, 3);
}

static void test_stop_clears_the_door(void **state)
{
    struct house *h = *state;
    crowd(h);
    router_stop(h->router);
    assert_error(&asked[2], "unavailable", "stops");
    fleet_kill(h->fleet, ROLE_STABLE, "the test is over");
    house_await(h, asked, 2);
}

/* --- Waiting ----------------------------------------------------------------*/

static void test_waits_while_nobody_is_ready(void **state)
{
    struct house *h = *state;
    for (int i = 0; i < 10; i++)
        house_ask(h, &asked[i], ROUTING_BY_LOT);
    loop_settle(h->base);
    assert_int_equal(router_counts(h->router)->n_waiting, 10);
    assert_int_equal(router_n_features(h->router), 0);
    house_start_evil(h, ROLE_STABLE, "ready");
    house_await(h, asked, 10);
    for (int i = 0; i < 10; i++)
        assert_string_equal(asked[i].code, "");
    assert_int_equal(router_counts(h->router)->n_waiting, 0);
    assert_int_equal(router_n_features(h->router), EVIL_FEATURES);
}

static void test_waiting_has_a_deadline(void **state)
{
    struct house *h = *state;
    h->settings->predict_deadline_ms = 40;
    house_ask_all(h, asked, 3, ROUTING_BY_LOT);
    for (int i = 0; i < 3; i++)
        assert_error(&asked[i], "unavailable", "no worker became ready");
    assert_int_equal(router_counts(h->router)->n_waiting, 0);
}

/* The one in front may wait longer than those behind it. */
static void test_waiting_deadlines_in_any_order(void **state)
{
    struct house *h = *state;
    house_ask(h, &asked[0], ROUTING_BY_LOT);
    h->settings->predict_deadline_ms = 40;
    house_ask(h, &asked[1], ROUTING_BY_LOT);
    house_ask(h, &asked[2], ROUTING_BY_LOT);
    house_await(h, asked + 1, 2);
    assert_error(&asked[1], "unavailable", "no worker became ready");
    assert_int_equal(asked[0].n_done, 0);
    assert_int_equal(router_counts(h->router)->n_waiting, 1);
    house_start_evil(h, ROLE_STABLE, "ready");
    house_await(h, asked, 1);
    assert_string_equal(asked[0].code, "");
}

static void test_stop(void **state)
{
    struct house *h = *state;
    const double features[EVIL_FEATURES] = {0};
    struct err e = {0};
    house_ask(h, &asked[0], ROUTING_BY_LOT);
    router_stop(h->router);
    assert_error(&asked[0], "unavailable", "stops");
    assert_int_equal(
        router_predict(h->router, features, EVIL_FEATURES, &(struct wish){0}, NULL, NULL, &e), -1);
    assert_string_equal(e.code, "unavailable");
}

/* A canary of other inputs can't be asked, and does not keep others from it. */
static void test_wakes_all_that_wait(void **state)
{
    struct house *h = *state;
    for (int i = 0; i < 10; i++)
        house_ask(h, &asked[i], ROUTING_BY_LOT);
    house_start_evil(h, ROLE_CANARY, "ready=3");
    loop_settle(h->base);
    assert_int_equal(router_counts(h->router)->n_waiting, 10);
    house_start_evil(h, ROLE_STABLE, "ready");
    house_await(h, asked, 10);
    for (int i = 0; i < 10; i++)
        assert_int_equal(asked[i].arm, ARM_STABLE);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, house_setup_without_rollout, house_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_split_is_exact),
        TEST(test_answer_names_its_version),
        TEST(test_forced_routing_is_never_a_sample),
        TEST(test_forced_to_a_canary_that_is_not_there),
        TEST(test_what_a_canary_fails_stable_answers),
        TEST(test_canary_answers_for_stable),
        TEST(test_stable_hangs_and_a_canary_is_ready),
        TEST(test_a_try_leaves_time_for_another),
        TEST(test_a_late_answer_is_dropped),
        TEST(test_all_models_fault),
        TEST(test_fault_of_a_model_that_goes),
        TEST(test_fault_while_the_other_model_is_away),
        TEST(test_retry_budget),
        TEST(test_retry_budget_is_enough_for_a_bad_canary),
        TEST(test_deadline),
        TEST(test_overloaded),
        TEST(test_a_crowd_is_overload),
        TEST(test_the_door_opens),
        TEST(test_a_reload_opens_the_door),
        TEST(test_stop_clears_the_door),
        TEST(test_waits_while_nobody_is_ready),
        TEST(test_waiting_has_a_deadline),
        TEST(test_waiting_deadlines_in_any_order),
        TEST(test_wakes_all_that_wait),
        TEST(test_stop),
    };
    return cmocka_run_group_tests_name("router", tests, NULL, NULL);
}
