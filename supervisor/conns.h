/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The connections of one evhttp: how many there are, what each is about, and
 * until when. evhttp's own timeout only sees silence; a client that drips a
 * byte now and then outlives it. Here every step of a request has a deadline:
 * its head, its body, the taking of the answer, and the time between requests.
 * Being a handler's has none: that is the router's affair.
 */
#ifndef CANARYD_CONNS_H
#define CANARYD_CONNS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct conn;
struct conns;
struct event_base;
struct evhttp;
struct evhttp_request;
struct plain_request;

/* 0: no limit. */
struct conns_limits {
    int64_t header_ms; /* from accept to the first byte, and from there to the end of the head */
    int64_t body_ms;   /* from the end of the head to the end of the body */
    int64_t write_ms;  /* from the answer to its last byte in the kernel's hands */
    int64_t idle_ms;   /* between an answer and the next request */
    size_t max;        /* connections at the same time */
};

/* Watches every connection that http accepts from now on (it takes http's bevcb). */
struct conns *conns_new(struct event_base *base, struct evhttp *http,
                        const struct conns_limits *limits);

/* After evhttp_free, which closes the connections. */
void conns_free(struct conns **c);

/* From now on, for those that are open as well. */
void conns_set_limits(struct conns *c, const struct conns_limits *limits);
size_t conns_n(const struct conns *c);

/* The connection of a request that a handler was given; never NULL then. */
struct conn *conns_find(const struct conns *c, struct evhttp_request *request);

/* A handler has the request: no deadline. on_gone is told, once, if the
 * connection ends before conn_answer. */
void conn_begin(struct conn *c, void (*on_gone)(void *arg), void *arg);

/* The answer goes to evhttp next. hang_up: the connection ends with it, also
 * where evhttp would keep it. */
void conn_answer(struct conn *c, struct evhttp_request *request, bool hang_up);

/* What is wrong with the request's bytes that a handler cannot see any more
 * (raw_message.h), or NULL. */
const char *conn_fault(const struct conn *c);

int conn_fd(const struct conn *c);

/* The express lane: a plain request at the front of an idle connection never
 * reaches evhttp. The callback has called conn_begin, and conn_express_answer will
 * be called for it; or it returns false and has done nothing, and evhttp reads the
 * request. r is only valid inside the callback. max_body: a longer one is evhttp's. */
typedef bool conns_express(void *arg, struct conn *c, const struct plain_request *r);
void conns_set_express(struct conns *c, conns_express *express, void *arg, size_t max_body);

/* A field of that name makes a request not unusual; see plain_request_read. Borrowed;
 * "": none. */
void conns_set_kept_field(struct conns *c, const char *name);

/* The whole answer, head and body, in n bytes. hang_up: the connection ends with it. */
void conn_express_answer(struct conn *c, const char *bytes, size_t n, bool hang_up);

#endif
