/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * canaryctl's HTTP client against servers that answer well, badly or not at all.
 */
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/clock.h"
#include "ctl/client.h"
#include "ctl/member.h"
#include "ctl/url.h"
#include "tests/support/fake_canaryd.h"

#define TEN "abcdefghij"

static struct fake *fake;
static struct client *client;

static int start(void **state)
{
    const struct fake_plan plan = {0};
    (void)state;
    signal(SIGPIPE, SIG_IGN);
    fake = fake_start(&plan);
    client = client_new(fake_url(fake), NULL);
    return client == NULL ? -1 : 0;
}

static int stop(void **state)
{
    (void)state;
    client_free(&client);
    fake_stop(&fake);
    return 0;
}

static struct answer ask_well(struct client *c, const char *method, const char *path,
                              const cJSON *body)
{
    struct question q = {.method = method, .path = path, .body = body, .timeout_ms = 20000};
    struct answer a;
    struct err e = {0};
    if (client_ask(c, &q, &a, &e) != 0)
        fail_msg("%s %s: %s", method, path, e.text);
    return a;
}

static void ask_badly(const char *path, int timeout_ms, const char *code, const char *says)
{
    struct question q = {.method = "GET", .path = path, .timeout_ms = timeout_ms};
    struct answer a;
    struct err e = {0};
    assert_int_equal(client_ask(client, &q, &a, &e), -1);
    assert_string_equal(e.code, code);
    if (strstr(e.text, says) == NULL)
        fail_msg("%s: \"%s\" does not say \"%s\"", path, e.text, says);
    assert_null(a.text);
    assert_null(a.json);
}

static const struct {
    const char *text;
    const char *host; /* NULL: refused */
    const char *authority;
    int port;
    const char *prefix;
} urls[] = {
    {"http://localhost:8000", "localhost", "localhost:8000", 8000, ""},
    {"HTTP://example.org/", "example.org", "example.org", 80, ""},
    {"http://[::1]:81/canary//", "::1", "[::1]:81", 81, "/canary"},
    {"http://127.0.0.1:65535/a/b", "127.0.0.1", "127.0.0.1:65535", 65535, "/a/b"},
    {"localhost:8000", NULL, NULL, 0, NULL},
    {"https://localhost:8000", NULL, NULL, 0, NULL},
    {"http://", NULL, NULL, 0, NULL},
    {"http://:8000", NULL, NULL, 0, NULL},
    {"http://localhost:0", NULL, NULL, 0, NULL},
    {"http://localhost:65536", NULL, NULL, 0, NULL},
    {"http://localhost:80x", NULL, NULL, 0, NULL},
    {"http://me@localhost", NULL, NULL, 0, NULL},
    {"http://localhost?a=b", NULL, NULL, 0, NULL},
    {"http://localhost#a", NULL, NULL, 0, NULL},
    {"http://local host", NULL, NULL, 0, NULL},
    {"", NULL, NULL, 0, NULL},
};

static void test_urls(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof urls / sizeof urls[0]; i++) {
        struct url url = {.port = -1};
        struct err e = {0};
        int rc = url_parse(urls[i].text, &url, &e);
        if (urls[i].host == NULL) {
            if (rc == 0)
                fail_msg("%s: accepted", urls[i].text);
            assert_string_equal(e.code, "bad-url");
            assert_int_equal(url.port, -1);
            continue;
        }
        if (rc != 0)
            fail_msg("%s: %s", urls[i].text, e.text);
        assert_string_equal(url.host, urls[i].host);
        assert_string_equal(url.authority, urls[i].authority);
        assert_string_equal(url.prefix, urls[i].prefix);
        assert_int_equal(url.port, urls[i].port);
    }
}

static void test_good_answer(void **state)
{
    (void)state;
    struct answer a = ask_well(client, "GET", "/admin/status", NULL);
    assert_int_equal(a.status, 200);
    assert_string_equal(member_text(a.json, "version", ""), "0.1.0");
    assert_int_equal(strlen(a.text), a.n);
    answer_clear(&a);
    a = ask_well(client, "POST", "/predict", NULL);
    assert_string_equal(a.arm, "stable");
    answer_clear(&a);
}

static void test_what_is_sent(void **state)
{
    char url[80], authority[40];
    (void)state;
    snprintf(url, sizeof url, "%s/prefix/", fake_url(fake));
    struct client *c = client_new(url, NULL);
    cJSON *body = cJSON_Parse("{\"percent\":12.5}");
    assert_int_equal(client_set_token(c, "two words", NULL), -1);
    assert_int_equal(client_set_token(c, "", NULL), -1);
    assert_int_equal(client_set_token(c, "secret", NULL), 0);
    struct answer a = ask_well(c, "POST", "/test/echo", body);
    snprintf(authority, sizeof authority, "localhost:%d", fake_port(fake));
    assert_string_equal(member_text(a.json, "uri", ""), "/prefix/test/echo");
    assert_true(member_true(a.json, "post"));
    assert_string_equal(member_text(a.json, "body", ""), "{\"percent\":12.5}");
    assert_string_equal(member_text(a.json, "Host", ""), authority);
    assert_string_equal(member_text(a.json, "Content-Type", ""), "application/json");
    assert_string_equal(member_text(a.json, "Authorization", ""), "Bearer secret");
    answer_clear(&a);
    a = ask_well(c, "POST", "/test/echo", NULL);
    assert_string_equal(member_text(a.json, "Content-Length", ""), "0");
    assert_string_equal(member_text(a.json, "Content-Type", "none"), "none");
    answer_clear(&a);
    cJSON_Delete(body);
    client_free(&c);
}

static double peer_port(void)
{
    struct answer a = ask_well(client, "GET", "/test/peer", NULL);
    double port = member_number_or(a.json, "port", -1);
    answer_clear(&a);
    return port;
}

static void test_connection_is_used_again(void **state)
{
    (void)state;
    double first = peer_port();
    assert_true(first > 0);
    for (int i = 0; i < 20; i++)
        assert_true(peer_port() == first);
}

static void test_problem(void **state)
{
    (void)state;
    struct answer a = ask_well(client, "POST", "/test/problem", NULL);
    assert_int_equal(a.status, 409);
    assert_string_equal(member_text(a.json, "code", ""), "canary-active");
    answer_clear(&a);
    a = ask_well(client, "GET", "/nowhere", NULL);
    assert_int_equal(a.status, 404);
    answer_clear(&a);
}

static void test_refusal_need_not_be_json(void **state)
{
    (void)state;
    struct answer a = ask_well(client, "GET", "/test/html", NULL);
    assert_int_equal(a.status, 400);
    assert_null(a.json);
    assert_non_null(strstr(a.text, "<"));
    answer_clear(&a);
}

/* Each leaves the client fit for the next question. */
static void test_bad_answers(void **state)
{
    (void)state;
    ask_badly("/test/garbage", 20000, "bad-answer", "byte 7");
    ask_badly("/test/empty", 20000, "bad-answer", "empty");
    ask_badly("/test/hang-up", 20000, "bad-answer", "closed the connection");
    ask_badly("/test/huge", 20000, "bad-answer", "longer than 8 MiB");
    test_good_answer(state);
}

static void test_timeout(void **state)
{
    (void)state;
    ask_badly("/test/silent", 50, "timeout", "50 ms");
    ask_badly("/test/drip", 100, "timeout", "/test/drip");
    test_good_answer(state);
}

/* A port that is bound and does not listen refuses, and nobody else gets it. */
static void test_connection_refused(void **state)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof address;
    struct question q = {.method = "GET", .path = "/", .timeout_ms = 5000};
    struct answer a;
    struct err e = {0};
    char url[64];
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    (void)state;
    assert_int_equal(bind(fd, (struct sockaddr *)&address, n), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &n), 0);
    snprintf(url, sizeof url, "http://127.0.0.1:%d", ntohs(address.sin_port));
    struct client *c = client_new(url, NULL);
    assert_int_equal(client_ask(c, &q, &a, &e), -1);
    assert_string_equal(e.code, "unreachable");
    assert_non_null(strstr(e.text, url));
    assert_non_null(strstr(e.text, "connection refused"));
    client_free(&c);
    close(fd);
}

/* A label of more than 63 letters is refused without asking any name server. */
static void test_unknown_host(void **state)
{
    struct question q = {.method = "GET", .path = "/", .timeout_ms = 5000};
    struct answer a;
    struct err e = {0};
    (void)state;
    struct client *c = client_new("http://" TEN TEN TEN TEN TEN TEN TEN ":1", NULL);
    assert_int_equal(client_ask(c, &q, &a, &e), -1);
    assert_string_equal(e.code, "unreachable");
    client_free(&c);
}

/* The connection is kept, the server is gone: a failure, then reported as such. */
static void test_server_goes_away(void **state)
{
    const struct fake_plan plan = {0};
    struct question q = {.method = "GET", .path = "/admin/status", .timeout_ms = 5000};
    struct answer a;
    struct err e = {0};
    (void)state;
    struct fake *other = fake_start(&plan);
    struct client *c = client_new(fake_url(other), NULL);
    a = ask_well(c, "GET", "/admin/status", NULL);
    answer_clear(&a);
    fake_stop(&other);
    assert_int_equal(client_ask(c, &q, &a, &e), -1);
    assert_string_equal(e.code, "unreachable");
    client_free(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_urls),
        cmocka_unit_test(test_good_answer),
        cmocka_unit_test(test_what_is_sent),
        cmocka_unit_test(test_connection_is_used_again),
        cmocka_unit_test(test_problem),
        cmocka_unit_test(test_refusal_need_not_be_json),
        cmocka_unit_test(test_bad_answers),
        cmocka_unit_test(test_timeout),
        cmocka_unit_test(test_connection_refused),
        cmocka_unit_test(test_unknown_host),
        cmocka_unit_test(test_server_goes_away),
    };
    return cmocka_run_group_tests_name("ctl_client", tests, start, stop);
}
