/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What operators, settings, fleet and judge say becomes an event of the rollout;
 * rollout_table.c says what follows from it.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
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
#include "supervisor/state.h"
#include "supervisor/store.h"

/* --- The state that survives us ---------------------------------------------*/

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

void rollout_save(struct rollout *r)
{
    struct fleet *f = r->rooms.fleet;
    if (fleet_model(f, ROLE_STABLE) == NULL) /* stopping: what was saved stands */
        return;
    r->save_again = r->candidate.saving || r->promotion.done != NULL;
    store_save(r->rooms.store, describe(r), fleet_model(f, ROLE_STABLE),
               fleet_model(f, ROLE_CANARY), NULL, NULL);
}

/* --- News from below --------------------------------------------------------*/

static void candidate_failed(struct rollout *r, const struct err *why)
{
    if (strcmp(r->candidate.by, "reload") == 0 || strcmp(r->candidate.by, "settings") == 0) {
        free(r->canary_setting);
        r->canary_setting = mem_strdup(""); /* the next reload tries it again */
    }
    rollout_handle(r, ROLLOUT_EVENT_CANDIDATE_FAILED, &(struct occasion){.why = why});
    rollout_answer_candidate(r, why);
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
    }
}

static void save_candidate(struct rollout *r)
{
    struct candidate *c = &r->candidate;
    struct saved_candidate *saved = mem_alloc(sizeof *saved);
    *saved = (struct saved_candidate){.rollout = r, .deployment = c->deployment};
    c->saving = true;
    if (c->canary_start_ns == 0)
        c->canary_start_ns = clock_wall_ns();
    struct saved_state *s = describe(r);
    free(s->rolled_back_by);
    s->rolled_back_by = NULL;
    cJSON_Delete(s->report);
    s->report = NULL;
    s->deployment = c->deployment;
    s->percent_by_settings = c->percent <= 0;
    s->percent = rollout_candidate_percent(r);
    s->canary_start_ns = c->canary_start_ns;
    store_save(r->rooms.store, s, fleet_model(r->rooms.fleet, ROLE_STABLE),
               fleet_model(r->rooms.fleet, ROLE_CANDIDATE), on_candidate_saved, saved);
}

static void candidate_up(struct rollout *r)
{
    struct err e = {0};
    if (check_inputs(r, &e) < 0)
        refuse_candidate(r, &e);
    else
        save_candidate(r);
}

static void deploy_setting(struct rollout *r, const char *by);
static void restore_canary(struct rollout *r, const struct saved_state *saved);

static void stable_up(struct rollout *r)
{
    const struct saved_state *saved = r->saved;
    if (r->serving)
        return;
    r->serving = true;
    r->saved = NULL;
    journal_add(r->rooms.journal, "serving",
                rollout_note_model(fleet_model(r->rooms.fleet, ROLE_STABLE)));
    r->listener.serving(r->listener.arg);
    if (saved != NULL && strcmp(saved->canary_setting, r->settings->canary_model) == 0)
        restore_canary(r, saved);
    else if (r->settings->canary_model[0] != '\0')
        deploy_setting(r, "settings");
    if (r->state == ROLLOUT_IDLE)
        rollout_save(r);
}

void rollout_on_up(struct rollout *r, int role)
{
    router_wake(r->rooms.router);
    if (role == ROLE_CANDIDATE)
        candidate_up(r);
    else if (role == ROLE_STABLE)
        stable_up(r);
}

void rollout_on_failed(struct rollout *r, int role, const struct err *why)
{
    if (role == ROLE_CANDIDATE)
        candidate_failed(r, why);
    else
        r->listener.hopeless(r->listener.arg, why);
}

void rollout_on_gave_up(struct rollout *r, int role, const char *why)
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

static void apply_slowdown(struct rollout *r)
{
    fleet_set_delay(r->rooms.fleet, ROLE_CANARY, r->slowdown ? r->settings->slowdown_ms : 0);
}

static void deploy_setting(struct rollout *r, const char *by)
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
    free(r->canary_setting);
    r->canary_setting = mem_strdup(wanted);
    if (!r->serving || r->stopping) /* stable_up deploys it when its time comes */
        return;
    if (wanted[0] != '\0')
        deploy_setting(r, "reload");
    else if (r->state != ROLLOUT_IDLE)
        rollout_rollback(r, &by, &e);
}

void rollout_set_settings(struct rollout *r, const struct settings *settings)
{
    r->settings = settings;
    apply_slowdown(r);
    rollout_apply_share(r);
    if (settings->auto_rollback && judge_has_fired(r->rooms.judge))
        rollout_on_verdict(r); /* it was only noted while auto_rollback was off */
    act_on_canary_setting(r);
}

static void on_stable_loaded(void *arg, struct modelref *model, const struct err *why)
{
    struct rollout *r = arg;
    r->stable_load = NULL;
    if (model == NULL) {
        r->listener.hopeless(r->listener.arg, why);
        return;
    }
    fleet_start(r->rooms.fleet, ROLE_STABLE, model);
    modelref_free(&model);
}

static void load_stable_setting(struct rollout *r)
{
    const struct load_options options = rollout_load_options(r);
    r->stable_load = loader_start(r->rooms.loader, &options, r->settings->stable_model, NULL,
                                  on_stable_loaded, r);
}

/* The model that was saved, or NULL, told in the log. */
static struct modelref *open_saved(const struct rollout *r, const struct saved_model *m)
{
    struct err e = {0};
    struct modelref *model = store_open_model(r->rooms.store, m, &e);
    if (model == NULL)
        log_warn("%s was deployed and can't be taken up again: %s", m->path, e.text);
    return model;
}

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
        .by = "restart",
        .model = model,
        .deployment = saved->deployment,
        .canary_start_ns = saved->canary_start_ns,
    };
    if (rollout_deploy(r, &request, NULL, NULL, &e) < 0)
        log_error("canary: %s", e.text);
    modelref_free(&model);
}

void rollout_start(struct rollout *r, const struct saved_state *saved)
{
    struct modelref *model = NULL;
    r->saved = saved;
    if (saved != NULL) {
        r->slowdown = saved->slowdown;
        apply_slowdown(r);
    }
    if (saved != NULL && strcmp(saved->stable_setting, r->stable_setting) == 0)
        model = open_saved(r, &saved->stable);
    if (model == NULL) {
        load_stable_setting(r);
        return;
    }
    log_info("takes up where the last canaryd ended: stable is %s", model->version);
    fleet_start(r->rooms.fleet, ROLE_STABLE, model);
    modelref_free(&model);
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

/* Saves the state that will be, then changes to it. */
static void save_promotion(struct rollout *r)
{
    struct saved_state *s = describe(r);
    s->percent = 0;
    s->deployment = 0;
    s->canary_start_ns = 0;
    store_save(r->rooms.store, s, fleet_model(r->rooms.fleet, ROLE_CANARY), NULL,
               on_promotion_saved, r);
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
    save_promotion(r);
    return 0;
}

int rollout_rollback(struct rollout *r, const char **by, struct err *e)
{
    *by = NULL;
    return rollout_handle(r, ROLLOUT_EVENT_ROLLBACK, &(struct occasion){.by = by, .e = e});
}

bool rollout_toggle_slowdown(struct rollout *r)
{
    cJSON *fields = cJSON_CreateObject();
    r->slowdown = !r->slowdown;
    apply_slowdown(r);
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

double rollout_percent(const struct rollout *r)
{
    return r->percent;
}

int64_t rollout_canary_start_ns(const struct rollout *r)
{
    return r->canary_start_ns;
}
