/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The express lane, by raw bytes: what passes evhttp by is answered as evhttp
 * would, in order, whatever stands around it and whatever the client does.
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

#include "common/mem.h"
#include "supervisor/gateway.h"
#include "supervisor/listen.h"
#include "tests/support/loop.h"
#include "tests/support/raw.h"

#define MAX_PARKED  64
#define LARGE_BYTES (4UL * 1024 * 1024)
#define WRITE_MS    60

static struct {
    struct event_base *base;
    struct gateway *gateway;
    char address[LISTEN_TEXT_SIZE];
    struct raw *client;
    struct exchange *parked[MAX_PARKED];
    size_t n_parked;
    size_t n_express; /* of them; evhttp's have their headers */
    char *large;
} hall;

static void park(void *arg, struct exchange *x)
{
    (void)arg;
    assert_true(hall.n_parked < MAX_PARKED);
    hall.n_express += exchange_header(x, "Host") == NULL;
    hall.parked[hall.n_parked++] = x;
}

static void echo(void *arg, struct exchange *x)
{
    size_t n;
    const char *body = exchange_body(x, &n);
    (void)arg;
    assert_int_equal(strlen(body), n);
    exchange_set_header(x, "X-Model-Version", "v7");
    exchange_reply(x, 200, "application/json", body, n);
}

static const struct route routes[] = {{"POST", "/park", false, park},
                                      {"POST", "/echo", false, echo}};

/* The express lane leads to /park, or to another of the routes. */
static void lead_to(size_t i)
{
    gateway_set_express(hall.gateway, &routes[i], NULL);
}

static int setup(void **state)
{
    struct err e;
    const struct gateway_options options = {.max_body_bytes = 100000,
                                            .limits = {.write_ms = WRITE_MS}};
    (void)state;
    int fd = listen_on("127.0.0.1:0", &e);
    if (fd < 0 || listen_address(fd, hall.address) < 0)
        return -1;
    hall.large = mem_array(LARGE_BYTES, 1);
    memset(hall.large, 'x', LARGE_BYTES);
    hall.base = event_base_new();
    hall.gateway = gateway_new(hall.base, &options);
    gateway_add_routes(hall.gateway, routes, 2, NULL);
    lead_to(0);
    if (gateway_accept(hall.gateway, fd, DOOR_LOCAL, &e) < 0)
        return -1;
    hall.client = raw_open(hall.base, hall.address);
    loop_settle(hall.base);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    if (hall.client != NULL)
        raw_close(&hall.client);
    gateway_free(&hall.gateway);
    event_base_free(hall.base);
    free(hall.large);
    memset(&hall, 0, sizeof hall);
    return 0;
}

static void send_text(const char *text)
{
    raw_send(hall.client, text, strlen(text));
    loop_settle(hall.base);
}

static const char *request_of(const char *path, const char *field, const char *body)
{
    static char text[4][512];
    static unsigned turn;
    char *at = text[turn++ % 4];
    snprintf(at, sizeof text[0], "POST %s HTTP/1.1\r\nHost: x\r\n%sContent-Length: %zu\r\n\r\n%s",
             path, field, strlen(body), body);
    return at;
}

#define UNUSUAL             "X-Odd: 1\r\n"
#define park_request(id)    request_of("/park", "X-Request-ID: " id "\r\n", "{}")
#define unusual_request(id) request_of("/park", UNUSUAL "X-Request-ID: " id "\r\n", "{}")

static void answer(size_t i, const char *body)
{
    struct exchange *x = hall.parked[i];
    hall.parked[i] = NULL;
    exchange_reply(x, 200, "text/plain", body, strlen(body));
    loop_settle(hall.base);
}

static void expect_answer(const char *id, const char *body)
{
    assert_true(raw_receive(hall.client, true));
    assert_int_equal(hall.client->status, 200);
    assert_string_equal(raw_header(hall.client, "X-Request-ID"), id);
    assert_string_equal(hall.client->body, body);
}

static void expect_parked(size_t n, size_t n_express)
{
    loop_settle(hall.base);
    assert_int_equal(hall.n_parked, n);
    assert_int_equal(hall.n_express, n_express);
}

/* --- One request --------------------------------------------------------------*/

static void test_the_answer_has_what_evhttps_has(void **state)
{
    char lines[2][1024];
    (void)state;
    lead_to(1);
    for (int i = 0; i < 2; i++) {
        raw_ask(hall.client, request_of("/echo", i == 0 ? "" : UNUSUAL, "{\"a\": 1}"));
        static const char *const names[] = {"Content-Type", "X-Model-Version", "Content-Length"};
        assert_int_equal(hall.client->status, 200);
        assert_string_equal(hall.client->body, "{\"a\": 1}");
        assert_memory_equal(raw_header(hall.client, "X-Request-ID"), "req_", 4);
        assert_int_equal(strlen(raw_header(hall.client, "X-Request-ID")), 20);
        assert_int_equal(strlen(raw_header(hall.client, "Date")), 29);
        lines[i][0] = '\0';
        for (size_t k = 0; k < 3; k++) {
            strcat(lines[i], raw_header(hall.client, names[k]));
            strcat(lines[i], "\n");
        }
    }
    assert_string_equal(lines[0], lines[1]);
}

/* Of the request's fields a handler sees the one that is kept, as evhttp's would. */
static void test_a_kept_field(void **state)
{
    (void)state;
    gateway_keep_field(hall.gateway, "X-User-ID");
    send_text(request_of("/park", "x-user-id: ann\r\n", "{}"));
    expect_parked(1, 1);
    assert_string_equal(exchange_header(hall.parked[0], "X-User-ID"), "ann");
    size_t n;
    assert_string_equal(exchange_body(hall.parked[0], &n), "{}");
    answer(0, "ok");
    assert_true(raw_receive(hall.client, true));
    send_text(request_of("/park", "", "{}"));
    expect_parked(2, 2);
    assert_null(exchange_header(hall.parked[1], "X-User-ID"));
    answer(1, "ok");
    assert_true(raw_receive(hall.client, true));
    send_text(request_of("/park", "X-User-ID: ann\r\nX-User-ID: bob\r\n", "{}"));
    expect_parked(3, 2);
    gateway_keep_field(hall.gateway, "");
    answer(2, "ok");
    assert_true(raw_receive(hall.client, true));
    send_text(request_of("/park", "X-User-ID: ann\r\n", "{}"));
    expect_parked(4, 2);
    answer(3, "ok");
}

static void test_many_requests_on_one_connection(void **state)
{
    (void)state;
    lead_to(1);
    for (int i = 0; i < 500; i++) {
        assert_int_equal(raw_ask(hall.client, request_of("/echo", i % 7 == 3 ? UNUSUAL : "", "{}")),
                         200);
        assert_string_equal(hall.client->body, "{}");
    }
}

static void test_other_paths_are_evhttps(void **state)
{
    (void)state;
    assert_int_equal(raw_ask(hall.client, request_of("/none", "", "{}")), 404);
    assert_int_equal(raw_ask(hall.client, request_of("/parks", "", "{}")), 404);
    assert_int_equal(raw_ask(hall.client, "GET /park HTTP/1.1\r\nHost: x\r\n\r\n"), 405);
    expect_parked(0, 0);
}

/* In two pieces, cut anywhere, it is evhttp's, and answered all the same. */
static void test_a_request_in_two_pieces(void **state)
{
    const char *text = request_of("/echo", "X-Request-ID: two\r\n", "{}");
    (void)state;
    lead_to(1);
    for (size_t cut = 1; cut < strlen(text); cut += 7) {
        raw_send(hall.client, text, cut);
        loop_settle(hall.base);
        send_text(text + cut);
        expect_answer("two", "{}");
    }
}

/* Whole when it is looked at, it is plain whatever its length; and it is again
 * after one of evhttp's. */
static void test_a_large_request(void **state)
{
    static char text[40000];
    const size_t n_body = 32000;
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        int n = snprintf(text, sizeof text,
                         "POST /park HTTP/1.1\r\nHost: x\r\nX-Request-ID: large\r\n"
                         "Content-Length: %zu\r\n\r\n%*s",
                         n_body, (int)n_body, "{}");
        raw_send(hall.client, text, (size_t)n);
        expect_parked(2 * i + 1, i + 1);
        answer(2 * i, "ok");
        expect_answer("large", "ok");
        send_text(unusual_request("odd"));
        expect_parked(2 * i + 2, i + 1);
        answer(2 * i + 1, "ok");
        expect_answer("odd", "ok");
    }
}

/* Longer than one read, and in pieces; what is pipelined behind it waits its turn, also
 * behind one that is not for the lane. */
static void test_a_long_body_in_pieces(void **state)
{
    static char text[100000];
    const size_t n_body = 90000;
    size_t n_parked = 0;
    (void)state;
    for (size_t i = 0; i < 4; i++) {
        int n = snprintf(text, sizeof text,
                         "POST %s HTTP/1.1\r\nHost: x\r\nX-Request-ID: long\r\n"
                         "Content-Length: %zu\r\n\r\n%*s%s",
                         i % 2 == 0 ? "/park" : "/none", n_body, (int)n_body, "{}",
                         park_request("behind"));
        for (int at = 0; at < n; at += 25000) {
            raw_send(hall.client, text + at, (size_t)(n - at < 25000 ? n - at : 25000));
            loop_settle(hall.base);
        }
        if (i % 2 == 0) {
            struct exchange *x = hall.parked[hall.n_parked - 1];
            size_t n_got;
            const char *body = exchange_body(x, &n_got);
            assert_int_equal(n_got, n_body);
            assert_string_equal(body + n_body - 2, "{}");
            assert_null(exchange_header(x, "Host"));
            answer(hall.n_parked - 1, "ok");
            expect_answer("long", "ok");
        } else {
            assert_true(raw_receive(hall.client, true));
            assert_int_equal(hall.client->status, 404);
        }
        n_parked += i % 2 == 0 ? 2 : 1;
        loop_until(hall.base, hall.n_parked == n_parked);
        answer(n_parked - 1, "ok");
        expect_answer("behind", "ok");
    }
}

/* The body never ends: its client goes, or its time is over. */
static void test_half_a_body(void **state)
{
    const char *text = "POST /park HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\n\r\n{";
    const struct conns_limits limits = {.body_ms = WRITE_MS};
    (void)state;
    send_text(text);
    assert_int_equal(gateway_n_connections(hall.gateway), 1);
    raw_close(&hall.client);
    loop_until(hall.base, gateway_n_connections(hall.gateway) == 0);
    gateway_set_limits(hall.gateway, &limits);
    hall.client = raw_open(hall.base, hall.address);
    send_text(text);
    assert_true(raw_receive(hall.client, true));
    assert_int_equal(hall.client->status, 408);
    expect_parked(0, 0);
}

static void test_a_large_answer(void **state)
{
    (void)state;
    send_text(park_request("big"));
    expect_parked(1, 1);
    hall.large[60000] = '\0'; /* as much as the test's client can hold */
    answer(0, hall.large);
    expect_answer("big", hall.large);
    send_text(park_request("next"));
    answer(1, "ok");
    expect_answer("next", "ok");
}

/* --- Several ------------------------------------------------------------------*/

static void test_a_pipelined_request_waits_for_its_turn(void **state)
{
    char text[1024];
    (void)state;
    snprintf(text, sizeof text, "%s%s", park_request("one"), park_request("two"));
    send_text(text);
    expect_parked(1, 1);
    send_text(park_request("three"));
    expect_parked(1, 1);
    answer(0, "1");
    expect_parked(2, 2);
    answer(1, "2");
    expect_parked(3, 3);
    answer(2, "3");
    expect_answer("one", "1");
    expect_answer("two", "2");
    expect_answer("three", "3");
}

static void test_both_kinds_in_one_line(void **state)
{
    char text[2048];
    (void)state;
    snprintf(text, sizeof text, "%s%s%s%s", park_request("a"), unusual_request("b"),
             unusual_request("c"), park_request("d"));
    send_text(text);
    for (size_t i = 0; i < 4; i++) {
        static const char *const ids[] = {"a", "b", "c", "d"};
        expect_parked(i + 1, 1); /* what stands behind one of evhttp's is evhttp's */
        answer(i, ids[i]);
        expect_answer(ids[i], ids[i]);
    }
    send_text(park_request("e")); /* evhttp has nothing left: the lane is open again */
    expect_parked(5, 2);
    answer(4, "e");
    expect_answer("e", "e");
}

/* The body of evhttp's request is no request, however much it looks like one and
 * whenever it comes. */
static void test_a_body_that_looks_like_a_request(void **state)
{
    char text[1024];
    const char *inner = park_request("inner");
    (void)state;
    snprintf(text, sizeof text,
             "POST /park HTTP/1.1\r\nHost: x\r\n" UNUSUAL "Content-Length: %zu\r\n\r\n",
             strlen(inner));
    send_text(text);
    expect_parked(0, 0);
    send_text(inner);
    expect_parked(1, 0);
    size_t n;
    assert_string_equal(exchange_body(hall.parked[0], &n), inner);
    answer(0, "outer");
    assert_true(raw_receive(hall.client, true));
    expect_parked(1, 0);
}

/* A head whose next piece looks like a request of its own. */
static void test_a_head_that_goes_on_like_a_request(void **state)
{
    (void)state;
    send_text("POST /park HTTP/1.1\r\nX-Odd: 1\r\n");
    send_text(park_request("inner"));
    expect_parked(0, 0);
    assert_true(raw_receive(hall.client, true));
    assert_int_equal(hall.client->status, 400);
}

static void test_much_behind_a_request(void **state)
{
    char body[8001], text[8400];
    size_t n_sent = 0;
    (void)state;
    memset(body, ' ', sizeof body - 1);
    body[sizeof body - 1] = '\0';
    int n = snprintf(text, sizeof text,
                     "POST /park HTTP/1.1\r\nHost: x\r\nX-Request-ID: n\r\n"
                     "Content-Length: %zu\r\n\r\n%s",
                     strlen(body), body);
    for (; n_sent < 30; n_sent++) /* more than is read ahead */
        raw_send(hall.client, text, (size_t)n);
    for (size_t i = 0; i < n_sent; i++) {
        loop_until(hall.base, hall.n_parked == i + 1);
        answer(i, "ok");
        expect_answer("n", "ok");
    }
    assert_int_equal(gateway_n_pending(hall.gateway), 0);
}

/* --- Clients that go ----------------------------------------------------------*/

static void test_a_client_that_has_said_all(void **state)
{
    (void)state;
    send_text(park_request("last"));
    shutdown(hall.client->fd, SHUT_WR);
    expect_parked(1, 1);
    assert_int_equal(gateway_n_connections(hall.gateway), 1);
    answer(0, "still");
    expect_answer("last", "still");
    raw_expect_end(hall.client);
    loop_until(hall.base, gateway_n_connections(hall.gateway) == 0);
}

static void test_a_client_that_has_gone(void **state)
{
    const struct linger reset = {.l_onoff = 1};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        send_text(park_request("gone"));
        expect_parked(i + 1, i + 1);
        if (i == 1)
            setsockopt(hall.client->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
        raw_close(&hall.client);
        loop_settle(hall.base);
        answer(i, "to nobody");
        loop_until(hall.base, gateway_n_connections(hall.gateway) == 0);
        assert_int_equal(gateway_n_pending(hall.gateway), 0);
        hall.client = raw_open(hall.base, hall.address);
    }
}

static void test_a_client_that_does_not_read(void **state)
{
    (void)state;
    send_text(park_request("slow"));
    expect_parked(1, 1);
    struct exchange *x = hall.parked[0];
    exchange_reply(x, 200, "text/plain", hall.large, LARGE_BYTES);
    loop_until(hall.base, gateway_n_connections(hall.gateway) == 0); /* its write deadline */
    assert_int_equal(gateway_n_pending(hall.gateway), 0);
}

/* --- Our own end --------------------------------------------------------------*/

static void test_draining(void **state)
{
    (void)state;
    send_text(park_request("one"));
    gateway_drain(hall.gateway);
    answer(0, "bye");
    expect_answer("one", "bye");
    assert_string_equal(raw_header(hall.client, "Connection"), "close");
    raw_expect_end(hall.client);
}

static void test_nothing_runs_behind_the_last_answer(void **state)
{
    char text[1024];
    (void)state;
    snprintf(text, sizeof text, "%s%s", park_request("one"), park_request("two"));
    send_text(text);
    send_text(park_request("three"));
    gateway_drain(hall.gateway);
    answer(0, "bye");
    expect_answer("one", "bye");
    loop_until(hall.base, gateway_n_connections(hall.gateway) == 0);
    expect_parked(1, 1);
}

#define EXPRESS_TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        EXPRESS_TEST(test_the_answer_has_what_evhttps_has),
        EXPRESS_TEST(test_a_kept_field),
        EXPRESS_TEST(test_many_requests_on_one_connection),
        EXPRESS_TEST(test_other_paths_are_evhttps),
        EXPRESS_TEST(test_a_request_in_two_pieces),
        EXPRESS_TEST(test_a_large_request),
        EXPRESS_TEST(test_a_long_body_in_pieces),
        EXPRESS_TEST(test_half_a_body),
        EXPRESS_TEST(test_a_large_answer),
        EXPRESS_TEST(test_a_pipelined_request_waits_for_its_turn),
        EXPRESS_TEST(test_both_kinds_in_one_line),
        EXPRESS_TEST(test_a_body_that_looks_like_a_request),
        EXPRESS_TEST(test_a_head_that_goes_on_like_a_request),
        EXPRESS_TEST(test_much_behind_a_request),
        EXPRESS_TEST(test_a_client_that_has_said_all),
        EXPRESS_TEST(test_a_client_that_has_gone),
        EXPRESS_TEST(test_a_client_that_does_not_read),
        EXPRESS_TEST(test_draining),
        EXPRESS_TEST(test_nothing_runs_behind_the_last_answer),
    };
    return cmocka_run_group_tests_name("conns_express", tests, NULL, NULL);
}
