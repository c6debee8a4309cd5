/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Routes and methods, and what a connection may be used for.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/mem.h"
#include "tests/support/answer.h"
#include "tests/support/server.h"

#define NUMBERS "[0.5,1.2,0.8,0.3,1.1]"

static const struct {
    const char *method, *path;
    int status;
    const char *allow;
} routes[] = {
    {"GET", "/predict", 405, "POST"},
    {"PUT", "/predict", 405, "POST"},
    {"DELETE", "/predict", 405, "POST"},
    {"HEAD", "/predict", 405, "POST"},
    {"GET", "/admin/deploy-canary", 405, "POST"},
    {"GET", "/admin/toggle-slowdown", 405, "POST"},
    {"POST", "/admin/status", 405, "GET"},
    {"POST", "/admin/check-canary-health", 405, "GET"},
    {"GET", "/nothing", 404, NULL},
    {"POST", "/admin/explode", 404, NULL},
    {"POST", "//predict", 404, NULL},
    {"POST", "/predict/", 404, NULL},
    {"POST", "/x/../predict", 404, NULL},
    {"POST", "/PREDICT", 404, NULL},
    {"GET", "/admin/status?x=1", 200, NULL},
    {"HEAD", "/readyz", 200, NULL},
    {"HEAD", "/livez", 200, NULL},
    {"GET", "/livez", 200, NULL},
    {"GET", "/readyz", 200, NULL},
    {"GET", "/healthz", 200, NULL},
};

static void test_routes(void **state)
{
    (void)state;
    struct server *s = server_start(NULL);
    for (size_t i = 0; i < sizeof routes / sizeof routes[0]; i++) {
        const struct http_answer *a = server_ask(
            s, &(struct http_request){.method = routes[i].method, .path = routes[i].path});
        if (a->status != routes[i].status)
            fail_msg("%s %s: expected %d: %s%s", routes[i].method, routes[i].path, routes[i].status,
                     a->head, a->body);
        if (routes[i].allow != NULL &&
            strstr(answer_header(a, "Allow", NULL), routes[i].allow) == NULL)
            fail_msg("%s %s: %s", routes[i].method, routes[i].path, a->head);
        if (a->status != 200 && strcmp(routes[i].method, "HEAD") != 0)
            answer_is_problem(a, routes[i].status, NULL);
    }
    server_stop(s);
}

/* What a stranger puts into a path comes back as data, never as a page. */
static void test_no_echo_as_html(void **state)
{
    (void)state;
    struct server *s = server_start(NULL);
    const struct http_answer *a = server_get(s, "/<script>alert(1)</script>");
    answer_is_problem(a, 404, NULL);
    answer_header(a, "X-Content-Type-Options", "nosniff");
    server_stop(s);
}

static void test_pipelining(void **state)
{
    (void)state;
    enum { N = 50 };
    struct server *s = server_start(NULL);
    struct err e = {0};
    struct http *h = http_open(s->port, &e);
    assert_non_null(h);
    char *all = mem_array(N, 256);
    for (int i = 0; i < N; i++)
        sprintf(all + strlen(all),
                "POST /predict HTTP/1.1\r\nHost: x\r\nX-Request-ID: n%d\r\n"
                "Content-Length: 34\r\n\r\n{\"features\":" NUMBERS "}",
                i);
    assert_int_equal(http_send(h, all, strlen(all), &e), 0);
    free(all);
    for (int i = 0; i < N; i++) {
        struct http_answer a = {0};
        char id[16];
        snprintf(id, sizeof id, "n%d", i);
        if (http_receive(h, false, &a, &e) != 1)
            fail_msg("answer %d: %s", i, e.text);
        answer_is(&a, 200);
        answer_header(&a, "X-Request-ID", id);
        http_answer_clear(&a);
    }
    assert_true(http_is_idle(h));
    http_close(&h);
    server_stop(s);
}

static void test_keep_alive(void **state)
{
    (void)state;
    struct server *s = server_start(NULL);
    struct err e = {0};
    struct http *h = http_open(s->port, &e);
    assert_non_null(h);
    for (int i = 0; i < 20; i++) {
        struct http_answer a = {0};
        /* Refusals of what a request means keep the connection too. */
        const char *body = i % 2 == 0 ? GOOD_FEATURES : "{}";
        if (http_ask(h, &(struct http_request){"POST", "/predict", NULL, body, 0}, &a, &e) != 0)
            fail_msg("%s", e.text);
        answer_is(&a, i % 2 == 0 ? 200 : 422);
        assert_false(a.closes);
        http_answer_clear(&a);
    }
    http_close(&h);
    server_stop(s);
}

static void test_http10(void **state)
{
    (void)state;
    static const char request[] = "POST /predict HTTP/1.0\r\n%sContent-Length: 34\r\n\r\n"
                                  "{\"features\":" NUMBERS "}";
    struct server *s = server_start(NULL);
    for (int keep = 0; keep < 2; keep++) {
        struct http_answer a = {0}, next = {0};
        struct err e = {0};
        struct http *h = http_open(s->port, &e);
        assert_non_null(h);
        char *text = mem_printf(request, keep ? "Connection: keep-alive\r\n" : "");
        http_send(h, text, strlen(text), &e);
        if (http_receive(h, false, &a, &e) != 1)
            fail_msg("%s", e.text);
        answer_is(&a, 200);
        assert_int_equal(a.closes, !keep);
        if (keep)
            http_send(h, text, strlen(text), &e);
        assert_int_equal(http_receive(h, false, &next, &e), keep);
        free(text);
        http_answer_clear(&a);
        http_answer_clear(&next);
        http_close(&h);
    }
    server_stop(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SERVER_TEST(test_routes),     SERVER_TEST(test_no_echo_as_html),
        SERVER_TEST(test_keep_alive), SERVER_TEST(test_pipelining),
        SERVER_TEST(test_http10),
    };
    return cmocka_run_group_tests_name("http", tests, NULL, NULL);
}
