/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The lot, and what is told of those that it has drawn.
 */
#include "common/clock.h"
#include "supervisor/router_private.h"
#include "supervisor/turn.h"

void router_set_share(struct router *r, double percent, bool baseline)
{
    urn_set_share(&r->urn, percent, baseline);
}

void router_draw(struct job *job)
{
    struct router *r = job->router;
    job->drawn = job->routing == ROUTING_TO_CANARY ? ARM_CANARY : ARM_STABLE;
    if (job->routing != ROUTING_BY_LOT) {
        r->counts.n_forced++;
        return;
    }
    struct urn_draw draw = urn_draw(&r->urn);
    job->drawn = draw.arm;
    job->has_ticket = r->urn.share > 0;
    if (job->has_ticket)
        job->ticket = r->listener.draw(r->listener.arg, draw.arm, draw.ends_group, clock_mono_ns());
}

/* What this turn does from now on can't touch a call that is over. */
void router_end_draw(struct job *job, struct rule_sample *sample, int64_t start_ns)
{
    struct router *r = job->router;
    if (!job->has_ticket)
        return;
    job->has_ticket = false;
    sample->stalled = sample->outcome == OUTCOME_OK && turn_has_stalled(r->turn, start_ns);
    r->counts.n_stalled += sample->stalled;
    r->listener.ended(r->listener.arg, &job->ticket, sample);
}

void router_unask_draw(struct job *job)
{
    router_end_draw(job, &(struct rule_sample){.outcome = OUTCOME_UNASKED}, 0);
}
