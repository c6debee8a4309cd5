/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * HTTP: the port, the gate, the table of routes, and one exchange per request
 * that is answered exactly once, sooner or later, whether or not the client is
 * still there.
 */
#ifndef CANARYD_GATEWAY_H
#define CANARYD_GATEWAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cjson/cJSON.h>

#include "common/err.h"
#include "supervisor/access.h"
#include "supervisor/conns.h"

struct event_base;
struct exchange;
struct gateway;

#define GATEWAY_MAX_ADMIN_BYTES 16384

struct route {
    const char *method; /* "GET" (answers HEAD too) or "POST" */
    const char *path;   /* exact; no decoding, no normalisation */
    bool is_admin;
    void (*handle)(void *arg, struct exchange *x);
};

/* Who asked an admin endpoint for what, and what was answered. */
struct admin_call {
    const char *method, *path, *request_id;
    const char *peer; /* peer.h */
    bool by_token;
    bool is_change; /* not a GET or HEAD */
    int status;
};

struct gateway_options {
    int64_t max_body_bytes;
    struct conns_limits limits;
    struct access *access;                                      /* borrowed */
    void (*on_admin)(void *arg, const struct admin_call *call); /* at each answer; or NULL */
    void *on_admin_arg;
};

struct gateway *gateway_new(struct event_base *base, const struct gateway_options *options);
void gateway_free(struct gateway **g); /* drops what is still open */

/* routes: borrowed for ever; arg goes to their handlers. At most 8 tables. */
void gateway_add_routes(struct gateway *g, const struct route *routes, size_t n, void *arg);

/* Plain requests (plain_request.h) for this POST route pass evhttp by. The route is
 * one of those that were added, with the same arg. */
void gateway_set_express(struct gateway *g, const struct route *route, void *arg);

/* exchange_header finds the field of this name on plain requests too, and it alone:
 * at most GATEWAY_MAX_FIELD characters, and none that HTTP gives a meaning; "": none.
 * From now on. */
#define GATEWAY_MAX_FIELD 63
void gateway_keep_field(struct gateway *g, const char *name);

/* Begins to accept from a listening socket, which becomes the gateway's. At most
 * two; what comes through DOOR_ADMIN and DOOR_SOCKET has a small number of
 * connections for itself. */
int gateway_accept(struct gateway *g, int fd, enum door door, struct err *e);

/* Of connections, from now on. */
void gateway_set_limits(struct gateway *g, const struct conns_limits *limits);

/* Accepts no more connections; answers say Connection: close from now on. */
void gateway_drain(struct gateway *g);
size_t gateway_n_pending(const struct gateway *g); /* exchanges not yet answered */
size_t gateway_n_connections(const struct gateway *g);
int64_t gateway_last_request_ns(const struct gateway *g); /* monotonic; 0: none yet */

/* The body: n bytes and a NUL behind them; valid until the answer. */
const char *exchange_body(const struct exchange *x, size_t *n);
const char *exchange_header(const struct exchange *x, const char *name); /* or NULL */
const char *exchange_id(const struct exchange *x);
const char *exchange_path(const struct exchange *x);

/* A header of the answer; value must be free of control bytes. */
void exchange_set_header(struct exchange *x, const char *name, const char *value);

/* The answer; each ends the exchange, which is gone when it returns. */
void exchange_reply(struct exchange *x, int status, const char *content_type, const char *body,
                    size_t n);
void exchange_reply_json(struct exchange *x, int status, cJSON *root); /* takes root */
void exchange_reply_problem(struct exchange *x, const struct err *e);

#endif
