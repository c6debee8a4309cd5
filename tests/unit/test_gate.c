/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The request gate behind a real evhttp server: raw bytes go in, and what got
 * through is told apart from what the gate refused and from what libevent's
 * parser had refused before any handler ran.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>

#include "supervisor/gate.h"
#include "supervisor/listen.h"
#include "tests/support/raw.h"

#define ALL_METHODS 0xffff

static struct event_base *base;
static struct evhttp *http;
static char address[LISTEN_TEXT_SIZE];

/* Says "passed", with a star when the length of the body is announced, or
 * the code and the sentence of the refusal. */
static void on_request(struct evhttp_request *request, void *arg)
{
    struct err e = {0};
    int rc = gate_check(request, NULL, &e);
    struct evbuffer *out = evhttp_request_get_output_buffer(request);
    (void)arg;
    if (rc == 0)
        evbuffer_add_printf(out, "passed%s", gate_has_body_length(request) ? "*" : "");
    else
        evbuffer_add_printf(out, "%s: %s", e.code, e.text);
    if (evhttp_request_get_command(request) == EVHTTP_REQ_HEAD)
        evhttp_add_header(evhttp_request_get_output_headers(request), "X-Verdict",
                          rc == 0 ? "passed" : e.text);
    evhttp_send_reply(request, rc == 0 ? 200 : 400, "said", NULL);
}

static int setup(void **state)
{
    struct err e;
    int fd = listen_on("127.0.0.1:0", &e);
    (void)state;
    base = event_base_new();
    http = evhttp_new(base);
    evhttp_set_allowed_methods(http, ALL_METHODS);
    evhttp_set_max_body_size(http, 1000);
    evhttp_set_gencb(http, on_request, NULL);
    return fd < 0 || listen_address(fd, address) < 0 || evhttp_accept_socket(http, fd) < 0 ? -1 : 0;
}

static int teardown(void **state)
{
    (void)state;
    evhttp_free(http);
    event_base_free(base);
    return 0;
}

#define H    "Host: here\r\n"
#define POST "POST / HTTP/1.1\r\n"

/* --- What passes ------------------------------------------------------------*/

static const struct {
    const char *request;
    const char *says;
} good[] = {
    {"GET / HTTP/1.1\r\n" H "\r\n", "passed"},
    {"GET / HTTP/1.0\r\n\r\n", "passed"},
    {"GET / HTTP/1.0\r\n" H "\r\n", "passed"},
    {"GET / HTTP/1.1\r\n" H "Content-Length: 0\r\n\r\n", "passed*"},
    {"GET / HTTP/1.1\r\n" H "Content-Length: 000\r\n\r\n", "passed*"},
    {"GET / HTTP/1.1\r\nHost:\r\n\r\n", "passed"},
    {"GET / HTTP/1.1\r\nHost: [::1]:8000\r\n\r\n", "passed"},
    {"GET / HTTP/1.1\r\nHost: a-b.example_1:65535\r\n\r\n", "passed"},
    {"DELETE / HTTP/1.1\r\n" H "\r\n", "passed"},
    {"OPTIONS * HTTP/1.1\r\n" H "\r\n", "passed"},
    {POST H "\r\n", "passed"},
    {POST H "Content-Length: 2\r\n\r\nhi", "passed*"},
    {POST H "content-length:2\r\n\r\nhi", "passed*"},
    {POST H "Content-Length:   2  \r\n\r\nhi", "passed*"},
    {POST H "Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", "passed*"},
    {POST H "Transfer-Encoding: CHUNKED\r\n\r\n0\r\n\r\n", "passed*"},
    {POST H "!#$%&'*+-.^_`|~09Az: any token\r\nContent-Length: 0\r\n\r\n", "passed*"},
    {POST H "X-Tab: a\tb\r\nContent-Length: 0\r\n\r\n", "passed*"},
    {POST H "X-Utf8: gr\xc3\xbc\xc3\x9f\r\nContent-Length: 0\r\n\r\n", "passed*"},
    {POST H "X-Empty:\r\nContent-Length: 0\r\n\r\n", "passed*"},
};

static void test_accepted(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        struct raw *r = raw_open(base, address);
        if (raw_ask(r, good[i].request) != 200 || strcmp(r->body, good[i].says) != 0)
            fail_msg("%s\nbecame: %s%s", good[i].request, r->head, r->body);
        raw_close(&r);
    }
}

/* --- What the gate refuses --------------------------------------------------*/

static const struct {
    const char *request;
    const char *says;
} bad[] = {
    {"GET / HTTP/1.1\r\n\r\n", "no Host"},
    {"GET / HTTP/1.1\r\n" H H "\r\n", "more than one Host"},
    {"GET / HTTP/1.0\r\n" H H "\r\n", "more than one Host"},
    {"GET / HTTP/1.1\r\n" H "Content-Length: 2\r\n\r\nhi", "a body on a method that has none"},
    {"GET / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
     "a body on a method that has none"},
    {"GET / HTTP/1.1\r\n" H "Origin: a\r\nOrigin: b\r\n\r\n", "more than one Origin"},
    {"GET / HTTP/1.1\r\n" H "Authorization: a\r\nauthorization: b\r\n\r\n",
     "more than one Authorization"},
    {POST H "Content-Type: application/json\r\ncontent-type: text/plain\r\n\r\n",
     "more than one Content-Type"},
    {POST H "Content-Encoding: identity\r\nContent-Encoding: gzip\r\n\r\n",
     "more than one Content-Encoding"},
    {"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", "a Host that is no host"},
    {"GET / HTTP/1.1\r\nHost: a@b\r\n\r\n", "a Host that is no host"},
    {"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", "a Host that is no host"},
    {"GET / HTTP/1.0\r\nHost: \xc3\xa9\r\n\r\n", "a Host that is no host"},
    {"TRACE / HTTP/1.1\r\n" H "Content-Length: 2\r\n\r\nhi", "a body on a method that has none"},
    {POST H "Content-Length: 2\r\nContent-Length: 2\r\n\r\nhi", "more than one Content-Length"},
    {POST H "Content-Length: 2\r\ncontent-length: 3\r\n\r\nhi", "more than one Content-Length"},
    {POST H "Content-Length: +2\r\n\r\nhi", "not a decimal number"},
    {POST H "Content-Length: 0x2\r\n\r\n", NULL},
    {POST H "Content-Length: 2, 2\r\n\r\nhi", NULL},
    {POST H "Content-Length: -1\r\n\r\n", NULL},
    {POST H "Content-Length: 1e1\r\n\r\n", NULL},
    {POST H "Content-Length:\r\n\r\n", NULL},
    {POST H "Content-Length: 18446744073709551618\r\n\r\nhi", NULL},
    {POST H "Transfer-Encoding: gzip\r\n\r\n", "other than chunked"},
    {POST H "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "other than chunked"},
    {POST H "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", NULL},
    {POST H "Transfer-Encoding: identity\r\n\r\n", "other than chunked"},
    {POST H "Transfer-Encoding: chunked;a=b\r\n\r\n0\r\n\r\n", "other than chunked"},
    {POST H "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", NULL},
    {POST H "Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n0\r\n\r\n", NULL},
    {POST H "Content-Length : 2\r\n\r\nhi", "a field name that is not a token"},
    {POST H "Con tent: 2\r\nContent-Length: 0\r\n\r\n", "a field name that is not a token"},
    {POST H "X(y): 2\r\nContent-Length: 0\r\n\r\n", "a field name that is not a token"},
    {POST H "\x80name: 2\r\nContent-Length: 0\r\n\r\n", "a field name that is not a token"},
    {POST H ": no name\r\nContent-Length: 0\r\n\r\n", NULL},
    {POST H "X-Control: a\x01z\r\nContent-Length: 0\r\n\r\n", "control bytes in a field value"},
    {POST H "X-Delete: a\x7fz\r\nContent-Length: 0\r\n\r\n", "control bytes in a field value"},
    {POST H "X-Return: a\rz\r\nContent-Length: 0\r\n\r\n", NULL},
};

/* says NULL: the gate or libevent may be the one, but it does not pass. */
static void check_refused(const char *request, const char *says)
{
    struct raw *r = raw_open(base, address);
    raw_send(r, request, strlen(request));
    bool answered = raw_receive(r, true);
    if (answered && r->status != 400 && !(says == NULL && r->status == 413))
        fail_msg("%s\nbecame: %s%s", request, r->head, r->body);
    if (says != NULL && (!answered || strstr(r->body, says) == NULL ||
                         strncmp(r->body, "malformed-request: ", 19) != 0))
        fail_msg("%s\nbecame: %s%s", request, r->head, r->body);
    raw_close(&r);
}

static void test_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        check_refused(bad[i].request, bad[i].says);
}

static void test_body_on_head(void **state)
{
    struct raw *r = raw_open(base, address);
    (void)state;
    assert_int_equal(raw_ask(r, "HEAD / HTTP/1.1\r\n" H "\r\n"), 200);
    assert_string_equal(raw_header(r, "X-Verdict"), "passed");
    raw_close(&r);
    r = raw_open(base, address);
    assert_int_equal(raw_ask(r, "HEAD / HTTP/1.1\r\n" H "Content-Length: 2\r\n\r\nhi"), 400);
    assert_non_null(strstr(raw_header(r, "X-Verdict"), "a body on a method that has none"));
    raw_close(&r);
}

/* By the gate, or by libevent in its own words. */
static const struct {
    const char *version;
    bool by_gate;
} versions[] = {
    {"HTTP/1.2", true},  {"HTTP/1.10", true}, {"HTTP/0.9", true},
    {"HTTP/2.0", false}, {"HTTP/3.7", false},
};

static void test_versions(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof versions / sizeof versions[0]; i++) {
        char request[80], says[40];
        struct raw *r = raw_open(base, address);
        snprintf(request, sizeof request, "GET / %s\r\n" H "\r\n", versions[i].version);
        snprintf(says, sizeof says, "%s is not served", versions[i].version);
        assert_int_equal(raw_ask(r, request), 400);
        if (versions[i].by_gate != (strncmp(r->body, "unsupported-version: ", 21) == 0) ||
            versions[i].by_gate != (strstr(r->body, says) != NULL))
            fail_msg("%s became: %s", versions[i].version, r->body);
        if (versions[i].by_gate) /* the answer has a version of its own */
            assert_memory_equal(r->head, "HTTP/1.1 ", strlen("HTTP/1.1 "));
        raw_close(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_accepted),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_body_on_head),
        cmocka_unit_test(test_versions),
    };
    return cmocka_run_group_tests_name("gate", tests, setup, teardown);
}
