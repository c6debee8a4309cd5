/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * See gateway.h: one exchange, from its request to its one answer.
 */
#include "supervisor/gateway_private.h"

#include <assert.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <event2/buffer.h>
#include <event2/http.h>

#include "common/clock.h"
#include "common/jsonx.h"
#include "common/mem.h"
#include "supervisor/plain_request.h"
#include "supervisor/port.h"
#include "supervisor/problems.h"

#define MAX_ID              64
#define RETRY_AFTER_SECONDS "1"
#define STATUS_LINE_SIZE    64
#define SMALL_ANSWER_BYTES  2048

static bool is_request_id(const char *text, size_t n)
{
    if (n == 0 || n > MAX_ID)
        return false;
    for (size_t i = 0; i < n; i++)
        if (!isalnum((unsigned char)text[i]) && (text[i] == '\0' || strchr("._-", text[i]) == NULL))
            return false;
    return true;
}

/* The client's own, if it has a good one (NULL: it has none), else a fresh one. */
static void choose_id(struct exchange *x, const char *theirs, size_t n)
{
    static const char hex[] = "0123456789abcdef";
    if (theirs != NULL && is_request_id(theirs, n)) {
        memcpy(x->id, theirs, n);
        x->id[n] = '\0';
        return;
    }
    uint64_t number = rng_next(&x->gateway->rng);
    memcpy(x->id, "req_", 4);
    for (int i = 0; i < 16; i++)
        x->id[4 + i] = hex[number >> (60 - 4 * i) & 15];
    x->id[20] = '\0';
}

/* The path as it was sent, without the query; of an absolute URI its path. */
static char *copy_path(struct evhttp_request *request)
{
    const char *uri = evhttp_request_get_uri(request);
    if (uri == NULL)
        return mem_strdup("");
    if (uri[0] != '/') {
        const struct evhttp_uri *parsed = evhttp_request_get_evhttp_uri(request);
        const char *path = parsed != NULL ? evhttp_uri_get_path(parsed) : NULL;
        return mem_strdup(path != NULL ? path : uri);
    }
    return mem_strndup(uri, strcspn(uri, "?"));
}

static void on_gone(void *arg)
{
    struct exchange *x = arg;
    x->request = NULL;
    x->conn = NULL;
    x->body = NULL;
}

static void exchange_begin(struct exchange *x)
{
    conn_begin(x->conn, on_gone, x);
    x->gateway->n_pending++;
    x->gateway->last_request_ns = clock_coarse_ns();
}

struct exchange *exchange_new(const struct doorway *d, struct evhttp_request *request)
{
    struct gateway *g = d->gateway;
    struct exchange *x = mem_alloc(sizeof *x);
    struct evbuffer *input = evhttp_request_get_input_buffer(request);
    x->gateway = g;
    x->doorway = d;
    x->request = request;
    x->path = x->own_path = copy_path(request);
    x->conn = conns_find(port_conns(d->port), request);
    const char *id = exchange_header(x, "X-Request-ID");
    choose_id(x, id, id != NULL ? strlen(id) : 0);
    x->body_size = evbuffer_get_length(input);
    evbuffer_add(input, "", 1); /* the NUL behind the body */
    x->body = (const char *)evbuffer_pullup(input, -1);
    exchange_begin(x);
    return x;
}

static char *put_text(char *at, const char *text, size_t n)
{
    memcpy(at, text, n);
    at[n] = '\0';
    return at;
}

struct exchange *exchange_new_express(const struct doorway *d, struct conn *c,
                                      const struct plain_request *r)
{
    struct exchange *x = mem_malloc(sizeof *x + r->body_size + r->kept_size + 2);
    char *texts = x->express_texts;
    *x = (struct exchange){.gateway = d->gateway,
                           .doorway = d,
                           .conn = c,
                           .is_express = true,
                           .path = d->gateway->express->path,
                           .body = texts,
                           .body_size = r->body_size};
    put_text(texts, r->body, r->body_size);
    if (r->kept != NULL)
        x->kept = put_text(texts + r->body_size + 1, r->kept, r->kept_size);
    choose_id(x, r->id, r->id_size);
    exchange_begin(x);
    return x;
}

static void exchange_free(struct exchange *x)
{
    x->gateway->n_pending--;
    x->gateway->last_request_ns = clock_coarse_ns();
    free(x->own_path);
    free(x);
}

const char *exchange_body(const struct exchange *x, size_t *n)
{
    *n = x->body_size;
    return x->body;
}

const char *exchange_header(const struct exchange *x, const char *name)
{
    if (x->is_express)
        return strcasecmp(name, x->gateway->kept_field) == 0 ? x->kept : NULL;
    if (x->request == NULL)
        return NULL;
    return evhttp_find_header(evhttp_request_get_input_headers(x->request), name);
}

const char *exchange_id(const struct exchange *x)
{
    return x->id;
}

const char *exchange_path(const struct exchange *x)
{
    return x->path;
}

static void add_express_field(struct exchange *x, const char *name, const char *value)
{
    size_t n_name = strlen(name), n_value = strlen(value);
    assert(x->head_size + n_name + n_value + 4 <= sizeof x->head);
    char *at = x->head + x->head_size;
    at = mempcpy(at, name, n_name);
    at = mempcpy(at, ": ", 2);
    at = mempcpy(at, value, n_value);
    at = mempcpy(at, "\r\n", 2);
    x->head_size = (size_t)(at - x->head);
}

void exchange_set_header(struct exchange *x, const char *name, const char *value)
{
    if (x->is_express)
        add_express_field(x, name, value);
    else if (x->request != NULL)
        evhttp_add_header(evhttp_request_get_output_headers(x->request), name, value);
}

/* As evhttp has it on every answer: of this second, formatted once in it. */
static const char *date_now(struct gateway *g)
{
    struct timespec now;
    struct tm tm;
    clock_gettime(CLOCK_REALTIME_COARSE, &now);
    if (now.tv_sec != g->date_second) {
        g->date_second = now.tv_sec;
        gmtime_r(&now.tv_sec, &tm);
        strftime(g->date, sizeof g->date, "%a, %d %b %Y %H:%M:%S GMT", &tm);
    }
    return g->date;
}

/* Most answers are 200. */
static size_t print_status(char line[STATUS_LINE_SIZE], int status)
{
    static const char ok[] = "HTTP/1.1 200 OK\r\n";
    if (status == 200)
        return (size_t)(stpcpy(line, ok) - line);
    return (size_t)snprintf(line, STATUS_LINE_SIZE, "HTTP/1.1 %d %s\r\n", status,
                            status_reason(status));
}

/* One piece, sent at once. */
static void reply_express(struct exchange *x, int status, const char *body, size_t n)
{
    char small[SMALL_ANSWER_BYTES];
    char line[STATUS_LINE_SIZE], length[JSONX_NUMBER_SIZE];
    bool draining = x->gateway->draining;
    struct conn *conn = x->conn;
    size_t n_line = print_status(line, status);
    jsonx_print_whole(length, n);
    add_express_field(x, "Date", date_now(x->gateway));
    add_express_field(x, "Content-Length", length);
    size_t size = n_line + x->head_size + 2 + n;
    char *answer = size <= sizeof small ? small : mem_array(size, 1);
    char *at = mempcpy(answer, line, n_line);
    at = mempcpy(at, x->head, x->head_size);
    at = mempcpy(at, "\r\n", 2);
    memcpy(at, body, n);
    exchange_free(x);
    conn_express_answer(conn, answer, size, draining);
    if (answer != small)
        free(answer);
}

static void reply_by_evhttp(struct exchange *x, int status, const char *body, size_t n)
{
    struct evhttp_request *request = x->request;
    enum evhttp_cmd_type method = evhttp_request_get_command(request);
    if (method == EVHTTP_REQ_HEAD || method == EVHTTP_REQ_CONNECT) { /* evhttp says none */
        char length[24];
        snprintf(length, sizeof length, "%zu", n);
        exchange_set_header(x, "Content-Length", length);
    }
    if (method == EVHTTP_REQ_HEAD)
        n = 0;
    evbuffer_add(evhttp_request_get_output_buffer(request), body, n);
    /* evhttp never closes after a CONNECT, whatever the answer says. */
    conn_answer(x->conn, request, method == EVHTTP_REQ_CONNECT);
    exchange_free(x);
    evhttp_send_reply(request, status, status_reason(status), NULL);
}

static void tell_admin(const struct exchange *x, int status)
{
    const struct gateway_options *o = &x->gateway->options;
    const struct admin_call call = {.method = x->admin.method,
                                    .path = x->path,
                                    .request_id = x->id,
                                    .peer = x->admin.peer,
                                    .by_token = x->admin.by_token,
                                    .is_change = strcmp(x->admin.method, "GET") != 0 &&
                                                 strcmp(x->admin.method, "HEAD") != 0,
                                    .status = status};
    if (o->on_admin != NULL)
        o->on_admin(o->on_admin_arg, &call);
}

void exchange_reply(struct exchange *x, int status, const char *content_type, const char *body,
                    size_t n)
{
    if (x->admin.is_admin)
        tell_admin(x, status);
    if (x->conn == NULL) {
        exchange_free(x);
        return;
    }
    if (content_type != NULL)
        exchange_set_header(x, "Content-Type", content_type);
    exchange_set_header(x, "X-Request-ID", x->id);
    if (x->gateway->draining)
        exchange_set_header(x, "Connection", "close");
    if (x->is_express)
        reply_express(x, status, body, n);
    else
        reply_by_evhttp(x, status, body, n);
}

void exchange_reply_json(struct exchange *x, int status, cJSON *root)
{
    char *body = cJSON_PrintUnformatted(root);
    exchange_reply(x, status, "application/json", body, strlen(body));
    cJSON_free(body);
    cJSON_Delete(root);
}

void exchange_reply_problem(struct exchange *x, const struct err *e)
{
    const struct problem *p = problem_find(e->code);
    char instance[EXCHANGE_ID_SIZE + 16];
    snprintf(instance, sizeof instance, "urn:request:%s", x->id);
    char *body = problem_to_json(p, e, instance);
    if (p->status == 503 || p->status == 429)
        exchange_set_header(x, "Retry-After", RETRY_AFTER_SECONDS);
    if (p->status == 401)
        exchange_set_header(x, "WWW-Authenticate",
                            strcmp(p->code, "token-missing") == 0
                                ? "Bearer realm=\"canaryd\""
                                : "Bearer realm=\"canaryd\", error=\"invalid_token\"");
    exchange_set_header(x, "X-Content-Type-Options", "nosniff");
    exchange_reply(x, p->status, "application/problem+json", body, strlen(body));
    cJSON_free(body);
}
