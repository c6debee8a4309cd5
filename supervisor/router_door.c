/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The door: beyond max_in_flight a request is held for some milliseconds, and
 * begun if there is room by then, else refused.
 *
 * A refusal costs the loop nearly what an answer costs: reading, parsing and
 * writing are most of both. A client that is refused at once asks again at once,
 * and then the loop does little but refuse. One that is held can't ask again on
 * its connection, so what it would have cost goes into answers. For the same
 * reason each turn of the loop refuses a few only: a loop that has nothing else to
 * do turns at once, one that is busy answers meanwhile. What is held is bounded by
 * the connections, as each has one request at a time.
 */
#include <assert.h>
#include <stdlib.h>

#include <event2/event.h>

#include "common/clock.h"
#include "supervisor/router_private.h"
#include "supervisor/settings.h"

#define DOOR_MS               4
#define IN_FLIGHT_PER_REFUSAL 64 /* so many for each that a turn of the loop refuses */

static bool has_room(const struct router *r)
{
    return r->counts.n_in_flight < (size_t)r->settings->max_in_flight;
}

static struct job *take_first(struct router *r)
{
    struct job *job = TAILQ_FIRST(&r->door);
    TAILQ_REMOVE(&r->door, job, next);
    r->counts.n_at_door--;
    assert(TAILQ_FIRST(&r->door) != job);
    return job;
}

static void arm_timer(struct router *r)
{
    const struct job *first = TAILQ_FIRST(&r->door);
    if (first == NULL || evtimer_pending(r->on_door_due, NULL))
        return;
    /* libevent rounds up to a whole millisecond, but for nothing at all. */
    struct timeval t = {0};
    if (first->due_ns > clock_mono_ns())
        t = clock_until(first->due_ns);
    evtimer_add(r->on_door_due, &t);
}

/* It was never in flight, so this is not end_job's affair. */
static void refuse(struct job *job, const struct err *why)
{
    job->done(job->arg, NULL, why);
    free(job);
}

/* By due_ns: everybody is held for as long. */
static void hold(struct job *job)
{
    struct router *r = job->router;
    job->due_ns = clock_mono_ns() + DOOR_MS * NS_PER_MS;
    TAILQ_INSERT_TAIL(&r->door, job, next);
    r->counts.n_at_door++;
    arm_timer(r);
}

void router_enter(struct job *job)
{
    const struct router *r = job->router;
    if (has_room(r) && TAILQ_EMPTY(&r->door)) /* nobody overtakes */
        router_begin(job);
    else
        hold(job);
}

void router_note_room(struct router *r)
{
    if (!TAILQ_EMPTY(&r->door))
        event_active(r->on_room, EV_TIMEOUT, 0);
}

static void on_room(evutil_socket_t fd, short what, void *arg)
{
    struct router *r = arg;
    (void)fd, (void)what;
    while (!TAILQ_EMPTY(&r->door) && has_room(r))
        router_begin(take_first(r));
}

static void on_door_due(evutil_socket_t fd, short what, void *arg)
{
    struct router *r = arg;
    struct err why;
    int64_t now = clock_mono_ns();
    int64_t n_left = 1 + r->settings->max_in_flight / IN_FLIGHT_PER_REFUSAL;
    (void)fd, (void)what;
    err_set(&why, "overloaded", "%zu requests are in flight; max_in_flight is %lld",
            r->counts.n_in_flight, (long long)r->settings->max_in_flight);
    for (; n_left > 0 && !TAILQ_EMPTY(&r->door); n_left--) {
        if (TAILQ_FIRST(&r->door)->due_ns > now)
            break;
        r->counts.n_overloaded++;
        refuse(take_first(r), &why);
    }
    arm_timer(r);
}

void router_clear_door(struct router *r, const char *code, const char *text)
{
    struct err why;
    while (!TAILQ_EMPTY(&r->door)) {
        err_set(&why, code, "%s", text);
        refuse(take_first(r), &why);
    }
}

void router_door_init(struct router *r, struct event_base *base)
{
    TAILQ_INIT(&r->door);
    r->on_door_due = evtimer_new(base, on_door_due, r);
    r->on_room = event_new(base, -1, 0, on_room, r);
}

void router_door_free(struct router *r)
{
    event_free(r->on_door_due);
    event_free(r->on_room);
}
