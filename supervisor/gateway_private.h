/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Between gateway.c (from a request to its handler) and gateway_exchange.c (from
 * the handler to the answer).
 */
#ifndef CANARYD_GATEWAY_PRIVATE_H
#define CANARYD_GATEWAY_PRIVATE_H

#include <time.h>

#include "common/rng.h"
#include "supervisor/gateway.h"
#include "supervisor/peer.h"

struct evhttp_request;
struct plain_request;
struct port;

#define GATEWAY_MAX_TABLES   8
#define GATEWAY_MAX_DOORWAYS 2
#define GATEWAY_FIELD_SIZE   (GATEWAY_MAX_FIELD + 1)
#define EXCHANGE_ID_SIZE     72  /* of a request id: 64 characters at most */
#define EXPRESS_HEAD_SIZE    512 /* fits what handlers of express routes set */

struct route_table {
    const struct route *routes;
    size_t n;
    void *arg;
};

struct doorway {
    struct gateway *gateway;
    struct port *port;
    enum door door;
};

struct gateway {
    struct event_base *base;
    struct doorway doorways[GATEWAY_MAX_DOORWAYS];
    size_t n_doorways;
    struct gateway_options options;
    struct route_table tables[GATEWAY_MAX_TABLES];
    size_t n_tables;
    const struct route *express; /* or NULL */
    void *express_arg;
    char kept_field[GATEWAY_FIELD_SIZE]; /* or "" */
    struct rng rng;
    size_t n_pending;
    int64_t last_request_ns;
    bool draining;
    time_t date_second; /* that date is about */
    char date[32];
};

/* What is known of a request for an admin route. */
struct admin_part {
    bool is_admin, by_token;
    const char *method;
    char peer[PEER_TEXT_SIZE];
};

struct exchange {
    struct gateway *gateway;
    const struct doorway *doorway;
    struct conn *conn;              /* NULL: the client has gone */
    struct evhttp_request *request; /* likewise; NULL as well on the express lane */
    bool is_express;
    const char *body;
    size_t body_size;
    const char *path; /* own_path, or the route's on the express lane */
    char *own_path;
    char id[EXCHANGE_ID_SIZE];
    struct admin_part admin;
    size_t head_size; /* on the express lane: fields of the answer */
    char head[EXPRESS_HEAD_SIZE];
    const char *kept;     /* on the express lane: the value of the kept field, or NULL */
    char express_texts[]; /* the body and that value, each with a NUL behind it */
};

/* The exchange of a request that came through d. */
struct exchange *exchange_new(const struct doorway *d, struct evhttp_request *request);
struct exchange *exchange_new_express(const struct doorway *d, struct conn *c,
                                      const struct plain_request *r);

#endif
