/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Calls over a channel: each ends exactly once, as OK, FAULT, TIMEOUT or LOST,
 * whatever the worker at the other end does. That end is the test's.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>
#include <event2/event.h>

#include "common/clock.h"
#include "common/fdio.h"
#include "supervisor/channel.h"
#include "tests/support/channel_fixture.h"
#include "tests/support/loop.h"

#define MAX_CALLS 3000

static struct channel_fixture f;

/* How each call ended. */
static struct call_record {
    int n_done;
    enum call_outcome outcome;
    int64_t start_ns, round_trip_ns, service_ns, ended_ns;
    size_t n_outputs;
    double output;
    char text[64];
    int order; /* 1: it was the first to end */
} calls[MAX_CALLS];

static int n_done;

static void on_done(void *arg, const struct call_result *r)
{
    struct call_record *call = arg;
    call->n_done++;
    call->outcome = r->outcome;
    call->start_ns = r->start_ns;
    call->round_trip_ns = r->round_trip_ns;
    call->service_ns = r->service_ns;
    call->ended_ns = clock_mono_ns();
    call->n_outputs = r->n_outputs;
    call->order = ++n_done;
    if (r->outcome == CALL_OK)
        call->output = r->outputs[0];
    if (r->outcome == CALL_FAULT)
        snprintf(call->text, sizeof call->text, "%s", r->text);
}

static int setup_with(int type)
{
    memset(calls, 0, sizeof calls);
    n_done = 0;
    return channel_fixture_open(&f, type);
}

static int setup(void **state)
{
    (void)state;
    return setup_with(SOCK_STREAM);
}

/* Records: one recv(2) here is one send(2) there. */
static int setup_records(void **state)
{
    (void)state;
    return setup_with(SOCK_SEQPACKET);
}

static int teardown(void **state)
{
    (void)state;
    channel_fixture_close(&f);
    return 0;
}

/* Call i asks for the feature i. */
static void ask(size_t i, int64_t deadline_ns)
{
    const double features[] = {(double)i, 0.5};
    int before = n_done;
    channel_predict(f.channel, features, 2, 1, deadline_ns, on_done, &calls[i]);
    assert_int_equal(n_done, before); /* never from inside the call */
}

/* Turns the loop until the worker has been asked n times in all. */
static void wait_until_asked(size_t n)
{
    int64_t end_ns = clock_mono_ns() + 20 * NS_PER_SEC;
    while (f.peer.n_asked < n) {
        event_base_loop(f.base, EVLOOP_NONBLOCK);
        peer_read(&f.peer);
        assert_true(clock_mono_ns() < end_ns);
    }
}

static void assert_ended(size_t i, enum call_outcome outcome)
{
    if (calls[i].n_done != 1 || calls[i].outcome != outcome)
        fail_msg("call %zu: %d times, outcome %d, not %d", i, calls[i].n_done,
                 (int)calls[i].outcome, (int)outcome);
}

/* --- One call ---------------------------------------------------------------*/

static void test_ok(void **state)
{
    int64_t before_ns = clock_mono_ns();
    (void)state;
    assert_true(channel_silent_since(f.channel) == 0);
    ask(0, CHANNEL_LATER);
    assert_int_equal(channel_n_in_flight(f.channel), 1);
    wait_until_asked(1);
    assert_true(f.peer.first[0] == 0);
    peer_answer(&f.peer, f.peer.asked[0], 0.75);
    loop_until(f.base, n_done >= 1);
    assert_ended(0, CALL_OK);
    assert_true(calls[0].output == 0.75);
    assert_int_equal(calls[0].n_outputs, 1);
    assert_int_equal(calls[0].service_ns, 1234);
    assert_true(calls[0].start_ns >= before_ns);
    assert_true(calls[0].round_trip_ns > 0);
    assert_true(calls[0].start_ns + calls[0].round_trip_ns <= calls[0].ended_ns);
    assert_int_equal(f.n_ended, 1);
    assert_int_equal(channel_n_in_flight(f.channel), 0);
    assert_true(channel_silent_since(f.channel) == 0);
}

static void test_fault(void **state)
{
    (void)state;
    ask(0, CHANNEL_LATER);
    wait_until_asked(1);
    codec_put_fault(&f.peer.out, f.peer.asked[0], "5 features, not 2");
    peer_send(&f.peer);
    loop_until(f.base, n_done >= 1);
    assert_ended(0, CALL_FAULT);
    assert_string_equal(calls[0].text, "5 features, not 2");
    assert_int_equal(f.n_ended, 1);
    assert_int_equal(f.n_broken, 0);
}

static void test_huge_service_time(void **state)
{
    const double output = 1;
    (void)state;
    ask(0, CHANNEL_LATER);
    wait_until_asked(1);
    codec_put_result(&f.peer.out, f.peer.asked[0], &output, 1, UINT64_MAX);
    peer_send(&f.peer);
    loop_until(f.base, n_done >= 1);
    assert_true(calls[0].service_ns == INT64_MAX);
}

/* The answer that comes after all is dropped, and no longer owed. */
static void test_timeout_and_late_answer(void **state)
{
    (void)state;
    int64_t deadline_ns = clock_mono_ns() + 10 * NS_PER_MS;
    ask(0, deadline_ns);
    wait_until_asked(1);
    loop_until(f.base, n_done >= 1);
    assert_ended(0, CALL_TIMEOUT);
    assert_true(calls[0].ended_ns >= deadline_ns);
    assert_int_equal(f.n_ended, 1);
    assert_int_equal(channel_n_in_flight(f.channel), 0);
    assert_true(channel_silent_since(f.channel) == calls[0].start_ns);
    ask(1, CHANNEL_LATER); /* does not take the owed slot */
    wait_until_asked(2);
    assert_true(f.peer.asked[0] != f.peer.asked[1]);
    peer_answer(&f.peer, f.peer.asked[0], 1);
    peer_answer(&f.peer, f.peer.asked[1], 2);
    loop_until(f.base, n_done >= 2);
    assert_ended(0, CALL_TIMEOUT);
    assert_ended(1, CALL_OK);
    assert_true(calls[1].output == 2);
    assert_int_equal(f.n_ended, 2);
    assert_int_equal(f.n_broken, 0);
    assert_true(channel_silent_since(f.channel) == 0);
}

static void test_a_deadline_that_has_passed(void **state)
{
    static const int64_t deadlines[] = {0, -1, INT64_MIN, 1};
    (void)state;
    for (size_t i = 0; i < 4; i++)
        ask(i, deadlines[i]);
    loop_until(f.base, n_done >= 4);
    for (size_t i = 0; i < 4; i++)
        assert_ended(i, CALL_TIMEOUT);
}

static void test_lost(void **state)
{
    (void)state;
    for (size_t i = 0; i < 5; i++)
        ask(i, i == 0 ? 0 : CHANNEL_LATER);
    wait_until_asked(5);
    peer_answer(&f.peer, f.peer.asked[1], 1);
    loop_until(f.base, n_done >= 2);
    channel_free(&f.channel);
    assert_null(f.channel);
    assert_ended(0, CALL_TIMEOUT);
    assert_ended(1, CALL_OK);
    for (size_t i = 2; i < 5; i++)
        assert_ended(i, CALL_LOST);
    assert_int_equal(f.n_ended, 5);
}

static void test_lost_before_it_was_sent(void **state)
{
    (void)state;
    ask(0, CHANNEL_LATER);
    channel_free(&f.channel);
    assert_ended(0, CALL_LOST);
    assert_int_equal(peer_read(&f.peer), 0);
}

/* --- Many calls -------------------------------------------------------------*/

/* What is asked in one turn of the loop leaves in one write. */
static void test_one_write_for_a_turn(void **state)
{
    (void)state;
    for (size_t i = 0; i < 100; i++)
        ask(i, CHANNEL_LATER);
    channel_delay(f.channel, 1.5);
    channel_quit(f.channel);
    wait_until_asked(100);
    assert_int_equal(f.peer.n_reads, 1);
    assert_int_equal(f.peer.n_delays, 1);
    assert_int_equal(f.peer.n_quits, 1);
    for (size_t i = 0; i < 100; i++)
        assert_true(f.peer.first[i] == (double)i); /* in order */
    ask(100, CHANNEL_LATER);
    wait_until_asked(101);
    assert_int_equal(f.peer.n_reads, 2);
}

/* Deadlines fire in their order, whatever the order of the calls. */
static void test_deadlines_in_order(void **state)
{
    enum { N = 200 };
    int64_t start_ns = clock_mono_ns();
    int64_t deadlines[N];
    size_t by_order[N + 1];
    (void)state;
    for (size_t i = 0; i < N; i++) {
        deadlines[i] = start_ns + (int64_t)(i * 73 % N) * NS_PER_MS / 4;
        ask(i, deadlines[i]);
    }
    loop_until(f.base, n_done >= N);
    for (size_t i = 0; i < N; i++) {
        assert_ended(i, CALL_TIMEOUT);
        assert_true(calls[i].ended_ns >= deadlines[i]);
        by_order[calls[i].order] = i;
    }
    for (size_t k = 1; k < N; k++)
        assert_true(deadlines[by_order[k]] < deadlines[by_order[k + 1]]);
}

/* An earlier deadline than the one the timer is set for is kept too. */
static void test_an_earlier_deadline_later(void **state)
{
    (void)state;
    ask(0, CHANNEL_LATER);
    ask(1, clock_mono_ns() + 300 * NS_PER_MS);
    event_base_loop(f.base, EVLOOP_NONBLOCK);
    ask(2, clock_mono_ns() + 5 * NS_PER_MS);
    loop_until(f.base, n_done >= 1);
    assert_ended(2, CALL_TIMEOUT);
    loop_until(f.base, n_done >= 2);
    assert_ended(1, CALL_TIMEOUT);
    assert_int_equal(calls[0].n_done, 0);
}

static void test_a_long_table(void **state)
{
    (void)state;
    for (size_t i = 0; i < MAX_CALLS; i++)
        ask(i, CHANNEL_LATER);
    assert_int_equal(channel_n_in_flight(f.channel), MAX_CALLS);
    wait_until_asked(MAX_CALLS);
    /* Answers in another order than the questions, a few at a time. */
    for (size_t k = 0; k < MAX_CALLS; k++) {
        size_t i = k * 1009 % MAX_CALLS;
        peer_answer(&f.peer, f.peer.asked[i], f.peer.first[i] + 0.5);
        if (k % 100 == 99)
            loop_until(f.base, n_done >= (int)k + 1);
    }
    for (size_t i = 0; i < MAX_CALLS; i++) {
        assert_ended(i, CALL_OK);
        assert_true(calls[i].output == (double)i + 0.5);
    }
    assert_int_equal(f.n_ended, MAX_CALLS);
    assert_int_equal(channel_n_in_flight(f.channel), 0);
    assert_true(channel_silent_since(f.channel) == 0);
}

/* A worker that reads slowly: everything arrives, in order. */
static void test_a_full_socket(void **state)
{
    static double features[20000];
    const int small = 4096;
    (void)state;
    assert_int_equal(setsockopt(f.channel_fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof small), 0);
    for (size_t i = 0; i < 10; i++) {
        features[0] = (double)i;
        channel_predict(f.channel, features, 20000, 1, CHANNEL_LATER, on_done, &calls[i]);
    }
    wait_until_asked(10);
    assert_true(f.peer.n_reads > 20);
    for (size_t i = 0; i < 10; i++)
        assert_true(f.peer.first[i] == (double)i);
}

/* A callback may ask again, though the table grows under it. */
static void ask_again(void *arg, const struct call_result *r)
{
    struct call_record *call = arg;
    const double feature = 1;
    on_done(arg, r);
    for (int k = 1; k <= 2 && call + k < calls + 500 && r->outcome != CALL_LOST; k++)
        if (call[k].n_done == 0 && call[k].start_ns == 0) {
            call[k].start_ns = -1; /* asked */
            channel_predict(f.channel, &feature, 1, 1, CHANNEL_LATER, ask_again, &call[k]);
        }
}

static void test_callbacks_ask_again(void **state)
{
    const double feature = 1;
    size_t answered = 0;
    (void)state;
    for (size_t i = 0; i < 500; i += 100) {
        calls[i].start_ns = -1;
        channel_predict(f.channel, &feature, 1, 1, i == 0 ? 0 : CHANNEL_LATER, ask_again,
                        &calls[i]);
        if (i == 0)
            loop_until(f.base, n_done >= 1); /* from the timer too */
    }
    while (n_done < 500) {
        wait_until_asked(answered + 1);
        for (; answered < f.peer.n_asked; answered++)
            peer_answer(&f.peer, f.peer.asked[answered], 1);
        event_base_loop(f.base, EVLOOP_NONBLOCK);
    }
    for (size_t i = 0; i < 500; i++)
        assert_ended(i, i == 0 ? CALL_TIMEOUT : CALL_OK);
    assert_int_equal(f.n_broken, 0);
}

static void test_silence(void **state)
{
    (void)state;
    ask(0, CHANNEL_LATER);
    int64_t since = channel_silent_since(f.channel);
    assert_true(since > 0 && since <= clock_mono_ns());
    ask(1, 0); /* a further call does not move it, nor does a timeout */
    loop_until(f.base, n_done >= 1);
    assert_true(channel_silent_since(f.channel) == since);
    wait_until_asked(2);
    peer_answer(&f.peer, f.peer.asked[0], 1);
    loop_until(f.base, n_done >= 2);
    int64_t later = channel_silent_since(f.channel); /* it owes the other one still */
    assert_true(later > since);
    assert_int_equal(channel_n_in_flight(f.channel), 0);
    peer_answer(&f.peer, f.peer.asked[1], 1);
    codec_put_refuse(&f.peer.out, ""); /* to know that it was read */
    peer_send(&f.peer);
    loop_until(f.base, f.n_messages >= 1);
    assert_true(channel_silent_since(f.channel) == 0);
    ask(2, CHANNEL_LATER); /* the silence begins anew */
    assert_true(channel_silent_since(f.channel) > later);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_ok),
        CASE(test_fault),
        CASE(test_huge_service_time),
        CASE(test_timeout_and_late_answer),
        CASE(test_a_deadline_that_has_passed),
        CASE(test_lost),
        CASE(test_lost_before_it_was_sent),
        cmocka_unit_test_setup_teardown(test_one_write_for_a_turn, setup_records, teardown),
        CASE(test_deadlines_in_order),
        CASE(test_an_earlier_deadline_later),
        CASE(test_a_long_table),
        CASE(test_a_full_socket),
        CASE(test_callbacks_ask_again),
        CASE(test_silence),
    };
    return cmocka_run_group_tests_name("channel", tests, NULL, NULL);
}
