/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * One place where HTTP is served: a listening socket, the evhttp behind it and
 * the watch over its connections.
 */
#ifndef CANARYD_PORT_H
#define CANARYD_PORT_H

#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "supervisor/conns.h"

struct event_base;
struct evhttp_request;
struct port;

#define PORT_MAX_HEADER_BYTES 16384

struct port_options {
    int64_t max_body_bytes;
    struct conns_limits limits;
    void (*on_request)(struct evhttp_request *request, void *arg); /* each whole request */
    void *arg;
};

struct port *port_new(struct event_base *base, const struct port_options *options);
void port_free(struct port **p); /* drops what is still open */

/* Begins to accept from a listening socket, which becomes the port's. */
int port_accept(struct port *p, int fd, struct err *e);

/* Accepts no more. Connections that are open stay. */
void port_stop(struct port *p);

struct conns *port_conns(const struct port *p);

#endif
