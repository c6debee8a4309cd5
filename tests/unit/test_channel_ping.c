/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What a channel knows of a worker that says nothing: its PONG, a frame that it
 * began, a queue that it does not read.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>
#include <event2/event.h>

#include "common/clock.h"
#include "common/mem.h"
#include "supervisor/channel.h"
#include "tests/support/channel_fixture.h"
#include "tests/support/loop.h"

static struct channel_fixture f;
static int n_done;

static void on_done(void *arg, const struct call_result *r)
{
    (void)arg, (void)r;
    n_done++;
}

static int setup(void **state)
{
    (void)state;
    n_done = 0;
    return channel_fixture_open(&f, SOCK_STREAM);
}

static int teardown(void **state)
{
    (void)state;
    channel_fixture_close(&f);
    return 0;
}

static void ask(const double *features, size_t n)
{
    channel_predict(f.channel, features, n, 1, CHANNEL_LATER, on_done, NULL);
}

static void wait_for_ping(size_t n)
{
    int64_t end_ns = loop_deadline();
    while (f.peer.n_pings < n) {
        event_base_loop(f.base, EVLOOP_NONBLOCK);
        peer_read(&f.peer);
        assert_true(clock_mono_ns() < end_ns);
    }
}

static void test_ping_and_pong(void **state)
{
    (void)state;
    uint64_t first_id = 0;
    for (size_t i = 1; i <= 3; i++) {
        int64_t before = clock_mono_ns();
        channel_ping(f.channel);
        assert_true(channel_silent_since(f.channel) >= before); /* the PONG is owed */
        wait_for_ping(i);
        channel_ping(f.channel); /* one at a time */
        event_base_loop(f.base, EVLOOP_NONBLOCK);
        peer_read(&f.peer);
        assert_int_equal(f.peer.n_pings, i);
        assert_true(f.peer.ping != 0 && f.peer.ping != first_id);
        first_id = f.peer.ping;
        codec_put_pong(&f.peer.out, f.peer.ping);
        peer_send(&f.peer);
        loop_until(f.base, channel_silent_since(f.channel) == 0);
        assert_true(channel_heard(f.channel) > before);
    }
    assert_int_equal(f.n_broken, 0);
    assert_int_equal(f.n_messages, 0); /* nobody else's business */
    assert_int_equal(channel_n_in_flight(f.channel), 0);
}

static void test_the_same_pong_twice(void **state)
{
    (void)state;
    channel_ping(f.channel);
    wait_for_ping(1);
    codec_put_pong(&f.peer.out, f.peer.ping);
    codec_put_pong(&f.peer.out, f.peer.ping);
    peer_send(&f.peer);
    loop_until(f.base, f.n_broken >= 1);
    assert_string_equal(f.broken_text, "it sent a PONG that nobody asked for");
}

static void test_a_pong_of_another_id(void **state)
{
    static const uint64_t ids[] = {0, 1, UINT64_MAX};
    (void)state;
    for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++) {
        channel_ping(f.channel);
        wait_for_ping(1);
        codec_put_pong(&f.peer.out, ids[i] == 1 ? f.peer.ping ^ 2 : ids[i]);
        peer_send(&f.peer);
        loop_until(f.base, f.n_broken >= 1);
        assert_string_equal(f.broken_text, "its PONG has not the id of our PING");
        teardown(state);
        assert_int_equal(setup(state), 0);
    }
}

/* A call behind a PING that is not answered: the silence is the PING's, and the
 * answer to the call ends only the call. */
static void test_a_call_behind_a_ping(void **state)
{
    const double feature = 1;
    (void)state;
    channel_ping(f.channel);
    int64_t since = channel_silent_since(f.channel);
    ask(&feature, 1);
    assert_true(channel_silent_since(f.channel) == since);
    wait_for_ping(1);
    assert_int_equal(f.peer.n_asked, 1);
    peer_answer(&f.peer, f.peer.asked[0], 1);
    loop_until(f.base, n_done >= 1);
    assert_true(channel_silent_since(f.channel) > since);
    codec_put_pong(&f.peer.out, f.peer.ping); /* answers come in any order */
    peer_send(&f.peer);
    loop_until(f.base, channel_silent_since(f.channel) == 0);
    assert_int_equal(f.n_broken, 0);
}

static void put_byte(int64_t *since)
{
    assert_int_equal(send(f.peer.fd, f.peer.out.bytes + f.peer.out.start++, 1, MSG_NOSIGNAL), 1);
    loop_settle(f.base);
    *since = channel_frame_since(f.channel);
}

/* From its first byte to its last, however slowly they come. */
static void test_a_frame_that_began(void **state)
{
    int64_t since, first;
    (void)state;
    assert_true(channel_frame_since(f.channel) == 0);
    codec_put_refuse(&f.peer.out, "no");
    put_byte(&first);
    assert_true(first > 0 && first <= clock_mono_ns());
    while (frame_writer_pending(&f.peer.out) > 1) {
        put_byte(&since);
        assert_true(since == first);
    }
    assert_int_equal(f.n_messages, 0);
    put_byte(&since);
    assert_int_equal(f.n_messages, 1);
    assert_true(since == 0);
}

/* The end of one frame and the beginning of the next in one read. */
static void test_a_frame_behind_another(void **state)
{
    int64_t first, since;
    (void)state;
    codec_put_refuse(&f.peer.out, "one");
    codec_put_refuse(&f.peer.out, "two");
    put_byte(&first);
    size_t n = frame_writer_pending(&f.peer.out) - 1;
    assert_int_equal(send(f.peer.fd, f.peer.out.bytes + f.peer.out.start, n, MSG_NOSIGNAL), n);
    f.peer.out.start += n;
    loop_until(f.base, f.n_messages >= 1);
    assert_true(channel_frame_since(f.channel) > first);
    put_byte(&since);
    assert_int_equal(f.n_messages, 2);
    assert_true(since == 0);
}

/* Requests of a megabyte: 8 of them may wait, then it has to take some. */
static void test_a_queue_that_is_not_read(void **state)
{
    double *features = mem_array(WIRE_MAX_FEATURES, sizeof *features);
    (void)state;
    for (int i = 0; i < 7; i++) {
        ask(features, WIRE_MAX_FEATURES);
        loop_settle(f.base);
        assert_true(channel_stuck_since(f.channel) == 0);
    }
    for (int i = 0; i < 3; i++)
        ask(features, WIRE_MAX_FEATURES);
    loop_settle(f.base);
    int64_t since = channel_stuck_since(f.channel);
    assert_true(since > 0 && since <= clock_mono_ns());
    ask(features, WIRE_MAX_FEATURES);
    loop_settle(f.base);
    assert_true(channel_stuck_since(f.channel) == since);
    int64_t end_ns = loop_deadline();
    peer_read(&f.peer); /* it takes what the socket holds */
    loop_until(f.base, channel_stuck_since(f.channel) != since);
    while (f.peer.n_asked < 11) {
        event_base_loop(f.base, EVLOOP_NONBLOCK);
        peer_read(&f.peer);
        assert_true(clock_mono_ns() < end_ns);
    }
    assert_true(channel_stuck_since(f.channel) == 0);
    assert_int_equal(f.n_broken, 0);
    free(features);
}

/* What we hold for one worker is bounded, whatever it does. */
static void test_a_queue_without_end(void **state)
{
    double *features = mem_array(WIRE_MAX_FEATURES, sizeof *features);
    (void)state;
    for (int i = 0; i < 300 && f.n_broken == 0; i++) {
        ask(features, WIRE_MAX_FEATURES);
        event_base_loop(f.base, EVLOOP_NONBLOCK);
    }
    assert_int_equal(f.n_broken, 1);
    assert_non_null(strstr(f.broken_text, "more than 256 MiB waited for it"));
    assert_int_equal(n_done, 0);
    free(features);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_ping_and_pong),
        CASE(test_the_same_pong_twice),
        CASE(test_a_pong_of_another_id),
        CASE(test_a_call_behind_a_ping),
        CASE(test_a_frame_that_began),
        CASE(test_a_frame_behind_another),
        CASE(test_a_queue_that_is_not_read),
        CASE(test_a_queue_without_end),
    };
    return cmocka_run_group_tests_name("channel_ping", tests, NULL, NULL);
}
