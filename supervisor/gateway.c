/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * See gateway.h. evhttp runs one request of a connection at a time, so what
 * becomes of a connection concerns one exchange.
 */
#include "supervisor/gateway_private.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sysexits.h>

#include <event2/http.h>

#include "common/log.h"
#include "common/mem.h"
#include "common/rng.h"
#include "supervisor/gate.h"
#include "supervisor/plain_request.h"
#include "supervisor/port.h"
#include "supervisor/problems.h"

#define MAX_ADMINS 64 /* connections through a door of admin's own */

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

/* --- From a request to its handler ------------------------------------------*/

/* The route of path and method; NULL when there is none. allow then lists the
 * methods that the path has, "" when the path is unknown. */
static const struct route *find_route(const struct exchange *x, const char *method, void **arg,
                                      char *allow, size_t size)
{
    const struct gateway *g = x->gateway;
    size_t n = 0;
    bool is_head = strcmp(method, "HEAD") == 0;
    allow[0] = '\0';
    for (size_t t = 0; t < g->n_tables; t++) {
        for (size_t i = 0; i < g->tables[t].n; i++) {
            const struct route *r = &g->tables[t].routes[i];
            if (strcmp(r->path, x->path) != 0 || (r->is_admin && x->doorway->door == DOOR_PUBLIC))
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

/* Without a body its type is no matter, except to an admin endpoint: what a page of
 * another site can make a browser send unasked has the type of a form or none. */
static int check_body(const struct exchange *x, const struct route *r, struct err *e)
{
    const char *type = exchange_header(x, "Content-Type");
    const char *coding = exchange_header(x, "Content-Encoding");
    if (r->is_admin && x->body_size > GATEWAY_MAX_ADMIN_BYTES)
        return err_set(e, "body-too-large", "the body has %zu bytes; admin bodies have at most %d",
                       x->body_size, GATEWAY_MAX_ADMIN_BYTES);
    if (x->body_size == 0 && !r->is_admin)
        return 0;
    if (coding != NULL && strcasecmp(coding, "identity") != 0)
        return err_set(e, "unsupported-media-type",
                       "Content-Encoding: %.64s is not accepted; send the body as it is", coding);
    if (type != NULL && !is_json(type))
        return err_set(e, "unsupported-media-type",
                       "Content-Type: %.64s is not accepted; send application/json", type);
    return 0;
}

static int check_admin(struct exchange *x, const char *method, struct err *e)
{
    int fd = conn_fd(x->conn);
    enum door door = x->doorway->door;
    const struct access_claims claims = {
        .door = door,
        .is_trusted_peer = door == DOOR_SOCKET && peer_is_trusted(fd),
        .host = exchange_header(x, "Host"),
        .origin = exchange_header(x, "Origin"),
        .fetch_site = exchange_header(x, "Sec-Fetch-Site"),
        .authorization = exchange_header(x, "Authorization"),
    };
    x->admin.is_admin = true;
    x->admin.method = method;
    peer_text(fd, x->admin.peer);
    return access_check(x->gateway->options.access, &claims, &x->admin.by_token, e);
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

static void dispatch(struct exchange *x)
{
    struct err e = {0};
    char allow[64];
    void *arg = NULL;
    const char *method = method_name(x->request);
    const struct route *r = find_route(x, method, &arg, allow, sizeof allow);
    if (r == NULL && is_for_no_path(x))
        snprintf(allow, sizeof allow, "GET, HEAD, POST, OPTIONS");
    if (r == NULL && allow[0] != '\0') {
        refuse_method(x, method, allow);
    } else if (r == NULL) {
        err_set(&e, "not-found", "there is nothing at %.200s", x->path);
        exchange_reply_problem(x, &e);
    } else if ((r->is_admin && check_admin(x, method, &e) < 0) || check_body(x, r, &e) < 0) {
        exchange_reply_problem(x, &e);
    } else {
        r->handle(arg, x);
    }
}

static void on_request(struct evhttp_request *request, void *arg)
{
    struct err e = {0};
    struct exchange *x = exchange_new(arg, request);
    enum evhttp_cmd_type method = evhttp_request_get_command(request);
    if (gate_check(request, conn_fault(x->conn), &e) < 0) {
        exchange_set_header(x, "Connection", "close");
        exchange_reply_problem(x, &e);
        return;
    }
    /* Bytes may follow that nobody announced: they must not become a request. */
    bool may_go_on =
        method == EVHTTP_REQ_GET || method == EVHTTP_REQ_HEAD || gate_has_body_length(request);
    if (!may_go_on || gate_wants_close(request))
        exchange_set_header(x, "Connection", "close");
    dispatch(x);
}

static bool on_express(void *arg, struct conn *c, const struct plain_request *r)
{
    const struct doorway *d = arg;
    const struct gateway *g = d->gateway;
    const struct route *route = g->express;
    if (route == NULL || g->draining || strlen(route->path) != r->path_size ||
        memcmp(route->path, r->path, r->path_size) != 0)
        return false;
    route->handle(g->express_arg, exchange_new_express(d, c, r));
    return true;
}

/* --- For the owner ----------------------------------------------------------*/

struct gateway *gateway_new(struct event_base *base, const struct gateway_options *options)
{
    struct gateway *g = mem_alloc(sizeof *g);
    g->base = base;
    g->options = *options;
    rng_seed_from_system(&g->rng);
    return g;
}

void gateway_free(struct gateway **g)
{
    if (*g == NULL)
        return;
    for (size_t i = 0; i < (*g)->n_doorways; i++)
        port_free(&(*g)->doorways[i].port);
    free(*g);
    *g = NULL;
}

void gateway_add_routes(struct gateway *g, const struct route *routes, size_t n, void *arg)
{
    if (g->n_tables == GATEWAY_MAX_TABLES)
        fatal(EX_SOFTWARE, "more than %d tables of routes", GATEWAY_MAX_TABLES);
    g->tables[g->n_tables++] = (struct route_table){.routes = routes, .n = n, .arg = arg};
}

void gateway_set_express(struct gateway *g, const struct route *route, void *arg)
{
    g->express = route;
    g->express_arg = arg;
}

void gateway_keep_field(struct gateway *g, const char *name)
{
    assert(strlen(name) < sizeof g->kept_field);
    snprintf(g->kept_field, sizeof g->kept_field, "%s", name);
}

static struct conns_limits limits_of(const struct gateway *g, enum door door)
{
    struct conns_limits limits = g->options.limits;
    if ((door == DOOR_ADMIN || door == DOOR_SOCKET) && g->n_doorways > 1)
        limits.max = MAX_ADMINS;
    return limits;
}

int gateway_accept(struct gateway *g, int fd, enum door door, struct err *e)
{
    struct doorway *d = &g->doorways[g->n_doorways++];
    assert(g->n_doorways <= GATEWAY_MAX_DOORWAYS);
    const struct port_options options = {.max_body_bytes = g->options.max_body_bytes,
                                         .limits = limits_of(g, door),
                                         .on_request = on_request,
                                         .arg = d};
    *d = (struct doorway){.gateway = g, .door = door};
    d->port = port_new(g->base, &options);
    conns_set_express(port_conns(d->port), on_express, d, (size_t)g->options.max_body_bytes);
    conns_set_kept_field(port_conns(d->port), g->kept_field);
    return port_accept(d->port, fd, e);
}

void gateway_set_limits(struct gateway *g, const struct conns_limits *limits)
{
    g->options.limits = *limits;
    for (size_t i = 0; i < g->n_doorways; i++) {
        const struct conns_limits mine = limits_of(g, g->doorways[i].door);
        conns_set_limits(port_conns(g->doorways[i].port), &mine);
    }
}

void gateway_drain(struct gateway *g)
{
    g->draining = true;
    for (size_t i = 0; i < g->n_doorways; i++)
        port_stop(g->doorways[i].port);
}

size_t gateway_n_pending(const struct gateway *g)
{
    return g->n_pending;
}

size_t gateway_n_connections(const struct gateway *g)
{
    size_t n = 0;
    for (size_t i = 0; i < g->n_doorways; i++)
        n += conns_n(port_conns(g->doorways[i].port));
    return n;
}

int64_t gateway_last_request_ns(const struct gateway *g)
{
    return g->last_request_ns;
}
