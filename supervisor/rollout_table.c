/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The rollout's table of state x event. Each cell's action runs before the
 * state changes and may refuse: nothing has happened then. The order inside an
 * action is always the same: share, processes, judge, journal.
 */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "common/log.h"
#include "supervisor/fleet.h"
#include "supervisor/journal.h"
#include "supervisor/judge.h"
#include "supervisor/loader.h"
#include "supervisor/modelref.h"
#include "supervisor/rollout_private.h"
#include "supervisor/router.h"
#include "supervisor/settings.h"

static const char *const state_names[N_ROLLOUT_STATES] = {
    [ROLLOUT_IDLE] = "idle",
    [ROLLOUT_LOADING] = "loading",
    [ROLLOUT_CANARY] = "canary",
    [ROLLOUT_REPLACING] = "replacing",
};

static const char *const event_names[N_ROLLOUT_EVENTS] = {
    [ROLLOUT_EVENT_DEPLOY] = "deploy",
    [ROLLOUT_EVENT_REPLACE] = "replace",
    [ROLLOUT_EVENT_CANDIDATE_READY] = "candidate-ready",
    [ROLLOUT_EVENT_CANDIDATE_FAILED] = "candidate-failed",
    [ROLLOUT_EVENT_CANARY_GAVE_UP] = "canary-gave-up",
    [ROLLOUT_EVENT_VERDICT_BAD] = "verdict-bad",
    [ROLLOUT_EVENT_PROMOTE] = "promote",
    [ROLLOUT_EVENT_ROLLBACK] = "rollback",
};

/* As the journal has them. */
static const char *const deployer_names[] = {
    [BY_REST] = "rest",
    [BY_RELOAD] = "reload",
    [BY_SETTINGS] = "settings",
    [BY_RESTART] = "restart",
};

/* --- Small helpers of the actions -------------------------------------------*/

const struct modelref *rollout_canary_model(const struct rollout *r)
{
    return fleet_model(r->rooms.fleet, ROLE_CANARY);
}

cJSON *rollout_note_model(const struct modelref *m)
{
    cJSON *fields = cJSON_CreateObject();
    cJSON_AddStringToObject(fields, "model", m->name);
    cJSON_AddStringToObject(fields, "model_version", m->version);
    cJSON_AddStringToObject(fields, "sha256", m->sha256);
    return fields;
}

void rollout_answer_candidate(struct rollout *r, const struct err *why)
{
    struct candidate c = r->candidate;
    r->candidate = (struct candidate){0};
    fleet_retire(r->rooms.fleet, ROLE_NEXT_BASELINE); /* one that was not taken */
    if (c.done != NULL)
        c.done(c.arg, why);
}

static void note_failure(const struct rollout *r, const struct err *why)
{
    cJSON *fields = cJSON_CreateObject();
    cJSON_AddStringToObject(fields, "code", why->code);
    cJSON_AddStringToObject(fields, "reason", why->text);
    cJSON_AddStringToObject(fields, "by", deployer_names[r->candidate.by]);
    journal_add(r->rooms.journal, "deployment-failed", fields);
}

void rollout_drop_candidate(struct rollout *r, const char *why)
{
    struct err e;
    err_set(&e, "superseded", "the deployment was given up: %s", why);
    note_failure(r, &e);
    if (r->candidate.load != NULL)
        loader_cancel(r->candidate.load);
    r->candidate.load = NULL;
    fleet_kill(r->rooms.fleet, ROLE_CANDIDATE, why);
    rollout_answer_candidate(r, &e);
}

static void forget_canary(struct rollout *r)
{
    rollout_set_share(r, 0);
    r->canary_start_ns = 0;
    r->deployment = 0;
}

static void take_canary_down(struct rollout *r, const char *why)
{
    forget_canary(r);
    fleet_kill(r->rooms.fleet, ROLE_CANARY, why);
}

struct load_options rollout_load_options(const struct rollout *r)
{
    return (struct load_options){
        .model_dir = r->settings->model_dir,
        .python = r->settings->python,
        .exporter_program = r->exporter_program,
        .max_model_bytes = r->settings->max_model_bytes,
        .timeout_ms = r->settings->start_timeout_ms,
        .memory_bytes = r->settings->worker_memory_bytes,
        .uid = r->settings->worker_uid,
        .gid = r->settings->worker_gid,
        .allow_uncaged = r->settings->allow_uncaged_pickles,
        .python_serves = strcmp(r->settings->python_worker, "auto") == 0,
    };
}

double rollout_candidate_percent(const struct rollout *r)
{
    return r->candidate.percent > 0 ? r->candidate.percent : r->settings->canary_percent;
}

/* --- The actions of the cells: 0, or -1 with err and nothing changed ---------*/

static int do_load(struct rollout *r, const struct occasion *o)
{
    const struct deploy_request *request = o->request;
    const struct load_options options = rollout_load_options(r);
    r->candidate = (struct candidate){
        .percent = request->percent,
        .by = request->by,
        .deployment = request->deployment != 0 ? request->deployment : rng_next(&r->rng),
        .canary_start_ns = request->canary_start_ns,
        .is_restored = request->model != NULL,
        .done = o->done,
        .arg = o->arg,
    };
    if (request->model != NULL)
        rollout_start_candidate(r, request->model);
    else
        r->candidate.load = loader_start(r->rooms.loader, &options, request->path, request->sha256,
                                         rollout_on_candidate_loaded, r);
    return 0;
}

static int do_load_instead(struct rollout *r, const struct occasion *o)
{
    rollout_drop_candidate(r, "another one took its place");
    return do_load(r, o);
}

static int refuse_loading(struct rollout *r, const struct occasion *o)
{
    (void)r;
    return err_set(o->e, "canary-loading",
                   "a canary is being loaded; wait for it, or deploy with \"replace\": true");
}

static int refuse_active(struct rollout *r, const struct occasion *o)
{
    return err_set(o->e, "canary-active",
                   "the canary %.100s is out; promote it or roll it back first, or deploy with "
                   "\"replace\": true",
                   rollout_canary_model(r)->version);
}

static int do_open_share(struct rollout *r, const struct occasion *o)
{
    (void)o;
    fleet_move(r->rooms.fleet, ROLE_CANDIDATE, ROLE_CANARY);
    rollout_take_next_baseline(r);
    r->percent_by_settings = r->candidate.percent <= 0;
    r->canary_start_ns = r->candidate.canary_start_ns;
    r->deployment = r->candidate.deployment;
    r->rolled_back_by[0] = '\0';
    judge_begin(r->rooms.judge, r->deployment);
    rollout_set_share(r, rollout_candidate_percent(r));
    cJSON *fields = rollout_note_model(rollout_canary_model(r));
    cJSON_AddNumberToObject(fields, "percent", r->percent);
    cJSON_AddStringToObject(fields, "by", deployer_names[r->candidate.by]);
    journal_add(r->rooms.journal, "deployed", fields);
    log_info("canary %s gets %g %% of the traffic", rollout_canary_model(r)->version, r->percent);
    return 0;
}

static int do_replace_canary(struct rollout *r, const struct occasion *o)
{
    journal_add(r->rooms.journal, "replaced", rollout_note_model(rollout_canary_model(r)));
    take_canary_down(r, "another canary took its place");
    return do_open_share(r, o);
}

/* The requester is told by whoever raised the event, after the state has changed. */
static int do_note_failure(struct rollout *r, const struct occasion *o)
{
    note_failure(r, o->why);
    log_warn("deployment failed: %s", o->why->text);
    return 0;
}

/* Nobody has asked for it: the report, and what it was computed from, are kept. alarm
 * and reason may be NULL. */
static void roll_back_unasked(struct rollout *r, const char *by, const char *alarm,
                              const char *reason)
{
    cJSON *fields = rollout_note_model(rollout_canary_model(r));
    take_canary_down(r, "rolled back without asking");
    snprintf(r->rolled_back_by, sizeof r->rolled_back_by, "%s", by);
    judge_freeze(r->rooms.judge, by, alarm);
    rollout_save(r);
    cJSON *health = judge_health(r->rooms.judge);
    char *text = cJSON_PrintUnformatted(health);
    log_warn("canary rolled back by the %s: %.700s", by, reason != NULL ? reason : text);
    cJSON_free(text);
    cJSON_AddStringToObject(fields, "by", by);
    if (reason != NULL)
        cJSON_AddStringToObject(fields, "reason", reason);
    cJSON_AddItemToObject(fields, "health", health);
    cJSON_AddItemToObject(fields, "basis", judge_basis(r->rooms.judge));
    journal_add(r->rooms.journal, "rolled-back", fields);
}

static int do_end_crash_loop(struct rollout *r, const struct occasion *o)
{
    char alarm[160];
    snprintf(alarm, sizeof alarm, "ALERT: Canary crashed repeatedly: %.100s.", o->text);
    roll_back_unasked(r, "crash-loop", alarm, o->text);
    return 0;
}

static int do_execute(struct rollout *r, const struct occasion *o)
{
    (void)o;
    roll_back_unasked(r, "judge", NULL, NULL);
    return 0;
}

int rollout_check_promotion(const struct rollout *r, bool force, struct err *e)
{
    if (fleet_ready(r->rooms.fleet, ROLE_CANARY) == NULL)
        return err_set(e, "canary-not-ready",
                       "the canary is being restarted; try again in a moment");
    if (judge_has_fired(r->rooms.judge) && !force)
        return err_set(e, "alert-stands",
                       "the canary is significantly worse than stable; roll it back, or promote "
                       "with \"force\": true");
    return 0;
}

static int do_swap(struct rollout *r, const struct occasion *o)
{
    struct fleet *f = r->rooms.fleet;
    if (rollout_check_promotion(r, o->force, o->e) < 0)
        return -1;
    cJSON *fields = rollout_note_model(rollout_canary_model(r));
    snprintf(o->promotion->previous, sizeof o->promotion->previous, "%s",
             fleet_model(f, ROLE_STABLE)->name);
    snprintf(o->promotion->now, sizeof o->promotion->now, "%s", rollout_canary_model(r)->name);
    forget_canary(r);
    fleet_retire(f, ROLE_STABLE);
    fleet_move(f, ROLE_CANARY, ROLE_STABLE);
    router_wake(r->rooms.router); /* what waited for the old stable */
    judge_end(r->rooms.judge);
    cJSON_AddStringToObject(fields, "previous", o->promotion->previous);
    journal_add(r->rooms.journal, "promoted", fields);
    log_info("promoted: %s is stable now, %s was", o->promotion->now, o->promotion->previous);
    return 0;
}

static int refuse_no_canary(struct rollout *r, const struct occasion *o)
{
    (void)r;
    return err_set(o->e, "no-canary", "no canary is deployed");
}

static int do_roll_back(struct rollout *r, const struct occasion *o)
{
    (void)o;
    cJSON *fields = rollout_note_model(rollout_canary_model(r));
    take_canary_down(r, "rolled back by its operator");
    judge_end(r->rooms.judge);
    rollout_save(r);
    cJSON_AddStringToObject(fields, "by", "operator");
    journal_add(r->rooms.journal, "rolled-back", fields);
    log_info("canary rolled back by its operator");
    return 0;
}

static int do_give_up_candidate(struct rollout *r, const struct occasion *o)
{
    (void)o;
    rollout_drop_candidate(r, "it was rolled back");
    return 0;
}

static int do_roll_back_both(struct rollout *r, const struct occasion *o)
{
    rollout_drop_candidate(r, "it was rolled back");
    return do_roll_back(r, o);
}

/* It is gone already: 200, with who did it, for as long as the report stands. */
static int do_confirm_rollback(struct rollout *r, const struct occasion *o)
{
    if (r->rolled_back_by[0] == '\0')
        return refuse_no_canary(r, o);
    *o->by = r->rolled_back_by;
    return 0;
}

static int do_nothing(struct rollout *r, const struct occasion *o)
{
    (void)r, (void)o;
    return 0;
}

/* --- The table --------------------------------------------------------------*/

struct cell {
    enum rollout_state next;
    int (*act)(struct rollout *r, const struct occasion *o); /* NULL: only a bug gets here */
};

/* clang-format off */
static const struct cell table[N_ROLLOUT_STATES][N_ROLLOUT_EVENTS] = {
    [ROLLOUT_IDLE] = {
        [ROLLOUT_EVENT_DEPLOY]           = {ROLLOUT_LOADING, do_load},
        [ROLLOUT_EVENT_REPLACE]          = {ROLLOUT_LOADING, do_load},
        [ROLLOUT_EVENT_CANDIDATE_READY]  = {ROLLOUT_IDLE, NULL},
        [ROLLOUT_EVENT_CANDIDATE_FAILED] = {ROLLOUT_IDLE, NULL},
        [ROLLOUT_EVENT_CANARY_GAVE_UP]   = {ROLLOUT_IDLE, NULL},
        [ROLLOUT_EVENT_VERDICT_BAD]      = {ROLLOUT_IDLE, do_nothing},
        [ROLLOUT_EVENT_PROMOTE]          = {ROLLOUT_IDLE, refuse_no_canary},
        [ROLLOUT_EVENT_ROLLBACK]         = {ROLLOUT_IDLE, do_confirm_rollback},
    },
    [ROLLOUT_LOADING] = {
        [ROLLOUT_EVENT_DEPLOY]           = {ROLLOUT_LOADING, refuse_loading},
        [ROLLOUT_EVENT_REPLACE]          = {ROLLOUT_LOADING, do_load_instead},
        [ROLLOUT_EVENT_CANDIDATE_READY]  = {ROLLOUT_CANARY, do_open_share},
        [ROLLOUT_EVENT_CANDIDATE_FAILED] = {ROLLOUT_IDLE, do_note_failure},
        [ROLLOUT_EVENT_CANARY_GAVE_UP]   = {ROLLOUT_LOADING, NULL},
        [ROLLOUT_EVENT_VERDICT_BAD]      = {ROLLOUT_LOADING, do_nothing},
        [ROLLOUT_EVENT_PROMOTE]          = {ROLLOUT_LOADING, refuse_loading},
        [ROLLOUT_EVENT_ROLLBACK]         = {ROLLOUT_IDLE, do_give_up_candidate},
    },
    [ROLLOUT_CANARY] = {
        [ROLLOUT_EVENT_DEPLOY]           = {ROLLOUT_CANARY, refuse_active},
        [ROLLOUT_EVENT_REPLACE]          = {ROLLOUT_REPLACING, do_load},
        [ROLLOUT_EVENT_CANDIDATE_READY]  = {ROLLOUT_CANARY, NULL},
        [ROLLOUT_EVENT_CANDIDATE_FAILED] = {ROLLOUT_CANARY, NULL},
        [ROLLOUT_EVENT_CANARY_GAVE_UP]   = {ROLLOUT_IDLE, do_end_crash_loop},
        [ROLLOUT_EVENT_VERDICT_BAD]      = {ROLLOUT_IDLE, do_execute},
        [ROLLOUT_EVENT_PROMOTE]          = {ROLLOUT_IDLE, do_swap},
        [ROLLOUT_EVENT_ROLLBACK]         = {ROLLOUT_IDLE, do_roll_back},
    },
    [ROLLOUT_REPLACING] = {
        [ROLLOUT_EVENT_DEPLOY]           = {ROLLOUT_REPLACING, refuse_loading},
        [ROLLOUT_EVENT_REPLACE]          = {ROLLOUT_REPLACING, do_load_instead},
        [ROLLOUT_EVENT_CANDIDATE_READY]  = {ROLLOUT_CANARY, do_replace_canary},
        [ROLLOUT_EVENT_CANDIDATE_FAILED] = {ROLLOUT_CANARY, do_note_failure},
        [ROLLOUT_EVENT_CANARY_GAVE_UP]   = {ROLLOUT_LOADING, do_end_crash_loop},
        [ROLLOUT_EVENT_VERDICT_BAD]      = {ROLLOUT_LOADING, do_execute},
        [ROLLOUT_EVENT_PROMOTE]          = {ROLLOUT_REPLACING, refuse_loading},
        [ROLLOUT_EVENT_ROLLBACK]         = {ROLLOUT_IDLE, do_roll_back_both},
    },
};
/* clang-format on */

int rollout_handle(struct rollout *r, enum rollout_event event, const struct occasion *o)
{
    const struct cell *cell = &table[r->state][event];
    assert(cell->act != NULL);
    if (cell->act(r, o) < 0)
        return -1;
    if (cell->next != r->state)
        log_debug("rollout: %s -> %s by %s", state_names[r->state], state_names[cell->next],
                  event_names[event]);
    r->state = cell->next;
    r->listener.changed(r->listener.arg);
    return 0;
}

const char *rollout_state_name(enum rollout_state state)
{
    return state_names[state];
}

const char *rollout_event_name(enum rollout_event event)
{
    return event_names[event];
}

enum rollout_state rollout_next_state(enum rollout_state state, enum rollout_event event)
{
    return table[state][event].next;
}

bool rollout_is_bug(enum rollout_state state, enum rollout_event event)
{
    return table[state][event].act == NULL;
}
