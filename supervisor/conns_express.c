/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The express lane; see conns.h. evhttp costs more than everything else that is
 * done for an ordinary request: it switches reading off and on around each one
 * (two system calls), formats its answer piece by piece and writes it on
 * another turn of the loop. So a plain request is taken out of the input
 * before evhttp sees that there was one, and answered by one send(2).
 *
 * evhttp meanwhile waits for the first line of a request, whatever happens here.
 * It must hear of nothing while ours is under way: neither of bytes behind it,
 * which are the next request's, nor of the client's end, after which it would
 * close the connection before our answer. So its callbacks are taken off the
 * bufferevent until we have answered; then it reads what it missed.
 */
#include "supervisor/conns.h"

#include <errno.h>
#include <sys/socket.h>

#include <event2/event.h>

#include "common/clock.h"
#include "supervisor/conns_private.h"
#include "supervisor/plain_request.h"

#define MAX_PLAIN_BYTES 16384 /* of a request: what one read brings */
#define MAX_BEHIND      65536 /* bytes behind a request before no more is read */

/* --- While a request is under way: evhttp's callbacks are these ---------------*/

static void on_more_input(struct bufferevent *bev, void *arg);
static void on_written(struct bufferevent *bev, void *arg);

/* libevent has stopped reading, for a timeout (evhttp's idle timer: who waits for us
 * is not idle) or because the client has ended its part. evhttp learns that when it
 * reads again; of an answer that can't be written it is told at once. */
static void on_event(struct bufferevent *bev, short what, void *arg)
{
    struct conn *c = arg;
    if (c->phase == PHASE_ANSWER && (what & BEV_EVENT_WRITING) != 0)
        c->express.on_event(bev, what, c->http); /* c is gone now */
    else
        c->express.is_paused = true;
}

static void take_over(struct conn *c)
{
    void *http;
    bufferevent_getcb(c->bev, &c->express.on_read, &c->express.on_write, &c->express.on_event,
                      &http);
    bufferevent_setcb(c->bev, on_more_input, on_written, on_event, c);
}

static bool has_taken_over(const struct conn *c)
{
    return c->express.on_event != NULL;
}

static void hand_back(struct conn *c)
{
    bufferevent_setcb(c->bev, c->express.on_read, c->express.on_write, c->express.on_event,
                      c->http);
    c->express.on_event = NULL;
    if (c->express.is_paused)
        bufferevent_enable(c->bev, EV_READ);
    c->express.is_paused = false;
}

/* --- Taking requests ----------------------------------------------------------*/

static bool take_one(struct conn *c, struct evbuffer *input)
{
    struct plain_request r;
    size_t n = evbuffer_get_length(input);
    if (c->conns->express == NULL || n == 0 || n > MAX_PLAIN_BYTES)
        return false;
    const char *bytes = (const char *)evbuffer_pullup(input, -1);
    if (!plain_request_read(bytes, n, &r))
        return false;
    size_t size = r.size;
    if (!c->conns->express(c->conns->express_arg, c, &r))
        return false;
    evbuffer_drain(input, size);
    return true;
}

bool conn_take_plain(struct conn *c, struct evbuffer *input)
{
    bool any = false;
    c->express.is_taking = true;
    while (c->phase == PHASE_NEW || c->phase == PHASE_IDLE) {
        if (!take_one(c, input))
            break;
        any = true;
    }
    c->express.is_taking = false;
    if (c->phase == PHASE_HANDLER || c->phase == PHASE_ANSWER) {
        if (!has_taken_over(c))
            take_over(c);
    } else if (any && evbuffer_get_length(input) > 0) {
        conn_begin_head(c, input, 0, clock_coarse_ns());
    }
    return any;
}

/* Behind a request that is under way bytes wait; behind an answer they are next. */
static void on_more_input(struct bufferevent *bev, void *arg)
{
    struct conn *c = arg;
    struct evbuffer *input = bufferevent_get_input(bev);
    if (c->phase != PHASE_IDLE) {
        if (evbuffer_get_length(input) > MAX_BEHIND) {
            bufferevent_disable(bev, EV_READ);
            c->express.is_paused = true;
        }
        return;
    }
    bool any = conn_take_plain(c, input);
    if (c->phase == PHASE_HANDLER || c->phase == PHASE_ANSWER)
        return;
    if (!any && evbuffer_get_length(input) > 0)
        conn_begin_head(c, input, 0, clock_coarse_ns());
    hand_back(c);
    if (evbuffer_get_length(input) > 0)
        bufferevent_trigger(bev, EV_READ, 0);
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
    if (c->express.is_taking || !has_taken_over(c))
        return;
    if (evbuffer_get_length(input) > 0)
        bufferevent_trigger(c->bev, EV_READ, BEV_TRIG_IGNORE_WATERMARKS | BEV_TRIG_DEFER_CALLBACKS);
    else
        hand_back(c);
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
    bufferevent_write(c->bev, bytes + sent, n - (size_t)sent);
}
