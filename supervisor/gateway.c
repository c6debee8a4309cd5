/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * See gateway.h. evhttp runs one request of a connection at a time, so what
 * becomes of a connection concerns one exchange.
 */
#include "supervisor/gateway.h"

#include <assert.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sysexits.h>
#include <time.h>

#include <event2/buffer.h>
#include <event2/http.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/rng.h"
#include "supervisor/gate.h"
#include "supervisor/plain_request.h"
#include "supervisor/port.h"
#include "supervisor/problems.h"

#define MAX_TABLES          8
#define ID_SIZE             72 /* of a request id: 64 characters at most */
#define MAX_ID              64
#define RETRY_AFTER_SECONDS "1"
#define EXPRESS_HEAD_SIZE   512 /* fits what handlers of express routes set */

struct route_table {
    const struct route *routes;
    size_t n;
    void *arg;
};

struct gateway {
    struct port *port;
    struct gateway_options options;
    struct route_table tables[MAX_TABLES];
    size_t n_tables;
    const struct route *express; /* or NULL */
    void *express_arg;
    struct rng rng;
    size_t n_pending;
    int64_t last_request_ns;
    bool draining;
    time_t date_second; /* that date is about */
    char date[32];
};

struct exchange {
    struct gateway *gateway;
    struct conn *conn;              /* NULL: the client has gone */
    struct evhttp_request *request; /* likewise; NULL as well on the express lane */
    bool is_express;
    const char *body;
    size_t body_size;
    char *path;
    char id[ID_SIZE];
    size_t head_size; /* on the express lane: fields of the answer */
    char head[EXPRESS_HEAD_SIZE];
    char express_body[]; /* with a NUL behind it */
};

static const struct {
    enum evhttp_cmd_type type;
    const char *name;
} methods[] = {
    {EVHTTP_REQ_GET, "GET"},     {EVHTTP_REQ_POST, "POST"},     {EVHTTP_REQ_HEAD, "HEAD"},
    {EVHTTP_REQ_PUT, "PUT"},     {EVHTTP_REQ_DELETE, "DELETE"}, {EVHTTP_REQ_OPTIONS, "OPTIONS"},
    {EVHTTP_REQ_TRACE, "TRACE"}, {EVHTTP_REQ_PATCH, "PATCH"},   {EVHTTP_REQ_CONNECT, "CONNECT"},
};

static const char *method_name(struct evhttp_request *request)
{
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++)
        if (methods[i].type == evhttp_request_get_command(request))
            return methods[i].name;
    return "?";
}

/* --- One exchange -----------------------------------------------------------*/

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
    return strndup(uri, strcspn(uri, "?"));
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
    x->gateway->last_request_ns = clock_mono_ns();
}

static struct exchange *exchange_new(struct gateway *g, struct evhttp_request *request)
{
    struct exchange *x = mem_alloc(sizeof *x);
    struct evbuffer *input = evhttp_request_get_input_buffer(request);
    *x = (struct exchange){.gateway = g, .request = request, .path = copy_path(request)};
    x->conn = conns_find(port_conns(g->port), request);
    const char *id = exchange_header(x, "X-Request-ID");
    choose_id(x, id, id != NULL ? strlen(id) : 0);
    x->body_size = evbuffer_get_length(input);
    evbuffer_add(input, "", 1); /* the NUL behind the body */
    x->body = (const char *)evbuffer_pullup(input, -1);
    exchange_begin(x);
    return x;
}

static struct exchange *exchange_new_express(struct gateway *g, struct conn *c,
                                             const struct plain_request *r)
{
    struct exchange *x = mem_alloc(sizeof *x + r->body_size + 1);
    x->gateway = g;
    x->conn = c;
    x->is_express = true;
    x->path = strndup(r->path, r->path_size);
    x->body = memcpy(x->express_body, r->body, r->body_size);
    x->body_size = r->body_size;
    choose_id(x, r->id, r->id_size);
    exchange_begin(x);
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

/* One piece, sent at once. */
static void reply_express(struct exchange *x, int status, const char *body, size_t n)
{
    char small[2048];
    char line[64], length[24];
    bool draining = x->gateway->draining;
    struct conn *conn = x->conn;
    snprintf(line, sizeof line, "HTTP/1.1 %d %s\r\n", status, status_reason(status));
    snprintf(length, sizeof length, "%zu", n);
    add_express_field(x, "Date", date_now(x->gateway));
    add_express_field(x, "Content-Length", length);
    size_t size = strlen(line) + x->head_size + 2 + n;
    char *answer = size <= sizeof small ? small : mem_array(size, 1);
    char *at = mempcpy(answer, line, strlen(line));
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

void exchange_reply(struct exchange *x, int status, const char *content_type, const char *body,
                    size_t n)
{
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
    char instance[ID_SIZE + 16];
    snprintf(instance, sizeof instance, "urn:request:%s", x->id);
    char *body = problem_to_json(p, e, instance);
    if (p->status == 503)
        exchange_set_header(x, "Retry-After", RETRY_AFTER_SECONDS);
    exchange_set_header(x, "X-Content-Type-Options", "nosniff");
    exchange_reply(x, p->status, "application/problem+json", body, strlen(body));
    cJSON_free(body);
}

/* --- From a request to its handler ------------------------------------------*/

/* The route of path and method; NULL when there is none. allow then lists the
 * methods that the path has, "" when the path is unknown. */
static const struct route *find_route(const struct gateway *g, const char *path, const char *method,
                                      void **arg, char *allow, size_t size)
{
    size_t n = 0;
    bool is_head = strcmp(method, "HEAD") == 0;
    allow[0] = '\0';
    for (size_t t = 0; t < g->n_tables; t++) {
        for (size_t i = 0; i < g->tables[t].n; i++) {
            const struct route *r = &g->tables[t].routes[i];
            if (strcmp(r->path, path) != 0)
                continue;
            *arg = g->tables[t].arg;
            if (strcmp(r->method, is_head ? "GET" : method) == 0)
                return r;
            n += (size_t)snprintf(allow + n, size - n, "%s%s", n > 0 ? ", " : "",
                                  strcmp(r->method, "GET") == 0 ? "GET, HEAD" : r->method);
        }
    }
    return NULL;
}

static bool is_json(const char *type)
{
    size_t n = strcspn(type, "; \t");
    static const char suffix[] = "+json";
    if (n == strlen("application/json") && strncasecmp(type, "application/json", n) == 0)
        return true;
    return n > sizeof suffix && strncasecmp(type, "application/", 12) == 0 &&
           strncasecmp(type + n - strlen(suffix), suffix, strlen(suffix)) == 0;
}

static int check_body(const struct exchange *x, const struct route *r, struct err *e)
{
    const char *type = exchange_header(x, "Content-Type");
    const char *coding = exchange_header(x, "Content-Encoding");
    if (r->is_admin && x->body_size > GATEWAY_MAX_ADMIN_BYTES)
        return err_set(e, "body-too-large", "the body has %zu bytes; admin bodies have at most %d",
                       x->body_size, GATEWAY_MAX_ADMIN_BYTES);
    if (x->body_size == 0)
        return 0;
    if (coding != NULL && strcasecmp(coding, "identity") != 0)
        return err_set(e, "unsupported-media-type",
                       "Content-Encoding: %.64s is not accepted; send the body as it is", coding);
    if (type != NULL && !is_json(type))
        return err_set(e, "unsupported-media-type",
                       "Content-Type: %.64s is not accepted; send application/json", type);
    return 0;
}

static int check_admin(const struct gateway *g, const struct route *r, struct err *e)
{
    if (!r->is_admin || g->options.admin_open)
        return 0;
    return err_set(e, "admin-closed",
                   "admin endpoints are closed off loopback; set listen to a loopback address");
}

static void refuse_method(struct exchange *x, const char *method, const char *allow)
{
    struct err e;
    exchange_set_header(x, "Allow", allow);
    if (strcmp(method, "OPTIONS") == 0) {
        exchange_reply(x, 204, NULL, "", 0);
        return;
    }
    err_set(&e, "method-not-allowed", "%s is not allowed for %.100s; allowed: %s", method, x->path,
            allow);
    exchange_reply_problem(x, &e);
}

/* Methods that mean the server as a whole, or that no path will ever have. */
static bool is_for_no_path(const struct exchange *x)
{
    enum evhttp_cmd_type method = evhttp_request_get_command(x->request);
    return method == EVHTTP_REQ_TRACE || method == EVHTTP_REQ_CONNECT || strcmp(x->path, "*") == 0;
}

static void dispatch(struct gateway *g, struct exchange *x)
{
    struct err e = {0};
    char allow[64];
    void *arg = NULL;
    const char *method = method_name(x->request);
    const struct route *r = find_route(g, x->path, method, &arg, allow, sizeof allow);
    if (r == NULL && is_for_no_path(x))
        snprintf(allow, sizeof allow, "GET, HEAD, POST, OPTIONS");
    if (r == NULL && allow[0] != '\0') {
        refuse_method(x, method, allow);
    } else if (r == NULL) {
        err_set(&e, "not-found", "there is nothing at %.200s", x->path);
        exchange_reply_problem(x, &e);
    } else if (check_admin(g, r, &e) < 0 || check_body(x, r, &e) < 0) {
        exchange_reply_problem(x, &e);
    } else {
        r->handle(arg, x);
    }
}

static void on_request(struct evhttp_request *request, void *arg)
{
    struct gateway *g = arg;
    struct err e = {0};
    struct exchange *x = exchange_new(g, request);
    enum evhttp_cmd_type method = evhttp_request_get_command(request);
    if (gate_check(request, conn_head_had_nul(x->conn), &e) < 0) {
        exchange_set_header(x, "Connection", "close");
        exchange_reply_problem(x, &e);
        return;
    }
    /* Bytes may follow that nobody announced: they must not become a request. */
    if (method != EVHTTP_REQ_GET && method != EVHTTP_REQ_HEAD && !gate_has_body_length(request))
        exchange_set_header(x, "Connection", "close");
    dispatch(g, x);
}

static bool on_express(void *arg, struct conn *c, const struct plain_request *r)
{
    struct gateway *g = arg;
    const struct route *route = g->express;
    if (route == NULL || g->draining || strlen(route->path) != r->path_size ||
        memcmp(route->path, r->path, r->path_size) != 0 ||
        r->body_size > (size_t)g->options.max_body_bytes)
        return false;
    route->handle(g->express_arg, exchange_new_express(g, c, r));
    return true;
}

/* --- For the owner ----------------------------------------------------------*/

struct gateway *gateway_new(struct event_base *base, const struct gateway_options *options)
{
    struct gateway *g = mem_alloc(sizeof *g);
    const struct port_options port = {.max_body_bytes = options->max_body_bytes,
                                      .limits = options->limits,
                                      .on_request = on_request,
                                      .arg = g};
    g->options = *options;
    rng_seed_from_system(&g->rng);
    g->port = port_new(base, &port);
    conns_set_express(port_conns(g->port), on_express, g);
    return g;
}

void gateway_free(struct gateway **g)
{
    if (*g == NULL)
        return;
    port_free(&(*g)->port);
    free(*g);
    *g = NULL;
}

void gateway_add_routes(struct gateway *g, const struct route *routes, size_t n, void *arg)
{
    if (g->n_tables == MAX_TABLES)
        fatal(EX_SOFTWARE, "more than %d tables of routes", MAX_TABLES);
    g->tables[g->n_tables++] = (struct route_table){.routes = routes, .n = n, .arg = arg};
}

void gateway_set_express(struct gateway *g, const struct route *route, void *arg)
{
    g->express = route;
    g->express_arg = arg;
}

int gateway_accept(struct gateway *g, int fd, struct err *e)
{
    return port_accept(g->port, fd, e);
}

void gateway_set_limits(struct gateway *g, const struct conns_limits *limits)
{
    conns_set_limits(port_conns(g->port), limits);
}

void gateway_drain(struct gateway *g)
{
    g->draining = true;
    port_stop(g->port);
}

size_t gateway_n_pending(const struct gateway *g)
{
    return g->n_pending;
}

size_t gateway_n_connections(const struct gateway *g)
{
    return conns_n(port_conns(g->port));
}

int64_t gateway_last_request_ns(const struct gateway *g)
{
    return g->last_request_ns;
}
