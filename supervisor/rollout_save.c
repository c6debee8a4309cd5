/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The state that survives us: how things stand, or are about to stand.
 */
#include <stdlib.h>

#include "common/clock.h"
#include "common/mem.h"
#include "supervisor/fleet.h"
#include "supervisor/judge.h"
#include "supervisor/rollout_private.h"
#include "supervisor/settings.h"
#include "supervisor/state.h"
#include "supervisor/store.h"

/* How things stand, but for the models, which store_save names. */
static struct saved_state *describe(const struct rollout *r)
{
    const cJSON *report = judge_frozen_report(r->rooms.judge);
    struct saved_state *s = mem_alloc(sizeof *s);
    *s = (struct saved_state){
        .stable_setting = mem_strdup(r->stable_setting),
        .canary_setting = mem_strdup(r->canary_setting),
        .deployment = r->deployment,
        .percent = r->percent,
        .percent_by_settings = r->percent_by_settings,
        .canary_start_ns = r->canary_start_ns,
        .slowdown = r->slowdown,
        .rolled_back_by = r->rolled_back_by[0] != '\0' ? mem_strdup(r->rolled_back_by) : NULL,
        .report = report != NULL ? cJSON_Duplicate(report, true) : NULL,
    };
    return s;
}

/* As if the candidate were the canary. */
static struct saved_state *describe_with_candidate(const struct rollout *r)
{
    const struct candidate *c = &r->candidate;
    struct saved_state *s = describe(r);
    free(s->rolled_back_by);
    s->rolled_back_by = NULL;
    cJSON_Delete(s->report);
    s->report = NULL;
    s->deployment = c->deployment;
    s->percent_by_settings = c->percent <= 0;
    s->percent = rollout_candidate_percent(r);
    s->canary_start_ns = c->canary_start_ns;
    return s;
}

void rollout_save(struct rollout *r)
{
    struct fleet *f = r->rooms.fleet;
    struct modelref *stable = fleet_model(f, ROLE_STABLE);
    struct modelref *restored = r->candidate.is_restored ? fleet_model(f, ROLE_CANDIDATE) : NULL;
    if (stable == NULL) /* stopping: what was saved stands */
        return;
    r->save_again = r->candidate.saving || r->promotion.done != NULL;
    if (restored != NULL) /* it is the canary already, and will be the next time too */
        store_save(r->rooms.store, describe_with_candidate(r), stable, restored, NULL, NULL);
    else
        store_save(r->rooms.store, describe(r), stable, fleet_model(f, ROLE_CANARY), NULL, NULL);
}

void rollout_save_candidate(struct rollout *r, void (*done)(void *arg, const struct err *why),
                            void *arg)
{
    struct fleet *f = r->rooms.fleet;
    struct candidate *c = &r->candidate;
    c->saving = true;
    if (c->canary_start_ns == 0)
        c->canary_start_ns = clock_wall_ns();
    store_save(r->rooms.store, describe_with_candidate(r), fleet_model(f, ROLE_STABLE),
               fleet_model(f, ROLE_CANDIDATE), done, arg);
}

void rollout_save_promotion(struct rollout *r, void (*done)(void *arg, const struct err *why))
{
    struct saved_state *s = describe(r);
    s->percent = 0;
    s->deployment = 0;
    s->canary_start_ns = 0;
    store_save(r->rooms.store, s, fleet_model(r->rooms.fleet, ROLE_CANARY), NULL, done, r);
}
