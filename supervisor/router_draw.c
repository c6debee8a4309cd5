/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The lot, and what is told of those that it has drawn. How long a turn of the
 * loop lasts is known when it is over: until then the ends of its calls wait.
 */
#include <stdlib.h>

#include <event2/event.h>

#include "common/mem.h"
#include "supervisor/router_private.h"
#include "supervisor/turn.h"

#define FIRST_ROOM 64

void router_set_share(struct router *r, double percent, bool baseline)
{
    urn_set_share(&r->urn, percent, baseline);
}

void router_draw(struct job *job, enum routing routing, int64_t now_ns)
{
    struct router *r = job->router;
    job->by_lot = routing == ROUTING_BY_LOT;
    job->drawn = routing == ROUTING_TO_CANARY ? ARM_CANARY : ARM_STABLE;
    if (!job->by_lot) {
        r->counts.n_forced++;
        return;
    }
    struct urn_draw draw = urn_draw(&r->urn);
    job->drawn = draw.arm;
    job->has_ticket = r->urn.share > 0;
    if (job->has_ticket)
        job->ticket = r->listener.draw(r->listener.arg, draw.arm, draw.ends_group, now_ns);
}

void router_end_draw(struct job *job, const struct rule_sample *sample, int64_t start_ns)
{
    struct router *r = job->router;
    if (!job->has_ticket)
        return;
    job->has_ticket = false;
    if (r->n_ended == r->room_ended) {
        r->room_ended = r->room_ended == 0 ? FIRST_ROOM : 2 * r->room_ended;
        r->ended = mem_resize(r->ended, r->room_ended, sizeof *r->ended);
    }
    if (r->n_ended == 0)
        event_active(r->on_turn_over, EV_TIMEOUT, 0);
    r->ended[r->n_ended++] =
        (struct ended){.ticket = job->ticket, .sample = *sample, .start_ns = start_ns};
}

/* After the callbacks that were due: nothing of the turn is left but to write. */
static void on_turn_over(evutil_socket_t fd, short what, void *arg)
{
    struct router *r = arg;
    (void)fd, (void)what;
    for (size_t i = 0; i < r->n_ended; i++) { /* a verdict may end calls of its own */
        struct ended e = r->ended[i];
        e.sample.stalled = e.sample.outcome == OUTCOME_OK && turn_has_stalled(r->turn, e.start_ns);
        r->counts.n_stalled += e.sample.stalled;
        r->listener.ended(r->listener.arg, &e.ticket, &e.sample);
    }
    r->n_ended = 0;
}

void router_draws_init(struct router *r, struct event_base *base)
{
    rng_seed_from_system(&r->urn.rng);
    r->on_turn_over = event_new(base, -1, 0, on_turn_over, r);
}

void router_draws_clear(struct router *r)
{
    event_free(r->on_turn_over);
    free(r->ended);
}
