/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The start: takes up what the last canaryd left, and then what the settings say
 * that is new. A restored canary is the canary from the start, as far as the disk
 * is concerned: whatever happens until it serves, the next start finds it again.
 */
#include <stdio.h>
#include <string.h>

#include "common/log.h"
#include "supervisor/fleet.h"
#include "supervisor/journal.h"
#include "supervisor/judge.h"
#include "supervisor/loader.h"
#include "supervisor/modelref.h"
#include "supervisor/rollout_private.h"
#include "supervisor/settings.h"
#include "supervisor/state.h"
#include "supervisor/store.h"

/* The model that was saved, or NULL, told in the log. */
static struct modelref *open_saved(const struct rollout *r, const struct saved_model *m)
{
    struct err e = {0};
    struct modelref *model = store_open_model(r->rooms.store, m, &e);
    if (model == NULL)
        log_warn("%s was deployed and can't be taken up again: %s", m->path, e.text);
    return model;
}

/* --- Stable -----------------------------------------------------------------*/

static void on_stable_loaded(void *arg, struct modelref *model, const struct err *why)
{
    struct rollout *r = arg;
    r->stable_load = NULL;
    if (model == NULL) {
        r->listener.hopeless(r->listener.arg, why, false);
        return;
    }
    fleet_start(r->rooms.fleet, ROLE_STABLE, model, ROLLOUT_START_TRIES);
    modelref_free(&model);
}

static void load_stable_setting(struct rollout *r)
{
    const struct load_options options = rollout_load_options(r);
    r->stable_load = loader_start(r->rooms.loader, &options, r->settings->stable_model, NULL,
                                  on_stable_loaded, r);
}

void rollout_start(struct rollout *r, const struct saved_state *saved)
{
    struct modelref *model = NULL;
    r->saved = saved;
    if (saved != NULL) {
        r->slowdown = saved->slowdown;
        rollout_apply_slowdown(r);
    }
    if (saved != NULL && strcmp(saved->stable_setting, r->stable_setting) == 0)
        model = open_saved(r, &saved->stable);
    if (model == NULL) {
        load_stable_setting(r);
        return;
    }
    log_info("takes up where the last canaryd ended: stable is %s", model->version);
    fleet_start(r->rooms.fleet, ROLE_STABLE, model, ROLLOUT_START_TRIES);
    modelref_free(&model);
}

/* --- The canary -------------------------------------------------------------*/

static void restore_canary(struct rollout *r, const struct saved_state *saved)
{
    struct modelref *model = saved->canary.path != NULL ? open_saved(r, &saved->canary) : NULL;
    struct err e;
    snprintf(r->rolled_back_by, sizeof r->rolled_back_by, "%s",
             saved->rolled_back_by != NULL ? saved->rolled_back_by : "");
    if (saved->report != NULL)
        judge_restore_report(r->rooms.judge, saved->report);
    if (model == NULL)
        return;
    const struct deploy_request request = {
        .path = saved->canary.path,
        .percent = saved->percent_by_settings ? 0 : saved->percent,
        .by = BY_RESTART,
        .model = model,
        .deployment = saved->deployment,
        .canary_start_ns = saved->canary_start_ns,
    };
    if (rollout_deploy(r, &request, NULL, NULL, &e) < 0)
        log_error("canary: %s", e.text);
    modelref_free(&model);
}

void rollout_act_on_due_setting(struct rollout *r)
{
    if (!r->setting_is_due || r->stopping || r->candidate.deployment != 0)
        return;
    rollout_forget_due_setting(r);
    if (r->settings->canary_model[0] != '\0')
        rollout_deploy_setting(r, BY_SETTINGS);
}

void rollout_forget_due_setting(struct rollout *r)
{
    if (r->setting_is_due)
        rollout_note_setting(r, r->settings->canary_model);
    r->setting_is_due = false;
}

/* A canary_model that is new takes the place of the canary that was out, as at a reload:
 * should it not load, that one stays. A canary_model that was removed removes it. */
static void take_up(struct rollout *r, const struct saved_state *saved)
{
    const char *wanted = r->settings->canary_model;
    bool is_new = saved == NULL || strcmp(saved->canary_setting, wanted) != 0;
    if (saved != NULL && (!is_new || wanted[0] != '\0'))
        restore_canary(r, saved);
    if (saved != NULL)
        rollout_note_setting(r, saved->canary_setting);
    r->setting_is_due = is_new;
    rollout_act_on_due_setting(r);
}

void rollout_stable_up(struct rollout *r)
{
    const struct saved_state *saved = r->saved;
    if (r->serving)
        return;
    r->serving = true;
    r->saved = NULL;
    journal_add(r->rooms.journal, "serving",
                rollout_note_model(fleet_model(r->rooms.fleet, ROLE_STABLE)));
    r->listener.serving(r->listener.arg);
    take_up(r, saved);
    if (r->state == ROLLOUT_IDLE)
        rollout_save(r);
}
