/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The gateway with handlers of the test's own: routing, methods, request ids,
 * media types, admin routes, late replies and draining, by raw HTTP.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <event2/event.h>

#include "common/jsonx.h"
#include "common/mem.h"
#include "supervisor/gateway.h"
#include "supervisor/listen.h"
#include "tests/support/loop.h"
#include "tests/support/raw.h"

#define MAX_BODY 40000

struct lobby {
    struct event_base *base;
    struct gateway *gateway;
    struct access *access;
    char address[LISTEN_TEXT_SIZE];
    struct raw *client;
    struct exchange *parked;
    int n_handled;
};

static void say_path(void *arg, struct exchange *x)
{
    struct lobby *l = arg;
    l->n_handled++;
    exchange_reply(x, 200, "text/plain", exchange_path(x), strlen(exchange_path(x)));
}

static void say_body(void *arg, struct exchange *x)
{
    struct lobby *l = arg;
    size_t n;
    const char *body = exchange_body(x, &n);
    assert_int_equal(body[n], '\0');
    l->n_handled++;
    exchange_reply(x, 200, "text/plain", body, n);
}

static void park(void *arg, struct exchange *x)
{
    struct lobby *l = arg;
    l->parked = x;
}

static void say_other(void *arg, struct exchange *x)
{
    const char *word = arg;
    cJSON *root = cJSON_CreateObject();
    cJSON_AddStringToObject(root, "word", word);
    exchange_set_header(x, "X-Word", word);
    exchange_reply_json(x, 200, root);
}

static const struct route routes[] = {
    {"GET", "/thing", false, say_path},      {"POST", "/thing", false, say_body},
    {"POST", "/only-post", false, say_body}, {"GET", "/later", false, park},
    {"POST", "/admin/do", true, say_body},   {"GET", "/admin/see", true, say_path},
};
static const struct route other_routes[] = {
    {"GET", "/other", false, say_other},
    {"POST", "/only-get", false, say_other},
};

static int open_lobby(void **state, enum door door)
{
    static char word[] = "swordfish";
    struct lobby *l = mem_alloc(sizeof *l);
    struct err e;
    l->access = access_new();
    const struct gateway_options options = {.max_body_bytes = MAX_BODY, .access = l->access};
    int fd = listen_on("127.0.0.1:0", &e);
    *state = l;
    if (fd < 0 || listen_address(fd, l->address) < 0)
        return -1;
    l->base = event_base_new();
    l->gateway = gateway_new(l->base, &options);
    gateway_add_routes(l->gateway, routes, sizeof routes / sizeof routes[0], l);
    gateway_add_routes(l->gateway, other_routes, 2, word);
    if (gateway_accept(l->gateway, fd, door, &e) < 0)
        return -1;
    l->client = raw_open(l->base, l->address);
    return 0;
}

static int setup(void **state)
{
    return open_lobby(state, DOOR_LOCAL);
}

static int setup_closed(void **state)
{
    return open_lobby(state, DOOR_REMOTE);
}

static int teardown(void **state)
{
    struct lobby *l = *state;
    raw_close(&l->client);
    gateway_free(&l->gateway);
    gateway_free(&l->gateway);
    access_free(&l->access);
    event_base_free(l->base);
    free(l);
    return 0;
}

#define HOST    " HTTP/1.1\r\nHost: localhost\r\n"
#define NO_BODY "Content-Length: 0\r\n\r\n"

/* The answer is a problem of this code, whose instance is the request's id. */
static void assert_problem(const struct raw *r, int status, const char *code)
{
    char instance[100];
    struct err e = {0};
    if (r->status != status)
        fail_msg("%d: %s", r->status, r->body);
    cJSON *j = jsonx_parse(r->body, strlen(r->body), &e);
    assert_non_null(j);
    assert_string_equal(jsonx_member(j, "code")->valuestring, code);
    assert_int_equal(jsonx_member(j, "status")->valueint, status);
    snprintf(instance, sizeof instance, "urn:request:%s", raw_header(r, "X-Request-ID"));
    assert_string_equal(jsonx_member(j, "instance")->valuestring, instance);
    assert_string_equal(raw_header(r, "Content-Type"), "application/problem+json");
    assert_string_equal(raw_header(r, "X-Content-Type-Options"), "nosniff");
    cJSON_Delete(j);
}

/* --- Routes -----------------------------------------------------------------*/

static void test_routes_of_several_tables(void **state)
{
    struct lobby *l = *state;
    assert_int_equal(raw_ask(l->client, "GET /thing" HOST "\r\n"), 200);
    assert_string_equal(l->client->body, "/thing");
    assert_int_equal(raw_ask(l->client, "GET /other" HOST "\r\n"), 200);
    assert_string_equal(l->client->body, "{\"word\":\"swordfish\"}");
    assert_string_equal(raw_header(l->client, "X-Word"), "swordfish");
    assert_string_equal(raw_header(l->client, "Content-Type"), "application/json");
    assert_int_equal(raw_ask(l->client, "POST /thing" HOST "Content-Length: 4\r\n\r\n\"hi\""), 200);
    assert_string_equal(l->client->body, "\"hi\"");
    assert_int_equal(gateway_n_pending(l->gateway), 0);
    assert_true(gateway_last_request_ns(l->gateway) > 0);
}

static const char *const not_there[] = {"/",        "/thing/",   "/thin",       "//thing", "/THING",
                                        "/th%69ng", "/thing%00", "/a/../thing", "/thing;a"};

static void test_nothing_there(void **state)
{
    struct lobby *l = *state;
    for (size_t i = 0; i < sizeof not_there / sizeof not_there[0]; i++) {
        char request[100];
        snprintf(request, sizeof request, "GET %s" HOST "\r\n", not_there[i]);
        raw_ask(l->client, request);
        assert_problem(l->client, 404, "not-found");
    }
    assert_int_equal(l->n_handled, 0);
}

static void test_query_and_absolute_form(void **state)
{
    struct lobby *l = *state;
    assert_int_equal(raw_ask(l->client, "GET /thing?a=/b" HOST "\r\n"), 200);
    assert_string_equal(l->client->body, "/thing");
    assert_int_equal(raw_ask(l->client, "GET http://here/thing?a=b" HOST "\r\n"), 200);
    assert_string_equal(l->client->body, "/thing");
}

static const struct {
    const char *request;
    const char *allow;
} refusals[] = {
    {"DELETE /thing" HOST NO_BODY, "GET, HEAD, POST"},
    {"PUT /only-post" HOST NO_BODY, "POST"},
    {"GET /only-post" HOST "\r\n", "POST"},
    {"HEAD /only-post" HOST "\r\n", "POST"},
    {"POST /other" HOST NO_BODY, "GET, HEAD"},
    {"PATCH /later" HOST NO_BODY, "GET, HEAD"},
};

static void test_method_not_allowed(void **state)
{
    struct lobby *l = *state;
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        assert_int_equal(raw_ask(l->client, refusals[i].request), 405);
        assert_string_equal(raw_header(l->client, "Allow"), refusals[i].allow);
        if (refusals[i].request[0] != 'H')
            assert_problem(l->client, 405, "method-not-allowed");
    }
    assert_int_equal(l->n_handled, 0);
}

static void test_options(void **state)
{
    struct lobby *l = *state;
    assert_int_equal(raw_ask(l->client, "OPTIONS /thing" HOST NO_BODY), 204);
    assert_string_equal(raw_header(l->client, "Allow"), "GET, HEAD, POST");
    assert_int_equal(raw_ask(l->client, "OPTIONS *" HOST NO_BODY), 204);
    assert_non_null(strstr(raw_header(l->client, "Allow"), "OPTIONS"));
    assert_int_equal(raw_ask(l->client, "OPTIONS /nothing" HOST NO_BODY), 404);
}

static void test_head(void **state)
{
    struct lobby *l = *state;
    assert_int_equal(raw_ask(l->client, "HEAD /thing" HOST "\r\n"), 200);
    assert_string_equal(raw_header(l->client, "Content-Length"), "6");
    assert_string_equal(raw_header(l->client, "Content-Type"), "text/plain");
    assert_int_equal(raw_ask(l->client, "GET /thing" HOST "\r\n"), 200); /* nothing was left over */
    assert_string_equal(l->client->body, "/thing");
    assert_int_equal(raw_ask(l->client, "HEAD /nothing" HOST "\r\n"), 404);
}

/* --- Request ids ------------------------------------------------------------*/

#define TEN "abcdefghij"

static const struct {
    const char *theirs;
    bool is_kept;
} ids[] = {
    {"a", true},
    {"A-z.0_9", true},
    {TEN TEN TEN TEN TEN TEN "1234", true},
    {TEN TEN TEN TEN TEN TEN "12345", false},
    {"two words", false},
    {"semi;colon", false},
    {"gr\xc3\xbc\xc3\x9f", false},
    {"\"quoted\"", false},
    {"", false},
};

static void test_request_ids(void **state)
{
    struct lobby *l = *state;
    char last[100] = "";
    for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++) {
        char request[200];
        snprintf(request, sizeof request, "GET /thing" HOST "X-Request-ID: %s\r\n\r\n",
                 ids[i].theirs);
        assert_int_equal(raw_ask(l->client, request), 200);
        const char *ours = raw_header(l->client, "X-Request-ID");
        if (ids[i].is_kept) {
            assert_string_equal(ours, ids[i].theirs);
            continue;
        }
        assert_memory_equal(ours, "req_", 4);
        assert_int_equal(strlen(ours), 20);
        assert_string_not_equal(ours, last); /* each has its own */
        snprintf(last, sizeof last, "%s", ours);
    }
}

/* --- Bodies -----------------------------------------------------------------*/

static const struct {
    const char *headers;
    int status;
} media[] = {
    {"", 200},
    {"Content-Type: application/json\r\n", 200},
    {"Content-Type: Application/JSON; charset=utf-8\r\n", 200},
    {"Content-Type: application/vnd.x+json\r\n", 200},
    {"Content-Type: application/problem+json;a=b\r\n", 200},
    {"Content-Encoding: identity\r\n", 200},
    {"Content-Type: text/plain\r\n", 415},
    {"Content-Type: text/x+json\r\n", 415},
    {"Content-Type: application/jsonx\r\n", 415},
    {"Content-Type: application/x-www-form-urlencoded\r\n", 415},
    {"Content-Type: multipart/form-data\r\n", 415},
    {"Content-Encoding: gzip\r\n", 415},
};

static void test_media_types(void **state)
{
    struct lobby *l = *state;
    for (size_t i = 0; i < sizeof media / sizeof media[0]; i++) {
        char request[200];
        snprintf(request, sizeof request, "POST /thing" HOST "%sContent-Length: 2\r\n\r\n{}",
                 media[i].headers);
        if (raw_ask(l->client, request) != media[i].status)
            fail_msg("%s: %d", media[i].headers, l->client->status);
        if (media[i].status == 415)
            assert_problem(l->client, 415, "unsupported-media-type");
    }
    /* without a body its type is no matter */
    assert_int_equal(raw_ask(l->client, "POST /thing" HOST "Content-Type: text/plain\r\n" NO_BODY),
                     200);
}

static int post_bytes(struct lobby *l, const char *path, size_t n)
{
    char *request =
        mem_printf("POST %s" HOST "Content-Length: %zu\r\n\r\n%*s", path, n, (int)n, "");
    int status = raw_ask(l->client, request);
    free(request);
    return status;
}

static void test_body_limits(void **state)
{
    struct lobby *l = *state;
    assert_int_equal(post_bytes(l, "/admin/do", GATEWAY_MAX_ADMIN_BYTES), 200);
    assert_int_equal(post_bytes(l, "/admin/do", GATEWAY_MAX_ADMIN_BYTES + 1), 413);
    assert_problem(l->client, 413, "body-too-large");
    assert_int_equal(post_bytes(l, "/thing", MAX_BODY), 200);
    assert_int_equal(strlen(l->client->body), MAX_BODY);
}

/* --- Admin routes -----------------------------------------------------------*/

static void test_admin_closed(void **state)
{
    struct lobby *l = *state;
    raw_ask(l->client, "POST /admin/do" HOST NO_BODY);
    assert_problem(l->client, 403, "admin-closed");
    raw_ask(l->client, "GET /admin/see" HOST "\r\n");
    assert_problem(l->client, 403, "admin-closed");
    assert_int_equal(raw_ask(l->client, "GET /thing" HOST "\r\n"), 200);
    assert_int_equal(l->n_handled, 1);
}

static void test_admin_open(void **state)
{
    struct lobby *l = *state;
    assert_int_equal(raw_ask(l->client, "POST /admin/do" HOST NO_BODY), 200);
    assert_int_equal(raw_ask(l->client, "GET /admin/see" HOST "\r\n"), 200);
    assert_int_equal(l->n_handled, 2);
}

/* --- Closing ----------------------------------------------------------------*/

static const char *const closing[] = {
    "GET /thing HTTP/1.1\r\n\r\n",                 /* the gate refuses it */
    "POST /thing" HOST "\r\n",                     /* how long is its body? */
    "GET /thing" HOST "Connection: close\r\n\r\n", /* as they say */
    "POST /thing" HOST "X y: 1\r\nContent-Length: 0\r\n\r\n",
};

/* What stands behind such a request is never run as the next one. */
static void test_connection_ends(void **state)
{
    struct lobby *l = *state;
    for (size_t i = 0; i < sizeof closing / sizeof closing[0]; i++) {
        raw_close(&l->client);
        l->client = raw_open(l->base, l->address);
        raw_send(l->client, closing[i], strlen(closing[i]));
        raw_send(l->client, "GET /other" HOST "\r\n", strlen("GET /other" HOST "\r\n"));
        assert_true(raw_receive(l->client, true));
        assert_string_equal(raw_header(l->client, "Connection"), "close");
        raw_expect_end(l->client);
    }
}

static void test_connection_stays(void **state)
{
    struct lobby *l = *state;
    for (int i = 0; i < 5; i++) {
        assert_int_equal(raw_ask(l->client, "GET /nothing" HOST "\r\n"), 404);
        assert_int_equal(raw_ask(l->client, "GET /thing" HOST "\r\n"), 200);
    }
}

static void park_one(struct lobby *l)
{
    static const char request[] = "GET /later" HOST "X-Request-ID: late\r\n\r\n";
    raw_send(l->client, request, sizeof request - 1);
    loop_until(l->base, l->parked != NULL);
    assert_int_equal(gateway_n_pending(l->gateway), 1);
}

static void test_late_reply(void **state)
{
    struct lobby *l = *state;
    park_one(l);
    assert_string_equal(exchange_id(l->parked), "late");
    exchange_reply(l->parked, 200, "text/plain", "at last", 7);
    assert_int_equal(gateway_n_pending(l->gateway), 0);
    assert_true(raw_receive(l->client, true));
    assert_string_equal(l->client->body, "at last");
    assert_string_equal(raw_header(l->client, "X-Request-ID"), "late");
}

static void test_late_reply_after_the_client_left(void **state)
{
    struct lobby *l = *state;
    park_one(l);
    raw_close(&l->client);
    loop_settle(l->base);
    assert_int_equal(gateway_n_pending(l->gateway), 1);
    exchange_set_header(l->parked, "X-Word", "late");
    exchange_reply(l->parked, 200, "text/plain", "at last", 7);
    assert_int_equal(gateway_n_pending(l->gateway), 0);
    loop_settle(l->base);
    l->client = raw_open(l->base, l->address);
    assert_int_equal(raw_ask(l->client, "GET /thing" HOST "\r\n"), 200);
}

static void test_draining(void **state)
{
    struct lobby *l = *state;
    struct err e;
    park_one(l);
    gateway_drain(l->gateway);
    assert_int_equal(gateway_n_pending(l->gateway), 1);
    err_set(&e, "not-ready", "canaryd is stopping");
    exchange_reply_problem(l->parked, &e); /* who had asked is still answered */
    assert_true(raw_receive(l->client, true));
    assert_problem(l->client, 503, "not-ready");
    assert_string_equal(raw_header(l->client, "Retry-After"), "1");
    assert_string_equal(raw_header(l->client, "Connection"), "close");
    raw_expect_end(l->client);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_routes_of_several_tables),
        TEST(test_nothing_there),
        TEST(test_query_and_absolute_form),
        TEST(test_method_not_allowed),
        TEST(test_options),
        TEST(test_head),
        TEST(test_request_ids),
        TEST(test_media_types),
        TEST(test_body_limits),
        TEST(test_admin_open),
        cmocka_unit_test_setup_teardown(test_admin_closed, setup_closed, teardown),
        TEST(test_connection_ends),
        TEST(test_connection_stays),
        TEST(test_late_reply),
        TEST(test_late_reply_after_the_client_left),
        TEST(test_draining),
    };
    return cmocka_run_group_tests_name("gateway", tests, NULL, NULL);
}
