/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The express lane; see conns.h. evhttp costs more than everything else that is
 * done for an ordinary request: it switches reading off and on around each one
 * (two system calls), asks how much there is to read before it reads (a third),
 * formats its answer piece by piece and writes it on another turn of the loop. So
 * whoever waits for a request reads it here, by one recv(2) into a buffer that all
 * connections share, and a plain request is answered by one send(2).
 *
 * A connection is ours while it waits for a request and while a plain one is under
 * way: evhttp, which waits for the first line of a request, hears of nothing. What
 * is not plain, or comes with half a head, is put into the bufferevent's input, and
 * the connection is evhttp's until it has answered. What arrives behind a request
 * that is under way stays in the kernel, the client's end included.
 */
#include "supervisor/conns.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <event2/event.h>

#include "common/clock.h"
#include "common/mem.h"
#include "supervisor/conns_private.h"
#include "supervisor/plain_request.h"

#define READ_BYTES 65536

static char arrived[READ_BYTES];

/* --- Whose the connection is --------------------------------------------------*/

static void on_written(struct bufferevent *bev, void *arg);

/* Of an answer that can't be written: nothing is read by this bufferevent now. */
static void on_write_error(struct bufferevent *bev, short what, void *arg)
{
    (void)bev, (void)what;
    conn_end(arg);
}

static void claim(struct conn *c)
{
    void *http;
    bufferevent_disable(c->bev, EV_READ);
    bufferevent_getcb(c->bev, &c->express.on_read, &c->express.on_write, &c->express.on_event,
                      &http);
    bufferevent_setcb(c->bev, NULL, on_written, on_write_error, c);
    event_add(c->express.on_readable, NULL);
    c->express.is_ours = true;
}

/* The bytes in the bufferevent's input are a request, or its beginning. */
static void give_to_evhttp(struct conn *c)
{
    event_del(c->express.on_readable);
    bufferevent_setcb(c->bev, c->express.on_read, c->express.on_write, c->express.on_event,
                      c->http);
    c->express.is_ours = false;
    bufferevent_enable(c->bev, EV_READ);
    bufferevent_trigger(c->bev, EV_READ, 0);
}

/* --- Taking requests ----------------------------------------------------------*/

enum taken {
    TAKEN,      /* it is under way, or answered */
    UNFINISHED, /* its body is still to come */
    UNUSUAL,    /* evhttp's */
};

/* The request that stands at the front; size: how long it is, unless it is unusual. */
static enum taken take_one(struct conn *c, const char *bytes, size_t n, size_t *size)
{
    struct plain_request r;
    struct conns *s = c->conns;
    if (s->express == NULL || !plain_request_read(bytes, n, s->kept_field, &r) ||
        r.body_size > s->express_max_body)
        return UNUSUAL;
    *size = r.size;
    if (r.size > n)
        return UNFINISHED;
    return s->express(s->express_arg, c, &r) ? TAKEN : UNUSUAL;
}

/* A long body comes in pieces: they are put where they belong, and no byte behind it is
 * read. Its deadline is that of every body. */
static void begin_body(struct conn *c, const char *bytes, size_t n, size_t size)
{
    c->express.request = mem_malloc(size);
    memcpy(c->express.request, bytes, n);
    c->express.n = n;
    c->express.size = size;
    conn_enter(c, PHASE_BODY, clock_coarse_ns());
}

static void take(struct conn *c, const char *bytes, size_t n)
{
    enum taken taken = TAKEN;
    size_t at = 0, size = 0;
    while (conn_is_waiting(c) && at < n &&
           (taken = take_one(c, bytes + at, n - at, &size)) == TAKEN)
        at += size;
    if (at == n)
        return;
    if (conn_is_waiting(c) && taken == UNFINISHED) {
        begin_body(c, bytes + at, n - at, size);
        return;
    }
    bool is_unusual = conn_is_waiting(c);
    evbuffer_prepend(bufferevent_get_input(c->bev), bytes + at, n - at);
    if (is_unusual)
        give_to_evhttp(c);
}

/* Whether recv has brought bytes. An end, which is the connection's, is none: c is gone. */
static bool has_brought(struct conn *c, ssize_t got)
{
    if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR))
        conn_end(c);
    return got > 0;
}

static void read_body(struct conn *c)
{
    size_t left = c->express.size - c->express.n;
    ssize_t got = recv(c->fd, c->express.request + c->express.n, left, MSG_DONTWAIT);
    if (!has_brought(c, got))
        return;
    c->express.n += (size_t)got;
    if (c->express.n < c->express.size)
        return;
    char *request = c->express.request;
    c->express.request = NULL;
    conn_enter(c, PHASE_IDLE, clock_coarse_ns());
    take(c, request, c->express.size);
    free(request);
}

static void read_next(struct conn *c)
{
    struct evbuffer *input = bufferevent_get_input(c->bev);
    int kept = evbuffer_remove(input, arrived, sizeof arrived);
    size_t n = kept > 0 ? (size_t)kept : 0;
    ssize_t got = recv(c->fd, arrived + n, sizeof arrived - n, MSG_DONTWAIT);
    if (got > 0)
        n += (size_t)got;
    if (n > 0 && !c->hang_up) /* behind the last answer nothing is a request */
        take(c, arrived, n);
    else
        has_brought(c, got);
}

/* Also called, by conn_wait_again, for bytes that were read before. */
static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    struct conn *c = arg;
    (void)fd, (void)what;
    if (c->express.request != NULL) {
        read_body(c);
    } else if (conn_is_waiting(c)) {
        if (!c->express.is_ours)
            claim(c);
        read_next(c);
    } else if (c->express.is_ours) {
        event_del(c->express.on_readable); /* finish adds it again */
    }
}

void conn_wait(struct conn *c, struct event_base *base)
{
    c->express.on_readable = event_new(base, c->fd, EV_READ | EV_PERSIST, on_readable, c);
    claim(c);
}

void conn_wait_again(struct conn *c)
{
    event_active(c->express.on_readable, EV_READ, 0);
}

void conn_stop_waiting(struct conn *c)
{
    event_del(c->express.on_readable);
}

void conn_forget(struct conn *c)
{
    event_free(c->express.on_readable);
    free(c->express.request);
}

/* --- Answering ----------------------------------------------------------------*/

/* Whatever came meanwhile is looked at on another turn: who answers is in the
 * middle of something else. */
static void finish(struct conn *c)
{
    struct evbuffer *input = bufferevent_get_input(c->bev);
    conn_enter(c, PHASE_IDLE, clock_coarse_ns());
    if (c->hang_up)
        shutdown(c->fd, SHUT_RDWR);
    event_add(c->express.on_readable, NULL); /* most often it was never taken away */
    if (evbuffer_get_length(input) > 0)
        conn_wait_again(c);
}

static void on_written(struct bufferevent *bev, void *arg)
{
    struct conn *c = arg;
    if (c->phase == PHASE_ANSWER && evbuffer_get_length(bufferevent_get_output(bev)) == 0)
        finish(c);
}

void conn_express_answer(struct conn *c, const char *bytes, size_t n, bool hang_up)
{
    ssize_t sent = send(c->fd, bytes, n, MSG_DONTWAIT | MSG_NOSIGNAL);
    c->hang_up = hang_up;
    if (sent < 0 && errno != EAGAIN && errno != EINTR)
        sent = (ssize_t)n; /* the client has gone, as reading will tell */
    if (sent < 0)
        sent = 0;
    if ((size_t)sent == n) {
        finish(c);
        return;
    }
    conn_enter(c, PHASE_ANSWER, clock_coarse_ns());
    bufferevent_enable(c->bev, EV_WRITE);
    bufferevent_write(c->bev, bytes + sent, n - (size_t)sent);
}
