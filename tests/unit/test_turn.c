/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Long turns of the loop, and which calls they stall.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <event2/event.h>

#include "common/clock.h"
#include "supervisor/turn.h"

/* What the next turns do, each for so long, and what was found at their ends. */
struct step {
    int ms;      /* of work */
    bool before; /* found: begun before the turn before */
    bool during; /* found: begun in the midst of it */
    bool since;  /* found: begun since it ended */
};

static struct {
    struct event_base *base;
    struct turn *turn;
    struct event *event;
    struct step *steps;
    int n_steps, i;
    int64_t began_ns, amid_ns; /* the turn before */
} x;

static int setup(void **state)
{
    (void)state;
    x.base = event_base_new();
    x.turn = turn_new(x.base);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    turn_free(&x.turn);
    turn_free(&x.turn);
    event_base_free(x.base);
    return 0;
}

static void work(int ms)
{
    int64_t end_ns = clock_mono_ns() + ms * NS_PER_MS;
    while (clock_mono_ns() < end_ns)
        continue;
}

static void on_event(evutil_socket_t fd, short what, void *arg)
{
    struct step *s = &x.steps[x.i++];
    const struct timeval soon = {.tv_usec = 1000};
    (void)fd, (void)what, (void)arg;
    s->before = turn_has_stalled(x.turn, x.began_ns);
    s->during = turn_has_stalled(x.turn, x.amid_ns);
    s->since = turn_has_stalled(x.turn, clock_mono_ns());
    x.began_ns = clock_mono_ns();
    work(s->ms / 2);
    x.amid_ns = clock_mono_ns();
    work(s->ms - s->ms / 2);
    if (x.i < x.n_steps)
        event_add(x.event, &soon);
    else
        event_base_loopbreak(x.base);
}

static void run(struct step *steps, int n)
{
    x.steps = steps;
    x.n_steps = n;
    x.i = 0;
    x.began_ns = x.amid_ns = clock_mono_ns();
    x.event = event_new(x.base, -1, 0, on_event, NULL);
    event_active(x.event, EV_TIMEOUT, 0);
    turn_run(x.turn);
    assert_int_equal(x.i, n);
    event_free(x.event);
}

/* Who was in flight at any moment of it, but nobody who began later. */
static void test_a_long_turn_stalls_who_was_in_flight(void **state)
{
    struct step steps[4] = {{.ms = 25}, {.ms = 0}, {.ms = 40}, {.ms = 0}};
    (void)state;
    run(steps, 4);
    assert_true(turn_n_long(x.turn) >= 2);
    for (int i = 1; i < 4; i += 2)
        assert_true(steps[i].before && steps[i].during && !steps[i].since);
}

/* At its own end already, for whom it completes. */
static bool inside;

static void on_busy(evutil_socket_t fd, short what, void *arg)
{
    int64_t since = clock_mono_ns();
    (void)fd, (void)what, (void)arg;
    assert_false(turn_has_stalled(x.turn, since));
    work(20);
    inside = turn_has_stalled(x.turn, since) && turn_has_stalled(x.turn, since - NS_PER_SEC);
    turn_has_stalled(x.turn, since);
    event_base_loopbreak(x.base);
}

static void test_at_the_end_of_the_turn_itself(void **state)
{
    (void)state;
    x.event = event_new(x.base, -1, 0, on_busy, NULL);
    event_active(x.event, EV_TIMEOUT, 0);
    turn_run(x.turn);
    assert_true(inside);
    assert_int_equal(turn_n_long(x.turn), 1); /* however often one asks */
    event_free(x.event);
}

/* Where nobody turns it, a test's own loop for instance, nothing is known. */
static void test_a_loop_of_somebody_else_s(void **state)
{
    (void)state;
    int64_t since = clock_mono_ns();
    work(12);
    assert_false(turn_has_stalled(x.turn, since));
    assert_int_equal(turn_n_long(x.turn), 0);
}

static void test_ends_when_there_is_nothing_to_wait_for(void **state)
{
    (void)state;
    turn_run(x.turn);
    turn_run(x.turn);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_long_turn_stalls_who_was_in_flight),
        TEST(test_at_the_end_of_the_turn_itself),
        TEST(test_a_loop_of_somebody_else_s),
        TEST(test_ends_when_there_is_nothing_to_wait_for),
    };
    return cmocka_run_group_tests_name("turn", tests, NULL, NULL);
}
