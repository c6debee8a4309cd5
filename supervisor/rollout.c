/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What operators, settings, fleet and judge say becomes an event of the rollout;
 * rollout_table.c says what follows from it.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/mem.h"
#include "supervisor/fleet.h"
#include "supervisor/journal.h"
#include "supervisor/judge.h"
#include "supervisor/loader.h"
#include "supervisor/modelref.h"
#include "supervisor/proc.h"
#include "supervisor/rollout_private.h"
#include "supervisor/router.h"
#include "supervisor/settings.h"

/* --- News from below --------------------------------------------------------*/

static void candidate_failed(struct rollout *r, const struct err *why)
{
    if (r->candidate.by == BY_RELOAD || r->candidate.by == BY_SETTINGS)
        rollout_note_setting(r, ""); /* the next reload tries it again */
    rollout_handle(r, ROLLOUT_EVENT_CANDIDATE_FAILED, &(struct occasion){.why = why});
    rollout_answer_candidate(r, why);
    rollout_act_on_due_setting(r);
}

void rollout_on_candidate_loaded(void *arg, struct modelref *model, const struct err *why)
{
    struct rollout *r = arg;
    r->candidate.load = NULL;
    if (model == NULL) {
        candidate_failed(r, why);
        return;
    }
    rollout_start_candidate(r, model);
    modelref_free(&model);
}

static int check_inputs(const struct rollout *r, struct err *e)
{
    const struct proc *p = fleet_ready(r->rooms.fleet, ROLE_CANDIDATE);
    size_t expected = router_n_features(r->rooms.router);
    if (proc_n_features(p) == expected)
        return 0;
    return err_set(e, "incompatible-inputs", "%s takes %u inputs, stable takes %zu",
                   proc_model(p)->name, proc_n_features(p), expected);
}

static void refuse_candidate(struct rollout *r, const struct err *why)
{
    fleet_kill(r->rooms.fleet, ROLE_CANDIDATE, why->text);
    candidate_failed(r, why);
}

/* The number of the deployment that was saved: it may have ended meanwhile. */
struct saved_candidate {
    struct rollout *rollout;
    uint64_t deployment;
};

static void on_candidate_saved(void *arg, const struct err *why)
{
    struct saved_candidate *saved = arg;
    struct rollout *r = saved->rollout;
    bool current = r->candidate.saving && r->candidate.deployment == saved->deployment;
    free(saved);
    if (!current) {
        rollout_save(r); /* the disk has it as the canary, and it is not */
    } else if (why != NULL) {
        refuse_candidate(r, why);
    } else {
        rollout_handle(r, ROLLOUT_EVENT_CANDIDATE_READY, &(struct occasion){0});
        rollout_answer_candidate(r, NULL);
        if (r->save_again)
            rollout_save(r);
        rollout_act_on_due_setting(r);
    }
}

static void candidate_up(struct rollout *r)
{
    struct err e = {0};
    if (check_inputs(r, &e) < 0) {
        refuse_candidate(r, &e);
        return;
    }
    struct saved_candidate *saved = mem_alloc(sizeof *saved);
    *saved = (struct saved_candidate){.rollout = r, .deployment = r->candidate.deployment};
    rollout_save_candidate(r, on_candidate_saved, saved);
}

void rollout_on_up(struct rollout *r, enum role role)
{
    router_wake(r->rooms.router);
    if (role == ROLE_CANDIDATE)
        candidate_up(r);
    else if (role == ROLE_STABLE)
        rollout_stable_up(r);
}

void rollout_on_failed(struct rollout *r, enum role role, const struct err *why, bool may_pass)
{
    if (role == ROLE_CANDIDATE)
        candidate_failed(r, why);
    else
        r->listener.hopeless(r->listener.arg, why, may_pass);
}

void rollout_on_gave_up(struct rollout *r, enum role role, const char *why)
{
    assert(role == ROLE_CANARY);
    (void)role;
    rollout_handle(r, ROLLOUT_EVENT_CANARY_GAVE_UP, &(struct occasion){.text = why});
    router_wake(r->rooms.router);
}

void rollout_on_verdict(struct rollout *r)
{
    if (r->settings->auto_rollback) {
        rollout_handle(r, ROLLOUT_EVENT_VERDICT_BAD, &(struct occasion){0});
        return;
    }
    cJSON *fields = rollout_note_model(rollout_canary_model(r));
    cJSON_AddItemToObject(fields, "health", judge_health(r->rooms.judge));
    cJSON_AddItemToObject(fields, "basis", judge_basis(r->rooms.judge));
    journal_add(r->rooms.journal, "alert", fields);
    log_warn("alert: the canary is significantly worse; auto_rollback is off");
}

/* --- For the owner ----------------------------------------------------------*/

struct rollout *rollout_new(const struct settings *settings, const struct rollout_rooms *rooms,
                            const char *exporter_program, const struct rollout_listener *listener)
{
    struct rollout *r = mem_alloc(sizeof *r);
    *r = (struct rollout){.settings = settings,
                          .stable_setting = mem_strdup(settings->stable_model),
                          .canary_setting = mem_strdup(settings->canary_model),
                          .rooms = *rooms,
                          .exporter_program = exporter_program,
                          .listener = *listener};
    rng_seed_from_system(&r->rng);
    return r;
}

void rollout_free(struct rollout **r)
{
    if (*r == NULL)
        return;
    free((*r)->stable_setting);
    free((*r)->canary_setting);
    free(*r);
    *r = NULL;
}

void rollout_note_setting(struct rollout *r, const char *canary_model)
{
    char *copy = mem_strdup(canary_model); /* it may be the one that is there */
    free(r->canary_setting);
    r->canary_setting = copy;
}

void rollout_apply_slowdown(struct rollout *r)
{
    fleet_set_delay(r->rooms.fleet, ROLE_CANARY, r->slowdown ? r->settings->slowdown_ms : 0);
}

void rollout_deploy_setting(struct rollout *r, enum deployer by)
{
    const struct deploy_request request = {
        .path = r->settings->canary_model, .replace = true, .by = by};
    struct err e;
    if (rollout_deploy(r, &request, NULL, NULL, &e) < 0)
        log_error("canary_model: %s", e.text);
}

static void act_on_canary_setting(struct rollout *r)
{
    const char *wanted = r->settings->canary_model;
    const char *by;
    struct err e;
    if (strcmp(wanted, r->canary_setting) == 0)
        return;
    if (wanted[0] != '\0' && r->candidate.is_restored) { /* which must not be lost for it */
        r->setting_is_due = true;
        return;
    }
    rollout_note_setting(r, wanted);
    if (!r->serving || r->stopping) /* rollout_stable_up deploys it when its time comes */
        return;
    if (wanted[0] != '\0')
        rollout_deploy_setting(r, BY_RELOAD);
    else if (r->state != ROLLOUT_IDLE)
        rollout_rollback(r, &by, &e);
}

void rollout_set_settings(struct rollout *r, const struct settings *settings)
{
    r->settings = settings;
    rollout_apply_slowdown(r);
    rollout_apply_share(r);
    if (settings->auto_rollback && judge_has_fired(r->rooms.judge))
        rollout_on_verdict(r); /* it was only noted while auto_rollback was off */
    act_on_canary_setting(r);
}

void rollout_stop(struct rollout *r)
{
    r->stopping = true;
    if (r->stable_load != NULL)
        loader_cancel(r->stable_load);
    r->stable_load = NULL;
    if (r->state == ROLLOUT_LOADING || r->state == ROLLOUT_REPLACING) {
        rollout_drop_candidate(r, "the supervisor stops");
        r->state = r->state == ROLLOUT_LOADING ? ROLLOUT_IDLE : ROLLOUT_CANARY;
    }
}

int rollout_deploy(struct rollout *r, const struct deploy_request *request, deployed *done,
                   void *arg, struct err *e)
{
    if (!r->serving || r->stopping)
        return err_set(e, "unavailable", "canaryd is %s", r->stopping ? "stopping" : "starting");
    rollout_forget_due_setting(r);
    enum rollout_event event = request->replace ? ROLLOUT_EVENT_REPLACE : ROLLOUT_EVENT_DEPLOY;
    return rollout_handle(r, event,
                          &(struct occasion){.request = request, .done = done, .arg = arg, .e = e});
}

static void on_promotion_saved(void *arg, const struct err *why)
{
    struct rollout *r = arg;
    struct pending_promotion p = r->promotion;
    struct promotion promotion;
    struct err e = {0};
    r->promotion = (struct pending_promotion){0};
    if (why != NULL) {
        p.done(p.arg, NULL, why);
        return;
    }
    int rc =
        r->deployment == p.deployment
            ? rollout_handle(r, ROLLOUT_EVENT_PROMOTE,
                             &(struct occasion){.force = p.force, .promotion = &promotion, .e = &e})
            : err_set(&e, "no-canary", "the canary was rolled back in the meantime");
    if (rc < 0 || r->save_again)
        rollout_save(r); /* refused: the disk has it as stable, and it is not */
    p.done(p.arg, rc == 0 ? &promotion : NULL, rc == 0 ? NULL : &e);
}

int rollout_promote(struct rollout *r, bool force, promoted *done, void *arg, struct err *e)
{
    if (r->state != ROLLOUT_CANARY) /* every other state refuses */
        return rollout_handle(r, ROLLOUT_EVENT_PROMOTE, &(struct occasion){.e = e});
    if (r->promotion.done != NULL)
        return err_set(e, "promotion-pending", "the canary is being promoted already");
    if (rollout_check_promotion(r, force, e) < 0)
        return -1;
    r->promotion = (struct pending_promotion){
        .done = done, .arg = arg, .force = force, .deployment = r->deployment};
    rollout_save_promotion(r, on_promotion_saved); /* the state that will be; then it is */
    return 0;
}

int rollout_rollback(struct rollout *r, const char **by, struct err *e)
{
    *by = NULL;
    rollout_forget_due_setting(r);
    return rollout_handle(r, ROLLOUT_EVENT_ROLLBACK, &(struct occasion){.by = by, .e = e});
}

bool rollout_toggle_slowdown(struct rollout *r)
{
    cJSON *fields = cJSON_CreateObject();
    r->slowdown = !r->slowdown;
    rollout_apply_slowdown(r);
    cJSON_AddBoolToObject(fields, "simulate_slowdown", r->slowdown);
    journal_add(r->rooms.journal, "slowdown", fields);
    if (r->serving)
        rollout_save(r);
    return r->slowdown;
}

bool rollout_slowdown(const struct rollout *r)
{
    return r->slowdown;
}

enum rollout_state rollout_state(const struct rollout *r)
{
    return r->state;
}

bool rollout_serves(const struct rollout *r)
{
    return r->serving;
}

double rollout_percent(const struct rollout *r)
{
    return r->percent;
}

int64_t rollout_canary_start_ns(const struct rollout *r)
{
    return r->canary_start_ns;
}
