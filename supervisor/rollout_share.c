/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The canary's share, and the baseline that comes and goes with it: a second
 * worker of the stable model, as old as the canary and with as much traffic, so
 * that the two can be compared. Nothing waits for it, and its trouble is no
 * news here.
 */
#include "judge/urn.h"
#include "supervisor/fleet.h"
#include "supervisor/journal.h"
#include "supervisor/judge.h"
#include "supervisor/modelref.h"
#include "supervisor/rollout_private.h"
#include "supervisor/router.h"
#include "supervisor/settings.h"

static bool wants_baseline(const struct rollout *r, double percent)
{
    return r->settings->baseline && percent > 0 && percent < URN_MAX_PERCENT;
}

void rollout_start_candidate(struct rollout *r, struct modelref *model)
{
    struct fleet *f = r->rooms.fleet;
    fleet_start(f, ROLE_CANDIDATE, model, r->candidate.is_restored ? ROLLOUT_START_TRIES : 1);
    if (wants_baseline(r, rollout_candidate_percent(r)))
        fleet_start(f, ROLE_NEXT_BASELINE, fleet_model(f, ROLE_STABLE), 1);
}

void rollout_take_next_baseline(struct rollout *r)
{
    struct fleet *f = r->rooms.fleet;
    if (fleet_model(f, ROLE_NEXT_BASELINE) != NULL)
        fleet_move(f, ROLE_NEXT_BASELINE, ROLE_BASELINE);
}

void rollout_set_share(struct rollout *r, double percent)
{
    struct fleet *f = r->rooms.fleet;
    bool wanted = wants_baseline(r, percent);
    r->percent = percent;
    if (percent > 0) {
        judge_open_share(r->rooms.judge, wanted ? ARM_BASELINE : ARM_STABLE, clock_mono_ns());
        /* A model has its users, after a restart and in every replica. */
        router_set_salt(r->rooms.router, rollout_canary_model(r)->sha256);
    }
    router_set_share(r->rooms.router, percent, wanted);
    if (!wanted)
        fleet_retire(f, ROLE_BASELINE);
    else if (fleet_model(f, ROLE_BASELINE) == NULL)
        fleet_start(f, ROLE_BASELINE, fleet_model(f, ROLE_STABLE), 1);
}

void rollout_apply_share(struct rollout *r)
{
    double wanted = r->percent_by_settings ? r->settings->canary_percent : r->percent;
    bool has_baseline = fleet_model(r->rooms.fleet, ROLE_BASELINE) != NULL;
    double previous = r->percent;
    if (previous <= 0 || (wanted == previous && wants_baseline(r, wanted) == has_baseline))
        return;
    rollout_set_share(r, wanted);
    if (wanted == previous)
        return;
    cJSON *fields = rollout_note_model(rollout_canary_model(r));
    cJSON_AddNumberToObject(fields, "previous", previous);
    cJSON_AddNumberToObject(fields, "percent", wanted);
    journal_add(r->rooms.journal, "share-changed", fields);
    rollout_save(r);
}
