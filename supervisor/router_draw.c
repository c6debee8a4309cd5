/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The lot, and what is told of those that it has drawn.
 */
#include <string.h>

#include "common/clock.h"
#include "supervisor/router_private.h"
#include "supervisor/turn.h"

void router_set_share(struct router *r, double percent, bool baseline)
{
    urn_set_share(&r->urn, percent, baseline);
}

void router_set_salt(struct router *r, const char *text)
{
    const struct siphash_key first = {{0, 1}}, second = {{0, 2}}; /* any two: they are no secret */
    size_t n = strlen(text);
    r->salt = (struct siphash_key){{siphash(&first, text, n), siphash(&second, text, n)}};
}

uint64_t router_user(const char *key, size_t n)
{
    const struct siphash_key any = {{0, 0}};
    return siphash(&any, key, n);
}

/* Where a user stands between 0 and 1 (never 1), in this deployment. */
static double position_of(const struct router *r, uint64_t user)
{
    return (double)(siphash(&r->salt, &user, sizeof user) >> 11) * 0x1p-53;
}

static struct urn_draw draw_one(struct router *r, const struct wish *wish)
{
    if (wish->routing == ROUTING_BY_LOT)
        return urn_draw(&r->urn);
    r->counts.n_by_user += r->urn.share > 0;
    return urn_place(&r->urn, position_of(r, wish->user));
}

bool router_is_forced(const struct job *job)
{
    return job->wish.routing == ROUTING_TO_STABLE || job->wish.routing == ROUTING_TO_CANARY;
}

void router_draw(struct job *job)
{
    struct router *r = job->router;
    if (router_is_forced(job)) {
        job->drawn = job->wish.routing == ROUTING_TO_CANARY ? ARM_CANARY : ARM_STABLE;
        r->counts.n_forced++;
        return;
    }
    struct urn_draw draw = draw_one(r, &job->wish);
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
