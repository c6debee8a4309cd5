/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What the judge is told of draws: each once, as what it became, whatever
 * happened to the request meanwhile; and when a round trip is of no use.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <event2/event.h>

#include "common/clock.h"
#include "supervisor/proc.h"
#include "supervisor/settings.h"
#include "supervisor/turn.h"
#include "tests/support/house.h"

#define N          200
#define N_IN_PAUSE 20

static struct asked asked[N];

static int n_told(const struct house *h)
{
    int n = 0;
    for (int arm = 0; arm < N_ARMS; arm++)
        for (int outcome = 0; outcome < N_OUTCOMES; outcome++)
            n += h->n_outcomes[arm][outcome];
    return n;
}

static void open_house(struct house *h, const char *stable, const char *baseline,
                       const char *canary)
{
    const char *const scripts[] = {
        [ROLE_STABLE] = stable, [ROLE_BASELINE] = baseline, [ROLE_CANARY] = canary};
    for (enum role role = ROLE_STABLE; role <= ROLE_CANARY; role++) {
        fleet_kill(h->fleet, role, "the next one comes");
        if (scripts[role] != NULL)
            house_start_evil(h, role, scripts[role]);
    }
    router_set_share(h->router, 10, true);
    memset(h->n_outcomes, 0, sizeof h->n_outcomes);
    memset(h->n_samples, 0, sizeof h->n_samples);
}

static const struct {
    const char *stable, *baseline, *canary; /* NULL: there is none */
    int n[N_ARMS][N_OUTCOMES];              /* of 200 draws: 160, 20 and 20 */
} troubles[] = {
    {"ready", "ready", "ready", {{160}, {20}, {20}}},
    {"ready", "ready fault", "ready fault", {{160}, {0, 20}, {0, 20}}},
    {"ready", NULL, "ready", {{160}, {[OUTCOME_UNASKED] = 20}, {20}}},
    {"ready", "ready", NULL, {{160}, {20}, {[OUTCOME_UNASKED] = 20}}},
    {NULL, "ready", "ready", {{[OUTCOME_UNASKED] = 160}, {20}, {20}}},
    {"ready", "ready hang", "ready hang", {{160}, {0, 0, 20}, {0, 0, 20}}},
};

static void test_each_draw_is_told_once(void **state)
{
    struct house *h = *state;
    for (size_t i = 0; i < sizeof troubles / sizeof troubles[0]; i++) {
        h->settings->try_deadline_ms =
            troubles[i].baseline != NULL && strstr(troubles[i].baseline, "hang") != NULL ? 100
                                                                                         : 60000;
        open_house(h, troubles[i].stable, troubles[i].baseline, troubles[i].canary);
        house_ask_all(h, asked, N, ROUTING_BY_LOT);
        if (memcmp(h->n_outcomes, troubles[i].n, sizeof h->n_outcomes) != 0)
            fail_msg("case %zu: %d + %d + %d told as ok, %d in all", i, h->n_outcomes[0][0],
                     h->n_outcomes[1][0], h->n_outcomes[2][0], n_told(h));
    }
}

/* Deaths lose what is in flight, and what comes while nobody is there waits. */
static void test_each_draw_is_told_once_whoever_dies(void **state)
{
    struct house *h = *state;
    open_house(h, "ready good=60 die", "ready good=3 die", "ready good=3 die");
    house_ask_all(h, asked, N, ROUTING_BY_LOT);
    assert_int_equal(n_told(h), N);
    assert_true(h->n_outcomes[ARM_BASELINE][OUTCOME_DEATH] > 0);
    assert_true(h->n_outcomes[ARM_CANARY][OUTCOME_DEATH] > 0);
}

/* Stable's answers in the place of a baseline that is not there yet are stable's samples. */
static void test_stable_stands_in(void **state)
{
    struct house *h = *state;
    open_house(h, "ready", NULL, "ready");
    house_ask_all(h, asked, N, ROUTING_BY_LOT);
    assert_int_equal(h->n_samples[ARM_STABLE], 180);
    assert_int_equal(h->n_samples[ARM_CANARY], 20);
    open_house(h, "ready", "ready", NULL); /* but not in that of the canary */
    house_ask_all(h, asked, N, ROUTING_BY_LOT);
    assert_int_equal(h->n_samples[ARM_STABLE], 160);
}

static void test_forced_ones_are_no_draws(void **state)
{
    struct house *h = *state;
    open_house(h, "ready", "ready", "ready");
    house_ask_all(h, asked, 50, ROUTING_TO_CANARY);
    house_ask_all(h, asked, 50, ROUTING_TO_STABLE);
    assert_int_equal(n_told(h), 0);
    assert_int_equal(router_counts(h->router)->n_forced, 100);
    router_set_share(h->router, 0, false); /* nor is there a lot without a share */
    house_ask_all(h, asked, 50, ROUTING_BY_LOT);
    assert_int_equal(n_told(h), 0);
    assert_int_equal(h->n_samples[ARM_STABLE], 50);
}

/* Each of them has an arm, which is the same at every request and not the lot's; and
 * they are draws like others. Another salt shuffles them. */
static void test_users_have_their_arm(void **state)
{
    struct house *h = *state;
    struct asked one;
    open_house(h, "ready", "ready", "ready");
    router_set_share(h->router, 25, true);
    router_set_salt(h->router, "v2");
    int n_canary = 0, n_moved = 0;
    for (int user = 0; user < N; user++) {
        house_ask_with(h, &asked[user], ROUTING_BY_USER, user);
        house_await(h, &asked[user], 1);
        house_ask_with(h, &one, ROUTING_BY_USER, user);
        house_await(h, &one, 1);
        assert_int_equal(one.arm, asked[user].arm);
        n_canary += one.arm == ARM_CANARY;
    }
    assert_in_range(n_canary, 25, 75); /* the hash is a fixed one: this can't flicker */
    assert_int_equal(n_told(h), 2 * N);
    assert_int_equal(router_counts(h->router)->n_by_user, 2 * N);
    router_set_salt(h->router, "v3");
    for (int user = 0; user < N; user++) {
        house_ask_with(h, &one, ROUTING_BY_USER, user);
        house_await(h, &one, 1);
        n_moved += one.arm != asked[user].arm;
    }
    assert_in_range(n_moved, N / 4, N);
}

/* What was asked is lost by our own doing, and that is not held against anybody. */
static void test_a_worker_that_was_let_go(void **state)
{
    struct house *h = *state;
    open_house(h, "ready", "ready", "ready hang");
    for (int i = 0; i < N; i++)
        house_ask(h, &asked[i], ROUTING_BY_LOT);
    loop_until(h->base, h->n_outcomes[ARM_STABLE][OUTCOME_OK] == 160);
    fleet_kill(h->fleet, ROLE_CANARY, "rolled back");
    house_await(h, asked, N);
    assert_int_equal(n_told(h), N);
    assert_int_equal(h->n_outcomes[ARM_CANARY][OUTCOME_UNASKED], 20);
}

/* --- Long turns -------------------------------------------------------------*/

static void pause_for_a_while(evutil_socket_t fd, short what, void *arg)
{
    int64_t end_ns = clock_mono_ns() + 3 * TURN_LONG_MS * NS_PER_MS;
    (void)fd, (void)what, (void)arg;
    while (clock_mono_ns() < end_ns)
        continue;
}

static void break_when_done(evutil_socket_t fd, short what, void *arg)
{
    struct house *h = arg;
    (void)fd, (void)what;
    if (n_told(h) == N_IN_PAUSE)
        event_base_loopbreak(h->base);
}

/* Every call that was in flight, whichever arm it was of. */
static void test_a_pause_of_our_own_stalls_whatever_is_in_flight(void **state)
{
    struct house *h = *state;
    const struct timeval soon = {.tv_usec = 5000}, often = {.tv_usec = 1000};
    open_house(h, "ready slow=30", "ready slow=30", "ready slow=30");
    struct event *pause = evtimer_new(h->base, pause_for_a_while, h);
    struct event *look = event_new(h->base, -1, EV_PERSIST, break_when_done, h);
    for (int i = 0; i < N_IN_PAUSE; i++)
        house_ask(h, &asked[i], ROUTING_BY_LOT);
    evtimer_add(pause, &soon);
    event_add(look, &often);
    turn_run(h->turn);
    event_free(pause);
    event_free(look);
    house_await(h, asked, N_IN_PAUSE);
    assert_int_equal(router_counts(h->router)->n_stalled, N_IN_PAUSE);
    assert_true(turn_n_long(h->turn) > 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, house_setup_without_rollout, house_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_each_draw_is_told_once),
        TEST(test_each_draw_is_told_once_whoever_dies),
        TEST(test_stable_stands_in),
        TEST(test_forced_ones_are_no_draws),
        TEST(test_users_have_their_arm),
        TEST(test_a_worker_that_was_let_go),
        TEST(test_a_pause_of_our_own_stalls_whatever_is_in_flight),
    };
    return cmocka_run_group_tests_name("draws", tests, NULL, NULL);
}
