/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * See conns.h. A phase is a list: all of a phase have the same time, so each
 * list is in the order of its deadlines, a step costs a move to another tail,
 * and one timer for the earliest head serves all.
 *
 * A connection is known from its bufferevent (evhttp_set_bevcb) to its close
 * callback. Between requests conns_express.c reads it. What is evhttp's is seen
 * where it arrives, in the input buffer: evhttp tells nothing before a request is
 * whole. That the bufferevent's callback argument is the connection is libevent's
 * own doing, asserted below.
 */
#include "supervisor/conns.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sysexits.h>

#include <cjson/cJSON.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>

#include "common/clock.h"
#include "common/err.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/rng.h"
#include "supervisor/conns_private.h"
#include "supervisor/problems.h"

#define LINGER_MS       1000 /* for a client to read why it was refused */
#define MAX_LINGERING   256
#define SILENT_MS       1000 /* after which a new connection makes room for another */
#define REFUSALS_A_LINE 1000

/* --- Deadlines --------------------------------------------------------------*/

static int64_t allowed_ms(const struct conns *s, enum phase phase)
{
    const int64_t ms[N_PHASES] = {
        [PHASE_NEW] = s->limits.header_ms,
        [PHASE_HEAD] = s->limits.header_ms,
        [PHASE_BODY] = s->limits.body_ms,
        [PHASE_ANSWER] = s->limits.write_ms,
        [PHASE_IDLE] = s->limits.idle_ms,
        [PHASE_LINGER] = LINGER_MS,
        [PHASE_HANDLER] = 0, /* unlimited */
    };
    return ms[phase];
}

/* The monotonic time at which c has had its time; 0: never. */
static int64_t deadline_of(const struct conn *c)
{
    int64_t ms = allowed_ms(c->conns, c->phase);
    return ms == 0 ? 0 : c->since_ns + ms * NS_PER_MS;
}

static void arm(struct conns *s, int64_t deadline_ns)
{
    if (deadline_ns == 0 || (s->timer_ns != 0 && s->timer_ns <= deadline_ns))
        return;
    struct timeval in = clock_until(deadline_ns);
    s->timer_ns = deadline_ns;
    evtimer_add(s->on_deadline, &in);
}

void conn_enter(struct conn *c, enum phase phase, int64_t now_ns)
{
    struct conns *s = c->conns;
    TAILQ_REMOVE(&s->phases[c->phase], c, next);
    TAILQ_INSERT_TAIL(&s->phases[phase], c, next);
    c->phase = phase;
    c->since_ns = now_ns;
    arm(s, deadline_of(c));
}

/* --- Ends -------------------------------------------------------------------*/

/* evhttp's: the connection goes, for whatever reason. */
static void on_closed(struct evhttp_connection *http, void *arg)
{
    struct conn *c = arg;
    struct conns *s = c->conns;
    (void)http;
    if (c->phase == PHASE_HANDLER && c->on_gone != NULL)
        c->on_gone(c->on_gone_arg);
    s->n_lingering -= c->phase == PHASE_LINGER;
    TAILQ_REMOVE(&s->phases[c->phase], c, next);
    s->by_fd[c->fd] = NULL;
    s->n--;
    conn_forget(c);
    free(c);
}

void conn_end(struct conn *c)
{
    assert(c->phase != PHASE_HANDLER);
    evhttp_connection_free(c->http);
}

/* A whole answer where no handler will ever give one. What the socket does not
 * take at once is lost: nobody waits for those who are being sent away. */
static void say(const struct conn *c, const struct err *e)
{
    const struct problem *p = problem_find(e->code);
    unsigned long long id = rng_next(&c->conns->rng);
    char instance[48];
    snprintf(instance, sizeof instance, "urn:request:req_%016llx", id);
    char *body = problem_to_json(p, e, instance);
    char *text = mem_printf("HTTP/1.1 %d %s\r\nContent-Type: application/problem+json\r\n"
                            "X-Content-Type-Options: nosniff\r\nX-Request-ID: req_%016llx\r\n"
                            "%sConnection: close\r\nContent-Length: %zu\r\n\r\n%s",
                            p->status, status_reason(p->status), id,
                            p->status == 503 ? "Retry-After: 1\r\n" : "", strlen(body), body);
    if (send(c->fd, text, strlen(text), MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
        log_debug("a refusal could not be sent");
    free(text);
    cJSON_free(body);
}

/* Says why and lets the client read it: closing at once, with bytes of its
 * unread, would reset the connection and could take the answer back. */
static void dismiss(struct conn *c, const struct err *e, int64_t now_ns)
{
    struct conns *s = c->conns;
    say(c, e);
    shutdown(c->fd, SHUT_WR);
    conn_stop_waiting(c);
    bufferevent_disable(c->bev, EV_READ | EV_WRITE);
    if (s->n_lingering == MAX_LINGERING)
        conn_end(TAILQ_FIRST(&s->phases[PHASE_LINGER]));
    s->n_lingering++;
    conn_enter(c, PHASE_LINGER, now_ns);
}

static void expire(struct conn *c, int64_t now_ns)
{
    struct err e;
    bool is_head = c->phase == PHASE_HEAD;
    bool is_request = is_head || c->phase == PHASE_BODY;
    if (!is_request || evbuffer_get_length(bufferevent_get_output(c->bev)) > 0) {
        conn_end(c);
        return;
    }
    const char *fault = is_head ? raw_message_fault(&c->message) : NULL;
    if (fault != NULL)
        err_set(&e, "malformed-request", "the request is malformed: %s", fault);
    else
        err_set(&e, "request-timeout", "the request's %s was not whole within %lld ms",
                is_head ? "head" : "body", (long long)allowed_ms(c->conns, c->phase));
    dismiss(c, &e, now_ns);
}

static void on_deadline(evutil_socket_t fd, short what, void *arg)
{
    struct conns *s = arg;
    int64_t now_ns = clock_mono_ns();
    (void)fd, (void)what;
    s->timer_ns = 0;
    for (int phase = 0; phase < N_PHASES; phase++) {
        struct conn *c;
        while ((c = TAILQ_FIRST(&s->phases[phase])) != NULL) {
            int64_t deadline_ns = deadline_of(c);
            if (deadline_ns == 0 || deadline_ns > now_ns) {
                arm(s, deadline_ns);
                break;
            }
            expire(c, now_ns);
        }
    }
}

/* --- What arrives -----------------------------------------------------------*/

/* Shows the message what stands in the buffer from an offset on. */
static void take_input(struct conn *c, struct evbuffer *input, size_t from)
{
    struct evbuffer_iovec part;
    struct evbuffer_ptr at;
    size_t length = evbuffer_get_length(input);
    for (; from < length; from += part.iov_len) {
        if (evbuffer_ptr_set(input, &at, from, EVBUFFER_PTR_SET) < 0 ||
            evbuffer_peek(input, -1, &at, &part, 1) < 1)
            return;
        raw_message_take(&c->message, part.iov_base, part.iov_len);
    }
}

/* A head that is refused anyhow, such as a TLS hello, need not be waited for: its
 * deadline is now. */
static void hurry(struct conn *c, int64_t now_ns)
{
    struct conn_list *heads = &c->conns->phases[PHASE_HEAD];
    TAILQ_REMOVE(heads, c, next);
    TAILQ_INSERT_HEAD(heads, c, next);
    c->since_ns = now_ns - allowed_ms(c->conns, PHASE_HEAD) * NS_PER_MS;
    arm(c->conns, now_ns);
}

/* What follows from what has been seen of a head. */
static void look_at_head(struct conn *c, int64_t now_ns)
{
    if (raw_message_has_head(&c->message))
        conn_enter(c, PHASE_BODY, now_ns);
    else if (raw_message_fault(&c->message) != NULL)
        hurry(c, now_ns);
}

/* A request begins that is evhttp's: its bytes are in input from an offset on. */
static void begin_head(struct conn *c, struct evbuffer *input, size_t from, int64_t now_ns)
{
    raw_message_begin(&c->message);
    take_input(c, input, from);
    conn_enter(c, PHASE_HEAD, now_ns);
    look_at_head(c, now_ns);
}

static void on_input(struct evbuffer *input, const struct evbuffer_cb_info *info, void *arg)
{
    struct conn *c = arg;
    bool is_begun = c->phase == PHASE_HEAD || c->phase == PHASE_BODY;
    if (info->n_added == 0 || (is_begun && raw_message_is_seen(&c->message)))
        return;
    size_t from = evbuffer_get_length(input) - info->n_added;
    if (conn_is_waiting(c)) {
        begin_head(c, input, from, clock_coarse_ns());
    } else if (is_begun) {
        take_input(c, input, from);
        if (c->phase == PHASE_HEAD)
            look_at_head(c, clock_coarse_ns());
    }
}

/* --- Accepting --------------------------------------------------------------*/

/* Makes room by closing whoever has waited longest without asking anything;
 * who has only just come is given a moment to speak. */
static bool make_room(struct conns *s, int64_t now_ns)
{
    static const struct {
        enum phase phase;
        int64_t at_least_ms;
    } order[] = {{PHASE_IDLE, 0}, {PHASE_LINGER, 0}, {PHASE_NEW, SILENT_MS}};
    for (size_t i = 0; i < sizeof order / sizeof order[0]; i++) {
        struct conn *c = TAILQ_FIRST(&s->phases[order[i].phase]);
        if (c != NULL && now_ns - c->since_ns >= order[i].at_least_ms * NS_PER_MS) {
            conn_end(c);
            return true;
        }
    }
    return false;
}

static void remember_fd(struct conns *s, struct conn *c)
{
    size_t fd = (size_t)c->fd;
    if (fd >= s->n_by_fd) {
        size_t n = fd + fd / 2 + 64;
        s->by_fd = mem_resize(s->by_fd, n, sizeof(struct conn *));
        memset(s->by_fd + s->n_by_fd, 0, (n - s->n_by_fd) * sizeof(struct conn *));
        s->n_by_fd = n;
    }
    s->by_fd[fd] = c;
}

static void refuse(struct conn *c, int64_t now_ns)
{
    struct conns *s = c->conns;
    struct err e;
    if (s->n_refused++ % REFUSALS_A_LINE == 0)
        log_warn("%zu connections are open and busy; max_connections allows no more",
                 s->limits.max);
    err_set(&e, "too-many-connections", "%zu connections are open and busy", s->limits.max);
    dismiss(c, &e, now_ns);
}

static void welcome(struct conn *c, int64_t now_ns)
{
    struct conns *s = c->conns;
    void *http;
    bufferevent_getcb(c->bev, NULL, NULL, NULL, &http);
    assert(evhttp_connection_get_bufferevent(http) == c->bev);
    c->http = http;
    c->fd = bufferevent_getfd(c->bev);
    remember_fd(s, c);
    evhttp_connection_set_closecb(c->http, on_closed, c);
    evbuffer_add_cb(bufferevent_get_input(c->bev), on_input, c);
    bool is_full = s->limits.max > 0 && s->n >= s->limits.max && !make_room(s, now_ns);
    s->n++;
    c->since_ns = now_ns;
    TAILQ_INSERT_TAIL(&s->phases[PHASE_NEW], c, next);
    conn_wait(c, s->base);
    if (is_full)
        refuse(c, now_ns);
    else
        arm(s, deadline_of(c));
}

/* Runs before the loop looks for new bytes: nobody has been read from yet. */
static void on_accepted(evutil_socket_t fd, short what, void *arg)
{
    struct conns *s = arg;
    struct conn *c;
    int64_t now_ns = clock_mono_ns();
    (void)fd, (void)what;
    while ((c = TAILQ_FIRST(&s->accepted)) != NULL) {
        TAILQ_REMOVE(&s->accepted, c, next);
        welcome(c, now_ns);
    }
}

static struct bufferevent *make_bufferevent(struct event_base *base, void *arg)
{
    struct conns *s = arg;
    struct conn *c = mem_alloc(sizeof *c);
    c->conns = s;
    c->bev = bufferevent_socket_new(base, -1, 0);
    if (c->bev == NULL)
        fatal(EX_SOFTWARE, "no memory for a connection");
    TAILQ_INSERT_TAIL(&s->accepted, c, next);
    event_active(s->on_accepted, EV_TIMEOUT, 0);
    return c->bev;
}

/* --- For the gateway --------------------------------------------------------*/

struct conns *conns_new(struct event_base *base, struct evhttp *http,
                        const struct conns_limits *limits)
{
    struct conns *s = mem_alloc(sizeof *s);
    s->base = base;
    s->limits = *limits;
    s->kept_field = "";
    rng_seed_from_system(&s->rng);
    for (int i = 0; i < N_PHASES; i++)
        TAILQ_INIT(&s->phases[i]);
    TAILQ_INIT(&s->accepted);
    s->on_accepted = evtimer_new(base, on_accepted, s);
    s->on_deadline = evtimer_new(base, on_deadline, s);
    evhttp_set_bevcb(http, make_bufferevent, s);
    return s;
}

void conns_free(struct conns **s)
{
    struct conn *c;
    if (*s == NULL)
        return;
    while ((c = TAILQ_FIRST(&(*s)->accepted)) != NULL) {
        TAILQ_REMOVE(&(*s)->accepted, c, next);
        free(c);
    }
    assert((*s)->n == 0);
    event_free((*s)->on_accepted);
    event_free((*s)->on_deadline);
    free((*s)->by_fd);
    free(*s);
    *s = NULL;
}

void conns_set_limits(struct conns *s, const struct conns_limits *limits)
{
    s->limits = *limits;
    s->timer_ns = 0;
    for (int phase = 0; phase < N_PHASES; phase++)
        if (!TAILQ_EMPTY(&s->phases[phase]))
            arm(s, deadline_of(TAILQ_FIRST(&s->phases[phase])));
}

void conns_set_express(struct conns *s, conns_express *express, void *arg, size_t max_body)
{
    s->express_max_body = max_body;
    s->express = express;
    s->express_arg = arg;
}

void conns_set_kept_field(struct conns *s, const char *name)
{
    s->kept_field = name;
}

size_t conns_n(const struct conns *s)
{
    return s->n;
}

struct conn *conns_find(const struct conns *s, struct evhttp_request *request)
{
    struct evhttp_connection *http = evhttp_request_get_connection(request);
    int fd = bufferevent_getfd(evhttp_connection_get_bufferevent(http));
    assert(fd >= 0 && (size_t)fd < s->n_by_fd && s->by_fd[fd] != NULL);
    assert(s->by_fd[fd]->http == http);
    return s->by_fd[fd];
}

void conn_begin(struct conn *c, void (*on_gone)(void *arg), void *arg)
{
    c->on_gone = on_gone;
    c->on_gone_arg = arg;
    conn_enter(c, PHASE_HANDLER, 0);
}

/* The answer is out, to the last byte; evhttp looks for another request next. */
static void on_sent(struct evhttp_request *request, void *arg)
{
    struct conn *c = arg;
    struct evbuffer *input = bufferevent_get_input(c->bev);
    (void)request;
    if (c->hang_up)
        shutdown(c->fd, SHUT_RDWR);
    if (evbuffer_get_length(input) > 0) {
        begin_head(c, input, 0, clock_coarse_ns());
    } else {
        conn_enter(c, PHASE_IDLE, clock_coarse_ns());
        conn_wait_again(c);
    }
}

void conn_answer(struct conn *c, struct evhttp_request *request, bool hang_up)
{
    c->hang_up = hang_up;
    evhttp_request_set_on_complete_cb(request, on_sent, c);
    conn_enter(c, PHASE_ANSWER, clock_coarse_ns());
}

const char *conn_fault(const struct conn *c)
{
    return raw_message_fault(&c->message);
}

int conn_fd(const struct conn *c)
{
    return c->fd;
}
