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
    fleet_start(r->rooms.fleet, ROLE_CANDIDATE, model);
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

static void candidate_up(struct rollout *r)
{
    struct err e = {0};
    if (check_inputs(r, &e) < 0) {
        fleet_kill(r->rooms.fleet, ROLE_CANDIDATE, "its inputs do not fit");
        candidate_failed(r, &e);
        return;
    }
    rollout_handle(r, ROLLOUT_EVENT_CANDIDATE_READY, &(struct occasion){0});
    rollout_answer_candidate(r, NULL);
}

static void deploy_setting(struct rollout *r, const char *by);

static void stable_up(struct rollout *r)
{
    if (r->serving)
        return;
    r->serving = true;
    journal_add(r->rooms.journal, "serving",
                rollout_note_model(fleet_model(r->rooms.fleet, ROLE_STABLE)));
    r->listener.serving(r->listener.arg);
    if (r->settings->canary_model[0] != '\0')
        deploy_setting(r, "settings");
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
    struct health health;
    if (r->settings->auto_rollback) {
        rollout_handle(r, ROLLOUT_EVENT_VERDICT_BAD, &(struct occasion){0});
        return;
    }
    judge_health(r->rooms.judge, &health);
    cJSON *fields = rollout_note_model(rollout_canary_model(r));
    cJSON_AddItemToObject(fields, "health", health_to_json(&health));
    journal_add(r->rooms.journal, "alert", fields);
    log_warn("alert: the canary is significantly slower; auto_rollback is off");
}

/* --- For the owner ----------------------------------------------------------*/

struct rollout *rollout_new(const struct settings *settings, const struct rollout_rooms *rooms,
                            const char *exporter_program, const struct rollout_listener *listener)
{
    struct rollout *r = mem_alloc(sizeof *r);
    *r = (struct rollout){.settings = settings,
                          .canary_setting = mem_strdup(settings->canary_model),
                          .rooms = *rooms,
                          .exporter_program = exporter_program,
                          .listener = *listener};
    return r;
}

void rollout_free(struct rollout **r)
{
    if (*r == NULL)
        return;
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

/* A share that the deployment itself did not name follows the setting. */
static void apply_percent(struct rollout *r)
{
    double wanted = r->settings->canary_percent;
    if (r->percent <= 0 || !r->percent_by_settings || r->percent == wanted)
        return;
    cJSON *fields = rollout_note_model(rollout_canary_model(r));
    cJSON_AddNumberToObject(fields, "previous", r->percent);
    cJSON_AddNumberToObject(fields, "percent", wanted);
    r->percent = wanted;
    router_set_share(r->rooms.router, wanted);
    journal_add(r->rooms.journal, "share-changed", fields);
}

void rollout_set_settings(struct rollout *r, const struct settings *settings)
{
    r->settings = settings;
    apply_slowdown(r);
    apply_percent(r);
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

void rollout_start(struct rollout *r)
{
    const struct load_options options = {
        .model_dir = r->settings->model_dir,
        .python = r->settings->python,
        .exporter_program = r->exporter_program,
        .max_model_bytes = r->settings->max_model_bytes,
        .timeout_ms = r->settings->start_timeout_ms,
    };
    r->stable_load = loader_start(r->rooms.loader, &options, r->settings->stable_model, NULL,
                                  on_stable_loaded, r);
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

int rollout_promote(struct rollout *r, bool force, struct promotion *p, struct err *e)
{
    return rollout_handle(r, ROLLOUT_EVENT_PROMOTE,
                          &(struct occasion){.force = force, .promotion = p, .e = e});
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
