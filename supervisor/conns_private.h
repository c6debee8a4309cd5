/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What conns.c and conns_express.c share; nobody else includes it.
 */
#ifndef CANARYD_CONNS_PRIVATE_H
#define CANARYD_CONNS_PRIVATE_H

#include <sys/queue.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>

#include "common/rng.h"
#include "supervisor/conns.h"
#include "supervisor/raw_message.h"

struct event;
struct evhttp_connection;

enum phase {
    PHASE_NEW,     /* has not said anything yet */
    PHASE_HEAD,    /* of a request, has begun */
    PHASE_BODY,    /* the head is whole */
    PHASE_HANDLER, /* a handler has the request */
    PHASE_ANSWER,  /* evhttp has the answer */
    PHASE_IDLE,    /* answered; another request may come */
    PHASE_LINGER,  /* told that this is the end */
    N_PHASES
};

struct conn {
    TAILQ_ENTRY(conn) next; /* of its phase */
    struct conns *conns;
    struct bufferevent *bev;
    struct evhttp_connection *http; /* NULL: being accepted */
    int fd;
    enum phase phase;
    int64_t since_ns; /* in this phase */
    struct raw_message message;
    bool hang_up;
    void (*on_gone)(void *arg);
    void *on_gone_arg;
    struct {          /* of the express lane */
        bool is_ours; /* it reads, not evhttp */
        struct event *on_readable;
        char *request;                         /* one whose body is on its way; NULL: none */
        size_t n, size;                        /* of it: so far, in all */
        bufferevent_data_cb on_read, on_write; /* evhttp's, while it is ours */
        bufferevent_event_cb on_event;
    } express;
};

TAILQ_HEAD(conn_list, conn);

struct conns {
    struct event_base *base;
    struct conns_limits limits;
    struct conn_list phases[N_PHASES];
    struct conn_list accepted; /* since the last turn of the loop */
    struct event *on_accepted;
    struct event *on_deadline;
    int64_t timer_ns; /* when on_deadline fires; 0: never */
    struct conn **by_fd;
    size_t n_by_fd;
    struct rng rng; /* for request ids */
    conns_express *express;
    void *express_arg;
    size_t express_max_body;
    const char *kept_field;
    size_t n, n_lingering;
    uint64_t n_refused;
};

/* For a request, its first or another. */
static inline bool conn_is_waiting(const struct conn *c)
{
    return c->phase == PHASE_NEW || c->phase == PHASE_IDLE;
}

/* The connection's next phase, with that phase's deadline from now_ns on. */
void conn_enter(struct conn *c, enum phase phase, int64_t now_ns);

/* Closes it. Never one that a handler has: that one's request is not evhttp's to free. */
void conn_end(struct conn *c);

/* conns_express.c reads what comes next: from now on; after evhttp's answer, once
 * evhttp has set about reading on; and no more. */
void conn_wait(struct conn *c, struct event_base *base);
void conn_wait_again(struct conn *c);
void conn_stop_waiting(struct conn *c);
void conn_forget(struct conn *c); /* the connection goes */

#endif
