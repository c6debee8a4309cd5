/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The watch over connections, by raw bytes: each deadline ends what it is for
 * and nothing else, and who makes room when there are too many.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
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
#include "supervisor/gateway.h"
#include "supervisor/listen.h"
#include "tests/support/loop.h"
#include "tests/support/raw.h"

#define SHORT_MS    60
#define LONG_MS     60000
#define LARGE_BYTES (8UL * 1024 * 1024)
#define MAX_CLIENTS 8

static struct {
    struct event_base *base;
    struct gateway *gateway;
    struct conns_limits limits;
    char address[LISTEN_TEXT_SIZE];
    struct raw *clients[MAX_CLIENTS];
    struct exchange *parked;
    char *large;
} hall;

static void say_ok(void *arg, struct exchange *x)
{
    (void)arg;
    exchange_reply(x, 200, "text/plain", "ok", 2);
}

static void say_much(void *arg, struct exchange *x)
{
    (void)arg;
    exchange_reply(x, 200, "text/plain", hall.large, LARGE_BYTES);
}

static void park(void *arg, struct exchange *x)
{
    (void)arg;
    hall.parked = x;
}

static const struct route routes[] = {
    {"GET", "/ok", false, say_ok},
    {"POST", "/ok", false, say_ok},
    {"GET", "/much", false, say_much},
    {"GET", "/later", false, park},
};

static int setup(void **state)
{
    struct err e;
    (void)state;
    hall.limits = (struct conns_limits){
        .header_ms = LONG_MS, .body_ms = LONG_MS, .write_ms = LONG_MS, .idle_ms = LONG_MS};
    const struct gateway_options options = {.max_body_bytes = 1000, .limits = hall.limits};
    int fd = listen_on("127.0.0.1:0", &e);
    if (fd < 0 || listen_address(fd, hall.address) < 0)
        return -1;
    hall.large = mem_array(LARGE_BYTES, 1);
    hall.base = event_base_new();
    hall.gateway = gateway_new(hall.base, &options);
    gateway_add_routes(hall.gateway, routes, sizeof routes / sizeof routes[0], NULL);
    return gateway_accept(hall.gateway, fd, DOOR_LOCAL, &e);
}

static int teardown(void **state)
{
    (void)state;
    for (int i = 0; i < MAX_CLIENTS; i++)
        if (hall.clients[i] != NULL)
            raw_close(&hall.clients[i]);
    gateway_free(&hall.gateway);
    event_base_free(hall.base);
    free(hall.large);
    hall.parked = NULL;
    return 0;
}

static void limit(void)
{
    gateway_set_limits(hall.gateway, &hall.limits);
}

static struct raw *open_client(int i)
{
    hall.clients[i] = raw_open(hall.base, hall.address);
    loop_settle(hall.base);
    return hall.clients[i];
}

static void send_text(struct raw *r, const char *text)
{
    raw_send(r, text, strlen(text));
    loop_settle(hall.base);
}

static void let_pass(int64_t ms)
{
    int64_t end_ns = clock_mono_ns() + ms * NS_PER_MS;
    loop_until(hall.base, clock_mono_ns() > end_ns);
}

static void assert_open(struct raw *r)
{
    char byte;
    assert_int_equal(recv(r->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT), -1);
    assert_int_equal(raw_ask(r, "GET /ok HTTP/1.1\r\nHost: x\r\n\r\n"), 200);
}

/* Dismissed with this status and a sentence that has this word. */
static void assert_dismissed(struct raw *r, int status, const char *word)
{
    assert_true(raw_receive(r, true));
    assert_int_equal(r->status, status);
    assert_non_null(strstr(r->body, word));
    assert_string_equal(raw_header(r, "Connection"), "close");
    assert_memory_equal(raw_header(r, "X-Request-ID"), "req_", 4);
    raw_expect_end(r);
}

#define GET_OK "GET /ok HTTP/1.1\r\nHost: x\r\n\r\n"

/* --- Deadlines --------------------------------------------------------------*/

static void test_silence(void **state)
{
    (void)state;
    hall.limits.header_ms = SHORT_MS;
    limit();
    raw_expect_end(open_client(0)); /* without a word: no request was begun */
}

static void test_slow_head(void **state)
{
    (void)state;
    hall.limits.header_ms = SHORT_MS;
    limit();
    struct raw *r = open_client(0);
    send_text(r, "GET /ok HTTP/1.1\r\n");
    for (int i = 0; i < 20 && recv(r->fd, &(char){0}, 1, MSG_PEEK | MSG_DONTWAIT) < 0; i++) {
        send_text(r, "X-A: 1\r\n"); /* never silent for long */
        let_pass(SHORT_MS / 6);
    }
    assert_dismissed(r, 408, "head");
}

static void test_slow_body(void **state)
{
    (void)state;
    hall.limits.body_ms = SHORT_MS;
    limit();
    struct raw *r = open_client(0);
    send_text(r, "POST /ok HTTP/1.1\r\nHost: x\r\nContent-Length: 900\r\n\r");
    send_text(r, "\n1"); /* the end of the head may come in pieces */
    assert_dismissed(r, 408, "body");
}

static void test_slow_body_after_an_answer(void **state)
{
    (void)state;
    hall.limits.body_ms = SHORT_MS;
    limit();
    struct raw *r = open_client(0);
    send_text(r, GET_OK "POST /ok HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n12");
    assert_true(raw_receive(r, true));
    assert_int_equal(r->status, 200);
    assert_dismissed(r, 408, "body");
}

/* Deadlines are of a request, not of its connection. */
static void test_requests_in_time(void **state)
{
    (void)state;
    hall.limits.header_ms = 4 * SHORT_MS;
    hall.limits.body_ms = 4 * SHORT_MS;
    hall.limits.write_ms = 4 * SHORT_MS;
    limit();
    struct raw *r = open_client(0);
    for (int i = 0; i < 6; i++) {
        send_text(r, "POST /ok HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n12");
        let_pass(SHORT_MS);
        send_text(r, "3");
        assert_true(raw_receive(r, true));
        assert_int_equal(r->status, 200);
    }
    let_pass(5L * SHORT_MS);
    assert_open(r); /* idle_ms is longer */
}

static void test_idle(void **state)
{
    (void)state;
    hall.limits.idle_ms = SHORT_MS;
    limit();
    struct raw *r = open_client(0);
    assert_int_equal(raw_ask(r, GET_OK), 200);
    raw_expect_end(r);
}

static void test_handlers_take_their_time(void **state)
{
    (void)state;
    hall.limits = (struct conns_limits){
        .header_ms = SHORT_MS, .body_ms = SHORT_MS, .write_ms = SHORT_MS, .idle_ms = SHORT_MS};
    limit();
    struct raw *r = open_client(0);
    send_text(r, "GET /later HTTP/1.1\r\nHost: x\r\n\r\n");
    let_pass(3L * SHORT_MS);
    assert_non_null(hall.parked);
    exchange_reply(hall.parked, 200, "text/plain", "late", 4);
    assert_true(raw_receive(r, true));
    assert_string_equal(r->body, "late");
}

static bool has_hung_up(struct raw *r)
{
    char bytes[64]; /* sips, so that there is always something left to take */
    ssize_t n = recv(r->fd, bytes, sizeof bytes, MSG_DONTWAIT);
    return n == 0 || (n < 0 && gateway_n_connections(hall.gateway) == 0);
}

static void test_slow_reader(void **state)
{
    (void)state;
    hall.limits.write_ms = SHORT_MS;
    limit();
    struct raw *r = open_client(0);
    const int few = 4096;
    setsockopt(r->fd, SOL_SOCKET, SO_RCVBUF, &few, sizeof few);
    send_text(r, "GET /much HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_int_equal(gateway_n_connections(hall.gateway), 1);
    loop_until(hall.base, gateway_n_connections(hall.gateway) == 0 || has_hung_up(r));
    assert_int_equal(gateway_n_connections(hall.gateway), 0);
}

/* --- How many ---------------------------------------------------------------*/

static void test_the_longest_idle_makes_room(void **state)
{
    (void)state;
    hall.limits.max = 3;
    limit();
    for (int i = 0; i < 3; i++)
        assert_int_equal(raw_ask(open_client(i), GET_OK), 200);
    assert_int_equal(raw_ask(hall.clients[0], GET_OK), 200); /* now 1 is the oldest */
    assert_int_equal(raw_ask(open_client(3), GET_OK), 200);
    raw_expect_end(hall.clients[1]);
    assert_open(hall.clients[0]);
    assert_open(hall.clients[2]);
    assert_int_equal(gateway_n_connections(hall.gateway), 3);
}

static void test_one_too_many(void **state)
{
    (void)state;
    hall.limits.max = 2;
    limit();
    send_text(open_client(0), "GET /later HTTP/1.1\r\nHost: x\r\n\r\n");
    send_text(open_client(1), "GET /ok HTTP/1.1\r\n"); /* busy with its head */
    struct raw *r = open_client(2);
    assert_dismissed(r, 503, "2 connections");
    assert_string_equal(raw_header(r, "Retry-After"), "1");
    exchange_reply(hall.parked, 200, "text/plain", "ok", 2);
    assert_true(raw_receive(hall.clients[0], true));
    assert_int_equal(raw_ask(open_client(3), GET_OK), 200); /* 0 was idle then */
}

/* What has only just come is not closed for the next one that comes. */
static void test_newcomers_are_not_swapped(void **state)
{
    (void)state;
    hall.limits.max = 2;
    limit();
    open_client(0);
    open_client(1);
    assert_dismissed(open_client(2), 503, "2 connections");
    assert_open(hall.clients[0]);
    assert_open(hall.clients[1]);
}

/* --- Lives ------------------------------------------------------------------*/

static void test_clients_that_leave(void **state)
{
    static const char *const said[] = {"", "GET /ok HT", GET_OK, "GET /later HTTP/1.1\r\n",
                                       "POST /ok HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n"};
    (void)state;
    for (size_t i = 0; i < sizeof said / sizeof said[0]; i++) {
        send_text(open_client(0), said[i]);
        assert_int_equal(gateway_n_connections(hall.gateway), 1);
        raw_close(&hall.clients[0]);
        loop_until(hall.base, gateway_n_connections(hall.gateway) == 0);
    }
}

static void test_nul_in_the_head(void **state)
{
    static const char with_nul[] = "GET /ok HTTP/1.1\r\nHost: x\r\nX-A: a\0b\r\n\r\n";
    static const char split[] = "GET /ok HTTP/1.1\r\nHost: x\r\nX-A: a";
    static const char body[] = "POST /ok HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n";
    (void)state;
    raw_send(open_client(0), with_nul, sizeof with_nul - 1);
    assert_dismissed(hall.clients[0], 400, "NUL");
    raw_send(open_client(1), split, sizeof split); /* with the NUL of the literal */
    send_text(hall.clients[1], "\r\n\r\n");
    assert_dismissed(hall.clients[1], 400, "NUL");
    /* one in a body is its reader's affair */
    raw_send(open_client(2), body, sizeof body); /* likewise */
    assert_true(raw_receive(hall.clients[2], true));
    assert_int_equal(hall.clients[2]->status, 200);
}

/* No answer but a refusal can come of it: the head's end is not waited for, which
 * would be a 408. Nor is a client that goes on sending. */
static void test_a_tls_hello(void **state)
{
    static const char hello[] = "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";
    (void)state;
    raw_send(open_client(0), hello, sizeof hello - 1);
    assert_dismissed(hall.clients[0], 400, "NUL");
    send_text(open_client(1), "GET /ok HTTP/1.1\r\nX-A: ");
    raw_send(hall.clients[1], hello, sizeof hello - 1);
    raw_send(hall.clients[1], hello, sizeof hello - 1);
    assert_dismissed(hall.clients[1], 400, "NUL");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_silence),
        TEST(test_slow_head),
        TEST(test_slow_body),
        TEST(test_slow_body_after_an_answer),
        TEST(test_requests_in_time),
        TEST(test_idle),
        TEST(test_handlers_take_their_time),
        TEST(test_slow_reader),
        TEST(test_the_longest_idle_makes_room),
        TEST(test_one_too_many),
        TEST(test_newcomers_are_not_swapped),
        TEST(test_clients_that_leave),
        TEST(test_nul_in_the_head),
        TEST(test_a_tls_hello),
    };
    return cmocka_run_group_tests_name("conns", tests, NULL, NULL);
}
