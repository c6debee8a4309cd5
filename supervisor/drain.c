/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * See drain.h.
 */
#include "supervisor/drain.h"

#include <stdlib.h>

#include <event2/event.h>

#include "common/clock.h"
#include "common/mem.h"
#include "supervisor/api_status.h"
#include "supervisor/fleet.h"
#include "supervisor/gateway.h"
#include "supervisor/loader.h"
#include "supervisor/notify.h"
#include "supervisor/rollout.h"
#include "supervisor/router.h"
#include "supervisor/store.h"

#define QUIET_MS 100   /* without a request before the workers are let go */
#define LOOK_US  20000 /* between looks whether it is done */
#define STOP_MS  3000  /* for workers that were asked to go */

struct drain {
    struct event_base *base;
    struct drain_rooms rooms;
    struct event *on_look;
    bool has_begun;
    int64_t timeout_ms;
    int64_t began_ns;
    bool fleet_stopped;
    int64_t fleet_stopped_ns;
};

static bool is_past(int64_t since_ns, int64_t ms)
{
    return clock_mono_ns() - since_ns >= ms * NS_PER_MS;
}

/* Every answer is out, and no client has asked for a moment. */
static bool http_is_drained(const struct drain *d)
{
    const struct gateway *g = d->rooms.gateway;
    if (is_past(d->began_ns, d->timeout_ms))
        return true;
    return gateway_n_pending(g) == 0 && is_past(d->began_ns, QUIET_MS) &&
           is_past(gateway_last_request_ns(g), QUIET_MS);
}

/* What was given up may be on its way to the disk, and must be taken back there while it
 * is known who is stable. */
static bool disk_is_done(const struct drain *d)
{
    return !store_is_busy(d->rooms.store) || is_past(d->began_ns, d->timeout_ms);
}

void drain_look(struct drain *d)
{
    const struct drain_rooms *rooms = &d->rooms;
    if (!d->has_begun)
        return;
    if (!d->fleet_stopped && http_is_drained(d) && disk_is_done(d)) {
        d->fleet_stopped = true;
        d->fleet_stopped_ns = clock_mono_ns();
        router_stop(rooms->router);
        fleet_stop(rooms->fleet);
    }
    if (d->fleet_stopped && is_past(d->fleet_stopped_ns, STOP_MS))
        fleet_kill_all(rooms->fleet);
    if (d->fleet_stopped && fleet_n_procs(rooms->fleet) == 0 && !loader_is_busy(rooms->loader) &&
        !store_is_busy(rooms->store))
        event_base_loopbreak(d->base);
}

static void on_look(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    drain_look(arg);
}

void drain_begin(struct drain *d, int64_t timeout_ms)
{
    const struct timeval every = {.tv_usec = LOOK_US};
    d->has_begun = true;
    d->timeout_ms = timeout_ms;
    d->began_ns = clock_mono_ns();
    notify_stopping(d->rooms.notify, timeout_ms + STOP_MS + NOTIFY_SLACK_MS);
    api_status_stop(d->rooms.api_status);
    gateway_drain(d->rooms.gateway);
    rollout_stop(d->rooms.rollout);
    event_add(d->on_look, &every);
}

bool drain_has_begun(const struct drain *d)
{
    return d->has_begun;
}

struct drain *drain_new(struct event_base *base, const struct drain_rooms *rooms)
{
    struct drain *d = mem_alloc(sizeof *d);
    d->base = base;
    d->rooms = *rooms;
    d->on_look = event_new(base, -1, EV_PERSIST, on_look, d);
    return d;
}

void drain_free(struct drain **d)
{
    event_free((*d)->on_look);
    free(*d);
    *d = NULL;
}
