/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Channels whose worker breaks the protocol, dies or talks in its own time: it
 * is told once, what was in flight still ends once, and what a dead worker had
 * said before is heard.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
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
#include "common/rng.h"
#include "supervisor/channel.h"
#include "tests/support/channel_fixture.h"
#include "tests/support/loop.h"

static struct channel_fixture f;
static int n_outcomes[N_CALL_OUTCOMES];
static int ends[3]; /* how often each call has ended */

/* arg: how often this call has ended. */
static void on_done(void *arg, const struct call_result *r)
{
    int *n = arg;
    ++*n;
    n_outcomes[r->outcome]++;
}

static int setup(void **state)
{
    (void)state;
    memset(n_outcomes, 0, sizeof n_outcomes);
    memset(ends, 0, sizeof ends);
    return channel_fixture_open(&f, SOCK_STREAM);
}

static int teardown(void **state)
{
    (void)state;
    channel_fixture_close(&f);
    return 0;
}

static void ask(int *n)
{
    const double feature = 1;
    channel_predict(f.channel, &feature, 1, 1, CHANNEL_LATER, on_done, n);
}

static void send_bytes(const void *bytes, size_t n)
{
    assert_int_equal(send(f.peer.fd, bytes, n, MSG_NOSIGNAL), n);
}

/* A frame of the payload whose bytes are a string literal's. */
#define FRAME(payload) payload, sizeof payload - 1

static void send_frame(const void *payload, size_t n)
{
    frame_begin(&f.peer.out);
    frame_append(&f.peer.out, payload, n);
    frame_end(&f.peer.out);
    peer_send(&f.peer);
}

static void test_messages(void **state)
{
    (void)state;
    codec_put_ready(&f.peer.out, "linear-regression", 5, "prediction", "full");
    peer_send(&f.peer);
    loop_until(f.base, f.n_messages >= 1);
    assert_int_equal(f.last_message.type, WIRE_READY);
    assert_string_equal(f.last_message.output, "prediction");
    codec_put_refuse(&f.peer.out, "no such format");
    peer_send(&f.peer);
    loop_until(f.base, f.n_messages >= 2);
    assert_int_equal(f.last_message.type, WIRE_REFUSE);
    assert_string_equal(f.last_message.text, "no such format");
    assert_int_equal(f.n_broken, 0);
}

static const struct {
    const char *payload;
    size_t n;
    const char *says;
} wrong[] = {
    {FRAME("\x94\x12\x07\x91\x01\x05"), "a call that nobody made"}, /* RESULT */
    {FRAME("\x93\x13\x00\xa1x"), "a call that nobody made"},        /* FAULT */
    {FRAME("\x93\x13\xcf\xff\xff\xff\xff\xff\xff\xff\xff\xa1x"), "a call that nobody made"},
    {FRAME("\x92\x03\x07"), "only the supervisor sends"},             /* PING */
    {FRAME("\x92\x04\x00"), "only the supervisor sends"},             /* QUIT */
    {FRAME("\x93\x02\x00\x05"), "only the supervisor sends"},         /* DELAY */
    {FRAME("\x94\x01\x07\x01\x91\x05"), "only the supervisor sends"}, /* PREDICT */
    {FRAME("\x92\x14\x07"), "a PONG that nobody asked for"},
    {FRAME("\x92\x14\x00"), "a PONG that nobody asked for"},
    {FRAME("\x92\x15\x07"), "unknown message type"},
    {FRAME("\xdd\xff\x00\x00\x00"), "not a frame of the protocol"},
    {FRAME("\xc0"), "not a frame of the protocol"},
    {FRAME("hello, supervisor"), "not a frame of the protocol"},
    {FRAME("\x92\x14\x07\x00"), "not a frame of the protocol"},
};

/* What comes after the offence is not read: it can't be told twice. */
static void test_offences(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        ask(&ends[0]);
        send_frame(wrong[i].payload, wrong[i].n);
        codec_put_refuse(&f.peer.out, "after");
        peer_send(&f.peer);
        loop_until(f.base, f.n_broken >= 1);
        if (strstr(f.broken_text, wrong[i].says) == NULL)
            fail_msg("case %zu: \"%s\" does not say \"%s\"", i, f.broken_text, wrong[i].says);
        ask(&ends[0]); /* into a broken channel */
        channel_quit(f.channel);
        loop_settle(f.base);
        channel_read_rest(f.channel);
        assert_int_equal(f.n_broken, 1);
        assert_int_equal(f.n_messages, 0);
        assert_int_equal(ends[0], 0); /* its owner frees it, then they are lost */
        channel_free(&f.channel);
        assert_int_equal(ends[0], 2);
        assert_int_equal(n_outcomes[CALL_LOST], 2);
        teardown(state);
        assert_int_equal(setup(state), 0);
    }
}

static void test_lengths(void **state)
{
    static const char *const headers[] = {"\0\0\0\0", "\xff\xff\xff\xff", "\x80\0\0\0", "\0\1\0\1"};
    (void)state;
    for (size_t i = 0; i < sizeof headers / sizeof headers[0]; i++) {
        send_bytes(headers[i], 4);
        loop_until(f.base, f.n_broken >= 1);
        assert_non_null(strstr(f.broken_text, "0 bytes or more than the limit"));
        teardown(state);
        assert_int_equal(setup(state), 0);
    }
    send_bytes("\0\1\0\0", 4); /* WIRE_MAX_ANSWER_BYTES is still right */
    loop_settle(f.base);
    assert_int_equal(f.n_broken, 0);
}

static void test_the_same_answer_twice(void **state)
{
    (void)state;
    ask(&ends[0]);
    event_base_loop(f.base, EVLOOP_NONBLOCK);
    assert_int_equal(peer_read(&f.peer), 1);
    peer_answer(&f.peer, f.peer.asked[0], 1);
    peer_answer(&f.peer, f.peer.asked[0], 2);
    loop_until(f.base, f.n_broken >= 1);
    assert_int_equal(ends[0], 1);
    assert_non_null(strstr(f.broken_text, "nobody made"));
}

/* An id is not the slot alone: the next call in the same slot has another. */
static void test_an_old_id_in_a_reused_slot(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        ask(&ends[i]);
        event_base_loop(f.base, EVLOOP_NONBLOCK);
        assert_int_equal(peer_read(&f.peer), 1);
        if (i == 0)
            peer_answer(&f.peer, f.peer.asked[0], 1);
        if (i == 0)
            loop_until(f.base, ends[0] >= 1);
    }
    assert_true((f.peer.asked[0] & 0xffffff) == (f.peer.asked[1] & 0xffffff));
    assert_true(f.peer.asked[0] != f.peer.asked[1]);
    peer_answer(&f.peer, f.peer.asked[0], 1);
    loop_until(f.base, f.n_broken >= 1);
    assert_int_equal(ends[1], 0);
}

static void test_death(void **state)
{
    (void)state;
    ask(&ends[0]);
    event_base_loop(f.base, EVLOOP_NONBLOCK);
    peer_read(&f.peer);
    fd_close(&f.peer.fd);
    loop_until(f.base, f.n_broken >= 1);
    assert_string_equal(f.broken_text, "it closed its socket");
    assert_int_equal(ends[0], 0);
    channel_free(&f.channel);
    assert_int_equal(ends[0], 1);
    assert_int_equal(n_outcomes[CALL_LOST], 1);
}

/* Half a frame and the end of file: no message, no crash. */
static void test_death_in_the_middle_of_a_frame(void **state)
{
    (void)state;
    codec_put_refuse(&f.peer.out, "first");
    codec_put_refuse(&f.peer.out, "second");
    size_t n = frame_writer_pending(&f.peer.out);
    send_bytes(f.peer.out.bytes + f.peer.out.start, n - 1);
    fd_close(&f.peer.fd);
    loop_until(f.base, f.n_broken >= 1);
    assert_int_equal(f.n_messages, 1);
    assert_string_equal(f.last_message.text, "first");
}

/* A worker may answer, explain itself and die before the loop turns. */
static void test_the_rest_of_a_dead_worker(void **state)
{
    (void)state;
    for (size_t i = 0; i < 3; i++)
        ask(&ends[i]);
    event_base_loop(f.base, EVLOOP_NONBLOCK);
    assert_int_equal(peer_read(&f.peer), 3);
    peer_answer(&f.peer, f.peer.asked[0], 1);
    peer_answer(&f.peer, f.peer.asked[2], 1);
    codec_put_refuse(&f.peer.out, "out of memory");
    peer_send(&f.peer);
    fd_close(&f.peer.fd);
    channel_read_rest(f.channel); /* not the loop */
    assert_int_equal(ends[0], 1);
    assert_int_equal(ends[1], 0);
    assert_int_equal(ends[2], 1);
    assert_int_equal(n_outcomes[CALL_OK], 2);
    assert_int_equal(f.n_messages, 1);
    assert_string_equal(f.last_message.text, "out of memory");
    assert_int_equal(f.n_broken, 1);
    channel_read_rest(f.channel);
    assert_int_equal(f.n_broken, 1);
}

static void test_the_rest_of_one_that_lives(void **state)
{
    (void)state;
    codec_put_refuse(&f.peer.out, "");
    peer_send(&f.peer);
    channel_read_rest(f.channel);
    assert_int_equal(f.n_messages, 1);
    assert_int_equal(f.n_broken, 0);
}

/* The supervisor writes before it reads: that write finds the worker gone. What
 * the worker had said was thrown away. */
static void test_a_failed_write_reads_the_rest(void **state)
{
    (void)state;
    ask(&ends[0]);
    event_base_loop(f.base, EVLOOP_NONBLOCK);
    assert_int_equal(peer_read(&f.peer), 1);
    peer_answer(&f.peer, f.peer.asked[0], 1);
    codec_put_refuse(&f.peer.out, "out of memory");
    peer_send(&f.peer);
    fd_close(&f.peer.fd);
    ask(&ends[1]);
    loop_until(f.base, f.n_broken >= 1);
    assert_int_equal(ends[0], 1);
    assert_int_equal(n_outcomes[CALL_OK], 1);
    assert_int_equal(f.n_messages, 1);
    assert_string_equal(f.last_message.text, "out of memory");
    assert_string_equal(f.broken_text, "it closed its socket");
    loop_settle(f.base);
    assert_int_equal(f.n_broken, 1);
}

/* It reads no more, but keeps its other half open: no end of file to wait for. */
static void test_a_worker_that_only_talks(void **state)
{
    (void)state;
    assert_int_equal(shutdown(f.peer.fd, SHUT_RD), 0);
    ask(&ends[0]);
    loop_until(f.base, f.n_broken >= 1);
    loop_settle(f.base);
    assert_int_equal(f.n_broken, 1);
}

/* It answers now and then, so it never seems to hang; most of its calls time out
 * and stay owed. That has an end long before the table has. */
static void test_answers_that_never_come(void **state)
{
    enum { BATCH = 512 };
    static int n_by_late_call;
    const double feature = 1;
    (void)state;
    n_by_late_call = 0;
    for (int asked = 0; asked < CHANNEL_MAX_LATE; asked += BATCH) {
        assert_int_equal(f.n_broken, 0);
        for (int i = 0; i < BATCH; i++)
            channel_predict(f.channel, &feature, 1, 1, 0, on_done, &n_by_late_call);
        loop_until(f.base, n_by_late_call == asked + BATCH);
        ask(&ends[0]);
        f.peer.n_asked = 0;
        do {
            event_base_loop(f.base, EVLOOP_NONBLOCK);
            peer_read(&f.peer);
        } while (f.peer.n_asked < (asked == 0 ? BATCH + 1 : 1));
        int before = ends[0];
        peer_answer(&f.peer, f.peer.asked[f.peer.n_asked - 1], 1);
        loop_until(f.base, ends[0] > before);
    }
    assert_int_equal(channel_n_owed(f.channel), CHANNEL_MAX_LATE);
    assert_int_equal(f.n_broken, 0);
    channel_predict(f.channel, &feature, 1, 1, 0, on_done, &n_by_late_call);
    loop_until(f.base, n_by_late_call == CHANNEL_MAX_LATE + 1);
    assert_int_equal(f.n_broken, 1);
    assert_string_equal(f.broken_text, "it owes more than 65536 answers that nobody waits for");
    ask(&ends[1]);
    loop_settle(f.base);
    assert_int_equal(f.n_broken, 1);
}

/* --- A worker by lot --------------------------------------------------------*/

enum { N_CALLS = 2000, N_SEEDS = 4 };

static int n_by_call[N_CALLS];

/* Answers, refuses, forgets or puts off each question it has. */
static void answer_by_lot(struct rng *rng, size_t *next, uint64_t *put_off, size_t *n_put_off)
{
    peer_read(&f.peer);
    for (; *next < f.peer.n_asked; ++*next) {
        uint64_t id = f.peer.asked[*next];
        uint32_t lot = rng_below(rng, 100);
        if (lot < 60)
            peer_answer(&f.peer, id, 1);
        else if (lot < 75)
            codec_put_fault(&f.peer.out, id, "no");
        else if (lot < 95)
            put_off[(*n_put_off)++] = id;
    }
    peer_send(&f.peer);
    while (*n_put_off > 0 && rng_below(rng, 2) == 0)
        peer_answer(&f.peer, put_off[--*n_put_off], 1);
}

static void ask_by_lot(struct rng *rng, size_t *n_asked)
{
    const double feature = 1;
    for (uint32_t k = rng_below(rng, 80); k > 0 && *n_asked < N_CALLS; k--) {
        int64_t deadline_ns = clock_mono_ns() + (int64_t)rng_below(rng, 500) * 1000;
        channel_predict(f.channel, &feature, 1, 1, deadline_ns, on_done, &n_by_call[*n_asked]);
        ++*n_asked;
    }
}

static void play(uint64_t seed)
{
    uint64_t put_off[N_CALLS];
    size_t n_put_off = 0;
    size_t n_asked = 0;
    size_t next = 0;
    struct rng rng;
    rng_seed(&rng, seed);
    memset(n_by_call, 0, sizeof n_by_call);
    while (n_asked < N_CALLS) {
        ask_by_lot(&rng, &n_asked);
        event_base_loop(f.base, EVLOOP_NONBLOCK);
        answer_by_lot(&rng, &next, put_off, &n_put_off);
        event_base_loop(f.base, EVLOOP_NONBLOCK);
    }
    fd_close(&f.peer.fd); /* in the middle of it */
    loop_until(f.base, f.n_broken >= 1);
    channel_free(&f.channel);
    for (size_t i = 0; i < N_CALLS; i++)
        assert_int_equal(n_by_call[i], 1);
    assert_int_equal(f.n_ended, N_CALLS);
    assert_string_equal(f.broken_text, "it closed its socket");
}

static void test_each_call_ends_once(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= N_SEEDS; seed++) {
        play(seed);
        printf("seed %d: %d ok, %d fault, %d timeout, %d lost\n", (int)seed, n_outcomes[CALL_OK],
               n_outcomes[CALL_FAULT], n_outcomes[CALL_TIMEOUT], n_outcomes[CALL_LOST]);
        teardown(state);
        assert_int_equal(setup(state), 0);
    }
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_messages),
        CASE(test_offences),
        CASE(test_lengths),
        CASE(test_the_same_answer_twice),
        CASE(test_an_old_id_in_a_reused_slot),
        CASE(test_death),
        CASE(test_death_in_the_middle_of_a_frame),
        CASE(test_the_rest_of_a_dead_worker),
        CASE(test_the_rest_of_one_that_lives),
        CASE(test_a_failed_write_reads_the_rest),
        CASE(test_a_worker_that_only_talks),
        CASE(test_answers_that_never_come),
        CASE(test_each_call_ends_once),
    };
    return cmocka_run_group_tests_name("channel_broken", tests, NULL, NULL);
}
