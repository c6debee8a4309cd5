/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * See gateway.h: one exchange, from its request to its one answer.
 */
#include "supervisor/gateway_private.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/buffer.h>
#include <event2/http.h>

#include "common/clock.h"
#include "common/mem.h"
#include "supervisor/port.h"
#include "supervisor/problems.h"

#define MAX_ID              64
#define RETRY_AFTER_SECONDS "1"

static bool is_request_id(const char *text)
{
    size_t n = strlen(text);
    if (n == 0 || n > MAX_ID)
        return false;
    for (const char *p = text; *p != '\0'; p++)
        if (!isalnum((unsigned char)*p) && strchr("._-", *p) == NULL)
            return false;
    return true;
}

static void choose_id(struct exchange *x)
{
    const char *theirs = exchange_header(x, "X-Request-ID");
    if (theirs != NULL && is_request_id(theirs))
        snprintf(x->id, sizeof x->id, "%s", theirs);
    else
        snprintf(x->id, sizeof x->id, "req_%016llx",
                 (unsigned long long)rng_next(&x->gateway->rng));
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
    return strndup(uri, strcspn(uri, "?"));
}

static void on_gone(void *arg)
{
    struct exchange *x = arg;
    x->request = NULL;
    x->conn = NULL;
    x->body = NULL;
}

struct exchange *exchange_new(const struct doorway *d, struct evhttp_request *request)
{
    struct gateway *g = d->gateway;
    struct exchange *x = mem_alloc(sizeof *x);
    struct evbuffer *input = evhttp_request_get_input_buffer(request);
    *x = (struct exchange){
        .gateway = g, .doorway = d, .request = request, .path = copy_path(request)};
    x->conn = conns_find(port_conns(d->port), request);
    choose_id(x);
    x->body_size = evbuffer_get_length(input);
    evbuffer_add(input, "", 1); /* the NUL behind the body */
    x->body = (const char *)evbuffer_pullup(input, -1);
    conn_begin(x->conn, on_gone, x);
    g->n_pending++;
    g->last_request_ns = clock_mono_ns();
    return x;
}

static void exchange_free(struct exchange *x)
{
    x->gateway->n_pending--;
    x->gateway->last_request_ns = clock_mono_ns();
    free(x->path);
    free(x);
}

const char *exchange_body(const struct exchange *x, size_t *n)
{
    *n = x->body_size;
    return x->body;
}

const char *exchange_header(const struct exchange *x, const char *name)
{
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

void exchange_set_header(struct exchange *x, const char *name, const char *value)
{
    if (x->request != NULL)
        evhttp_add_header(evhttp_request_get_output_headers(x->request), name, value);
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
    struct evhttp_request *request = x->request;
    if (x->admin.is_admin)
        tell_admin(x, status);
    if (request == NULL) {
        exchange_free(x);
        return;
    }
    if (content_type != NULL)
        exchange_set_header(x, "Content-Type", content_type);
    exchange_set_header(x, "X-Request-ID", x->id);
    if (x->gateway->draining)
        exchange_set_header(x, "Connection", "close");
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
