/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Bytes that no decent client sends, from a catalogue of hostile inputs:
 * tests/data/raw_requests.json (framing and meaning of HTTP) and raw_bodies.json
 * (JSON), each case on a connection of its own. A case has "raw" (with \xNN for
 * bytes that are no text), the statuses that each of its "answers" may have
 * ("close": none came), perhaps their "code", and what happens "then" to the
 * connection. That a hidden request was not run shows in the count: what we ask
 * last is answered right after.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/jsonx.h"
#include "common/mem.h"
#include "tests/support/answer.h"
#include "tests/support/server.h"
#include "tests/support/workdir.h"

#define CASES   "tests/data/raw_requests.json"
#define BODIES  "tests/data/raw_bodies.json"
#define ODD     "X-Odd: 1\r\n" /* a field that keeps a request off the express lane */
#define SLOW_MS 25000
#define LAST    "GET /livez HTTP/1.1\r\nHost: x\r\nX-Request-ID: last\r\n\r\n"

static cJSON *cases, *bodies;

static cJSON *read_data(const char *path)
{
    struct err e = {0};
    char *text = workdir_read(path);
    cJSON *data = text != NULL ? jsonx_parse(text, strlen(text), &e) : NULL;
    if (data == NULL)
        print_error("%s: %s\n", path, text != NULL ? e.text : "missing");
    free(text);
    return data;
}

static int read_cases(void **state)
{
    (void)state;
    cases = read_data(CASES);
    bodies = read_data(BODIES);
    return cases != NULL && bodies != NULL ? 0 : -1;
}

static int free_cases(void **state)
{
    (void)state;
    cJSON_Delete(cases);
    cJSON_Delete(bodies);
    return 0;
}

static const char *text_of(const cJSON *one, const char *name)
{
    const char *text = cJSON_GetStringValue(jsonx_member(one, name));
    return text != NULL ? text : "";
}

static bool is_marked(const cJSON *one, const char *name)
{
    return cJSON_IsTrue(jsonx_member(one, name));
}

/* The bytes to send; free() them. */
static char *bytes_of(const cJSON *one, size_t *n)
{
    const char *at = text_of(one, "raw");
    char *bytes = mem_alloc(strlen(at) + 1);
    for (*n = 0; *at != '\0'; (*n)++) {
        unsigned byte = (unsigned char)*at;
        bool is_escape = at[0] == '\\' && at[1] == 'x' && sscanf(at + 2, "%2x", &byte) == 1;
        bytes[*n] = (char)byte;
        at += is_escape ? 4 : 1;
    }
    return bytes;
}

/* A case that fails does not hide the others: each is told, and counted. */
static int n_complaints;

static void complain(const cJSON *one, const char *what, const struct http_answer *a)
{
    n_complaints++;
    print_error("%s (%s): %s%s%s\n", text_of(one, "name"), text_of(one, "note"), what,
                a != NULL && a->status != 0 ? a->head : "",
                a != NULL && a->status != 0 ? a->body : "");
}

static bool is_allowed(const cJSON *allowed, int status)
{
    const cJSON *item;
    bool found = false;
    cJSON_ArrayForEach(item, allowed) {
        found = found || (cJSON_IsString(item) ? status == 0 : item->valueint == status);
    }
    return found;
}

/* Reads one answer, or the end (status 0). A reset is an end as well. */
static int next_answer(struct http *h, bool to_head, struct http_answer *a, struct err *e)
{
    int rc = http_receive(h, to_head, a, e);
    return rc < 0 && strcmp(e->code, "reset") == 0 ? 0 : rc;
}

/* What becomes of the connection: "open" if the last request was answered next. */
static const char *fate_of(struct http *h, bool closes, const cJSON *one)
{
    struct http_answer a = {0};
    struct err e = {0};
    if (!closes)
        http_send(h, LAST, strlen(LAST), &e);
    int rc = next_answer(h, false, &a, &e);
    const char *id = rc == 1 ? http_header(&a, "X-Request-ID") : NULL;
    if (rc < 0)
        complain(one, e.text, NULL);
    else if (rc == 1 && closes)
        complain(one, "something came after the last answer: ", &a);
    else if (rc == 1 && (id == NULL || strcmp(id, "last") != 0))
        complain(one, "one answer too many: ", &a);
    http_answer_clear(&a);
    return rc == 1 ? "open" : "closed";
}

static bool has_code(const struct http_answer *a, const char *code)
{
    const char *its = cJSON_GetStringValue(jsonx_member(a->json, "code"));
    return *code == '\0' || (its != NULL && strcmp(its, code) == 0);
}

/* Reads the answers that the case foresees and checks each; false when the
 * connection ended among them or they went wrong. */
static bool expect_answers(struct http *h, const cJSON *one, bool *closes)
{
    bool to_head = strncmp(text_of(one, "raw"), "HEAD ", 5) == 0;
    bool go_on = true;
    const cJSON *allowed;
    cJSON_ArrayForEach(allowed, jsonx_member(one, "answers")) {
        struct http_answer a = {0};
        struct err e = {0};
        if (!go_on)
            continue;
        int rc = next_answer(h, to_head, &a, &e);
        if (rc < 0)
            complain(one, e.text, NULL);
        else if (!is_allowed(allowed, a.status))
            complain(one, rc == 1 ? "" : "closed without an answer", &a);
        else if (!has_code(&a, text_of(one, "code")))
            complain(one, "another code: ", &a);
        *closes = a.closes;
        go_on = rc == 1;
        http_answer_clear(&a);
    }
    return go_on;
}

static struct http *open_to(struct server *s)
{
    struct err e = {0};
    struct http *h = http_open(s->port, &e);
    if (h == NULL)
        fail_msg("%s", e.text);
    return h;
}

/* Puts a field behind the request line. */
static void add_field(char **bytes, size_t *n, const char *field)
{
    const char *line_end = memmem(*bytes, *n, "\r\n", 2);
    size_t at = (size_t)(line_end - *bytes) + 2, m = strlen(field);
    *bytes = mem_resize(*bytes, *n + m, 1);
    memmove(*bytes + at + m, *bytes + at, *n - at);
    memcpy(*bytes + at, field, m);
    *n += m;
}

/* field: one more, or NULL. */
static void replay(struct server *s, const cJSON *one, const char *field)
{
    size_t n = 0;
    bool closes = false;
    const char *then = text_of(one, "then");
    struct http *h = open_to(s);
    char *bytes = bytes_of(one, &n);
    if (field != NULL)
        add_field(&bytes, &n, field);
    http_send(h, bytes, n, NULL);
    free(bytes);
    const char *fate = expect_answers(h, one, &closes) ? fate_of(h, closes, one) : "closed";
    if (*then != '\0' && strcmp(then, fate) != 0)
        complain(one,
                 strcmp(then, "open") == 0 ? "the connection is not kept"
                                           : "the connection stays open",
                 NULL);
    http_close(&h);
    server_predict(s);
}

static void test_replay(void **state)
{
    (void)state;
    struct server *s = server_start(NULL);
    int n = 0;
    n_complaints = 0;
    const cJSON *one;
    cJSON_ArrayForEach(one, cases) {
        if (is_marked(one, "known_gap"))
            print_message("SKIP %s: known gap: %s\n", text_of(one, "name"), text_of(one, "note"));
        if (is_marked(one, "known_gap") || is_marked(one, "slow"))
            continue;
        replay(s, one, NULL);
        n++;
    }
    print_message("%d cases\n", n);
    assert_true(n > 40);
    assert_int_equal(n_complaints, 0);
    server_stop(s);
}

/* Each by both roads: the express lane's, and evhttp's. */
static void test_bodies(void **state)
{
    (void)state;
    struct server *s = server_start(NULL);
    int n = 0;
    n_complaints = 0;
    const cJSON *one;
    cJSON_ArrayForEach(one, bodies) {
        replay(s, one, NULL);
        replay(s, one, ODD);
        n++;
    }
    print_message("%d cases\n", n);
    assert_true(n > 30);
    assert_int_equal(n_complaints, 0);
    server_stop(s);
}

/* Those that only a deadline of the server ends; all wait at the same time. */
static void test_silent_connections(void **state)
{
    (void)state;
    static const char *const impatient[] = {"--header-timeout-ms=500", NULL};
    struct server *s = server_start(impatient);
    struct waiting {
        const cJSON *one;
        struct http *http;
    } waiting[8];
    size_t n = 0;
    n_complaints = 0;
    const cJSON *one;
    cJSON_ArrayForEach(one, cases) {
        if (!is_marked(one, "slow") || n == 8)
            continue;
        size_t n_bytes = 0;
        char *bytes = bytes_of(one, &n_bytes);
        waiting[n] = (struct waiting){one, open_to(s)};
        http_set_timeout(waiting[n].http, SLOW_MS);
        http_send(waiting[n++].http, bytes, n_bytes, NULL);
        free(bytes);
    }
    assert_true(n > 0);
    for (size_t i = 0; i < n; i++) {
        bool closes = false;
        if (expect_answers(waiting[i].http, waiting[i].one, &closes))
            assert_string_equal(fate_of(waiting[i].http, closes, waiting[i].one), "closed");
        http_close(&waiting[i].http);
    }
    assert_int_equal(n_complaints, 0);
    server_predict(s);
    server_stop(s);
}

static const struct {
    const char *head, *fill;
    int n;
    const char *tail;
    int status[3];
} long_heads[] = {
    {"GET /livez HTTP/1.1\r\nHost: x\r\nX-A: ", "a", 20000, "\r\n\r\n", {400, 431, 0}},
    {"GET /livez HTTP/1.1\r\nHost: x\r\n", "A: bcdefg\r\n", 5000, "\r\n", {400, 431, 0}},
    {"GET /livez HTTP/1.1\r\nHost: x\r\n", "A: bcdefg\r\n", 1000, "\r\n", {400, 431, 200}},
    {"GET /", "a", 20000, " HTTP/1.1\r\nHost: x\r\n\r\n", {400, 414, 431}},
    {"GET /", "a", 200000, "", {400, 414, 431}},
};

static void test_long_heads(void **state)
{
    (void)state;
    struct server *s = server_start(NULL);
    for (size_t i = 0; i < sizeof long_heads / sizeof long_heads[0]; i++) {
        struct http_answer a = {0};
        struct err e = {0};
        struct http *h = open_to(s);
        size_t n = strlen(long_heads[i].head), m = strlen(long_heads[i].fill);
        char *text = mem_array(n + m * (size_t)long_heads[i].n + 64, 1);
        memcpy(text, long_heads[i].head, n);
        for (int k = 0; k < long_heads[i].n; k++, n += m)
            memcpy(text + n, long_heads[i].fill, m);
        memcpy(text + n, long_heads[i].tail, strlen(long_heads[i].tail));
        http_send(h, text, strlen(text), &e);
        free(text);
        if (next_answer(h, false, &a, &e) < 0)
            fail_msg("long head %zu: %s", i, e.text);
        const int *allowed = long_heads[i].status;
        if (a.status != 0 && a.status != allowed[0] && a.status != allowed[1] &&
            a.status != allowed[2])
            fail_msg("long head %zu: %s%s", i, a.head, a.body);
        http_answer_clear(&a);
        http_close(&h);
        server_predict(s);
    }
    server_stop(s);
}

static const struct {
    const char *head; /* to which Content-Length is added */
    size_t announced, sent;
} long_bodies[] = {
    {"POST /predict HTTP/1.1\r\nHost: x\r\n", 262145, 262145},
    {"POST /predict HTTP/1.1\r\nHost: x\r\n" ODD, 262145, 262145},
    {"POST /predict HTTP/1.1\r\nHost: x\r\n", (size_t)2 << 20, 0},
    {"POST /predict HTTP/1.1\r\nHost: x\r\n", (size_t)10 << 20, (size_t)10 << 20},
    {"POST /admin/deploy-canary HTTP/1.1\r\nHost: localhost\r\n", 20000, 20000},
};

/* Refused by the length alone, however much of it comes. The answer may be lost to a
 * reset when the client goes on sending. */
static void test_long_bodies(void **state)
{
    (void)state;
    struct server *s = server_start(NULL);
    for (size_t i = 0; i < sizeof long_bodies / sizeof long_bodies[0]; i++) {
        struct http_answer a = {0};
        struct err e = {0};
        struct http *h = open_to(s);
        size_t n = long_bodies[i].sent;
        char *head = mem_printf("%sContent-Length: %zu\r\n\r\n", long_bodies[i].head,
                                long_bodies[i].announced);
        char *body = mem_array(n + 2, 1);
        for (size_t k = 0; k < n; k++)
            body[k] = ",1"[k % 2];
        http_send(h, head, strlen(head), &e);
        http_send(h, body, n, &e);
        int rc = next_answer(h, false, &a, &e);
        if (rc < 0 || (rc == 1 && a.status != 413))
            fail_msg("long body %zu: %s", i, rc < 0 ? e.text : a.head);
        assert_true(rc == 1 || n > 262145);
        http_answer_clear(&a);
        http_close(&h);
        free(head);
        free(body);
        server_predict(s);
    }
    server_stop(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SERVER_TEST(test_replay),
        SERVER_TEST(test_bodies),
        SERVER_TEST(test_long_heads),
        SERVER_TEST(test_long_bodies),
        SERVER_TEST(test_silent_connections),
    };
    return cmocka_run_group_tests_name("hostile_http", tests, read_cases, free_cases);
}
