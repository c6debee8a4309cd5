/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A table of state x event; see rollout.h. Each cell's action runs before the
 * state changes and may refuse: nothing has happened then. The order inside an
 * action is always the same: share, processes, judge, journal.
 */
#include "supervisor/rollout.h"

#include <assert.h>
#include <stdio.h>
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
#include "supervisor/router.h"
#include "supervisor/settings.h"

/* A deployment on its way to be a canary. */
struct candidate {
    struct load *load; /* until the model is there */
    double percent;
    const char *by;
    deployed *done; /* NULL: nobody waits for it */
    void *arg;
};

struct rollout {
    enum rollout_state state;
    const struct settings *settings;
    char *canary_setting; /* canary_model as it was last acted on */
    struct rollout_rooms rooms;
    const char *exporter_program;
    struct rollout_listener listener;
    struct candidate candidate;
    double percent;
    int64_t canary_start_ns;
    const char *rolled_back_by; /* without asking, since the last deployment */
    bool slowdown;
    bool serving;
    bool stopping;
    struct load *stable_load;
};

/* What an event brings along. */
struct occasion {
    const struct deploy_request *request;
    deployed *done;
    void *arg;
    const struct err *why;  /* CANDIDATE_FAILED */
    const char *text;       /* CANARY_GAVE_UP */
    bool force;             /* PROMOTE */
    struct promotion *promotion;
    const char **by; /* ROLLBACK */
    struct err *e;
};

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

/* --- Small helpers of the actions -------------------------------------------*/

static const struct modelref *canary_model(const struct rollout *r)
{
    return fleet_model(r->rooms.fleet, ROLE_CANARY);
}

static cJSON *note_model(const struct modelref *m)
{
    cJSON *fields = cJSON_CreateObject();
    cJSON_AddStringToObject(fields, "model", m->name);
    cJSON_AddStringToObject(fields, "model_version", m->version);
    cJSON_AddStringToObject(fields, "sha256", m->sha256);
    return fields;
}

/* Tells whoever waits for the candidate, once. */
static void answer_candidate(struct rollout *r, const struct err *why)
{
    struct candidate c = r->candidate;
    r->candidate = (struct candidate){0};
    if (c.done != NULL)
        c.done(c.arg, why);
}

/* Ends a candidate before it is ready, in whatever stage it is. */
static void drop_candidate(struct rollout *r, const char *why)
{
    struct err e;
    err_set(&e, "superseded", "the deployment was given up: %s", why);
    if (r->candidate.load != NULL)
        loader_cancel(r->candidate.load);
    r->candidate.load = NULL;
    fleet_kill(r->rooms.fleet, ROLE_CANDIDATE, why);
    answer_candidate(r, &e);
}

static void take_canary_down(struct rollout *r, const char *why)
{
    router_set_share(r->rooms.router, 0);
    fleet_kill(r->rooms.fleet, ROLE_CANARY, why);
    r->percent = 0;
    r->canary_start_ns = 0;
}

/* --- The actions of the cells: 0, or -1 with err and nothing changed ---------*/

static void on_candidate_loaded(void *arg, struct modelref *model, const struct err *why);

static int do_load(struct rollout *r, const struct occasion *o)
{
    const struct settings *s = r->settings;
    const struct load_options options = {
        .model_dir = s->model_dir,
        .python = s->python,
        .exporter_program = r->exporter_program,
        .max_model_bytes = s->max_model_bytes,
        .timeout_ms = s->start_timeout_ms,
    };
    r->candidate = (struct candidate){
        .percent = o->request->percent > 0 ? o->request->percent : s->canary_percent,
        .by = o->request->by,
        .done = o->done,
        .arg = o->arg,
    };
    r->candidate.load = loader_start(r->rooms.loader, &options, o->request->path,
                                     o->request->sha256, on_candidate_loaded, r);
    return 0;
}

static int do_load_instead(struct rollout *r, const struct occasion *o)
{
    drop_candidate(r, "another one took its place");
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
                   canary_model(r)->version);
}

static int do_open_share(struct rollout *r, const struct occasion *o)
{
    (void)o;
    fleet_move(r->rooms.fleet, ROLE_CANDIDATE, ROLE_CANARY);
    r->percent = r->candidate.percent;
    r->canary_start_ns = clock_wall_ns();
    r->rolled_back_by = NULL;
    judge_begin(r->rooms.judge);
    router_set_share(r->rooms.router, r->percent);
    cJSON *fields = note_model(canary_model(r));
    cJSON_AddNumberToObject(fields, "percent", r->percent);
    cJSON_AddStringToObject(fields, "by", r->candidate.by);
    journal_add(r->rooms.journal, "deployed", fields);
    log_info("canary %s gets %g %% of the traffic", canary_model(r)->version, r->percent);
    return 0;
}

static int do_replace_canary(struct rollout *r, const struct occasion *o)
{
    journal_add(r->rooms.journal, "replaced", note_model(canary_model(r)));
    take_canary_down(r, "another canary took its place");
    return do_open_share(r, o);
}

/* The requester is told by whoever raised the event, after the state has changed. */
static int do_note_failure(struct rollout *r, const struct occasion *o)
{
    cJSON *fields = cJSON_CreateObject();
    cJSON_AddStringToObject(fields, "code", o->why->code);
    cJSON_AddStringToObject(fields, "reason", o->why->text);
    cJSON_AddStringToObject(fields, "by", r->candidate.by);
    journal_add(r->rooms.journal, "deployment-failed", fields);
    log_warn("deployment failed: %s", o->why->text);
    return 0;
}

static int do_note_crash_loop(struct rollout *r, const struct occasion *o)
{
    char alarm[160];
    cJSON *fields = cJSON_CreateObject();
    snprintf(alarm, sizeof alarm, "ALERT: Canary crashed repeatedly: %.100s.", o->text);
    router_set_share(r->rooms.router, 0);
    r->percent = 0;
    r->canary_start_ns = 0;
    r->rolled_back_by = "crash-loop";
    judge_freeze(r->rooms.judge, r->rolled_back_by, alarm);
    cJSON_AddStringToObject(fields, "by", r->rolled_back_by);
    cJSON_AddStringToObject(fields, "reason", o->text);
    journal_add(r->rooms.journal, "rolled-back", fields);
    log_warn("canary rolled back: %s", o->text);
    return 0;
}

static int do_execute(struct rollout *r, const struct occasion *o)
{
    struct health health;
    (void)o;
    cJSON *fields = note_model(canary_model(r));
    take_canary_down(r, "rolled back by the judge");
    r->rolled_back_by = "judge";
    judge_freeze(r->rooms.judge, r->rolled_back_by, NULL);
    judge_health(r->rooms.judge, &health);
    cJSON_AddStringToObject(fields, "by", r->rolled_back_by);
    cJSON_AddItemToObject(fields, "health", health_to_json(&health));
    log_warn("canary rolled back by the judge: stable %.3f ms, canary %.3f ms, p %.3g",
             ns_to_ms(health.report.round_trip[ARM_STABLE].mean),
             ns_to_ms(health.report.round_trip[ARM_CANARY].mean), health.report.plain.p_greater);
    journal_add(r->rooms.journal, "rolled-back", fields);
    return 0;
}

static int do_swap(struct rollout *r, const struct occasion *o)
{
    struct fleet *f = r->rooms.fleet;
    if (fleet_ready(f, ROLE_CANARY) == NULL)
        return err_set(o->e, "canary-not-ready",
                       "the canary is being restarted; try again in a moment");
    if (judge_has_fired(r->rooms.judge) && !o->force)
        return err_set(o->e, "alert-stands",
                       "the canary is significantly slower than stable; roll it back, or promote "
                       "with \"force\": true");
    cJSON *fields = note_model(canary_model(r));
    snprintf(o->promotion->previous, sizeof o->promotion->previous, "%s",
             fleet_model(f, ROLE_STABLE)->name);
    snprintf(o->promotion->now, sizeof o->promotion->now, "%s", canary_model(r)->name);
    router_set_share(r->rooms.router, 0);
    fleet_retire(f, ROLE_STABLE);
    fleet_move(f, ROLE_CANARY, ROLE_STABLE);
    router_wake(r->rooms.router); /* what waited for the old stable */
    r->percent = 0;
    r->canary_start_ns = 0;
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
    cJSON *fields = note_model(canary_model(r));
    take_canary_down(r, "rolled back by its operator");
    judge_end(r->rooms.judge);
    cJSON_AddStringToObject(fields, "by", "operator");
    journal_add(r->rooms.journal, "rolled-back", fields);
    log_info("canary rolled back by its operator");
    return 0;
}

static int do_give_up_candidate(struct rollout *r, const struct occasion *o)
{
    (void)o;
    drop_candidate(r, "it was rolled back");
    return 0;
}

static int do_roll_back_both(struct rollout *r, const struct occasion *o)
{
    drop_candidate(r, "it was rolled back");
    return do_roll_back(r, o);
}

/* It is gone already: 200, with who did it, for as long as the report stands. */
static int do_confirm_rollback(struct rollout *r, const struct occasion *o)
{
    if (r->rolled_back_by == NULL)
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
        [ROLLOUT_EVENT_CANARY_GAVE_UP]   = {ROLLOUT_IDLE, do_note_crash_loop},
        [ROLLOUT_EVENT_VERDICT_BAD]      = {ROLLOUT_IDLE, do_execute},
        [ROLLOUT_EVENT_PROMOTE]          = {ROLLOUT_IDLE, do_swap},
        [ROLLOUT_EVENT_ROLLBACK]         = {ROLLOUT_IDLE, do_roll_back},
    },
    [ROLLOUT_REPLACING] = {
        [ROLLOUT_EVENT_DEPLOY]           = {ROLLOUT_REPLACING, refuse_loading},
        [ROLLOUT_EVENT_REPLACE]          = {ROLLOUT_REPLACING, do_load_instead},
        [ROLLOUT_EVENT_CANDIDATE_READY]  = {ROLLOUT_CANARY, do_replace_canary},
        [ROLLOUT_EVENT_CANDIDATE_FAILED] = {ROLLOUT_CANARY, do_note_failure},
        [ROLLOUT_EVENT_CANARY_GAVE_UP]   = {ROLLOUT_LOADING, do_note_crash_loop},
        [ROLLOUT_EVENT_VERDICT_BAD]      = {ROLLOUT_LOADING, do_execute},
        [ROLLOUT_EVENT_PROMOTE]          = {ROLLOUT_REPLACING, refuse_loading},
        [ROLLOUT_EVENT_ROLLBACK]         = {ROLLOUT_IDLE, do_roll_back_both},
    },
};
/* clang-format on */

/* The one function that moves the rollout from state to state. */
static int handle(struct rollout *r, enum rollout_event event, const struct occasion *o)
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

/* --- News from below --------------------------------------------------------*/

static void candidate_failed(struct rollout *r, const struct err *why)
{
    handle(r, ROLLOUT_EVENT_CANDIDATE_FAILED, &(struct occasion){.why = why});
    answer_candidate(r, why);
}

static void on_candidate_loaded(void *arg, struct modelref *model, const struct err *why)
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
    handle(r, ROLLOUT_EVENT_CANDIDATE_READY, &(struct occasion){0});
    answer_candidate(r, NULL);
}

static void deploy_setting(struct rollout *r, const char *by);

static void stable_up(struct rollout *r)
{
    if (r->serving)
        return;
    r->serving = true;
    journal_add(r->rooms.journal, "serving", note_model(fleet_model(r->rooms.fleet, ROLE_STABLE)));
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
    handle(r, ROLLOUT_EVENT_CANARY_GAVE_UP, &(struct occasion){.text = why});
    router_wake(r->rooms.router);
}

void rollout_on_verdict(struct rollout *r)
{
    struct health health;
    if (r->settings->auto_rollback) {
        handle(r, ROLLOUT_EVENT_VERDICT_BAD, &(struct occasion){0});
        return;
    }
    judge_health(r->rooms.judge, &health);
    cJSON *fields = note_model(canary_model(r));
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

void rollout_set_settings(struct rollout *r, const struct settings *settings)
{
    r->settings = settings;
    apply_slowdown(r);
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
        drop_candidate(r, "the supervisor stops");
        r->state = r->state == ROLLOUT_LOADING ? ROLLOUT_IDLE : ROLLOUT_CANARY;
    }
}

int rollout_deploy(struct rollout *r, const struct deploy_request *request, deployed *done,
                   void *arg, struct err *e)
{
    if (!r->serving || r->stopping)
        return err_set(e, "unavailable", "canaryd is %s", r->stopping ? "stopping" : "starting");
    enum rollout_event event = request->replace ? ROLLOUT_EVENT_REPLACE : ROLLOUT_EVENT_DEPLOY;
    return handle(r, event,
                  &(struct occasion){.request = request, .done = done, .arg = arg, .e = e});
}

int rollout_promote(struct rollout *r, bool force, struct promotion *p, struct err *e)
{
    return handle(r, ROLLOUT_EVENT_PROMOTE,
                  &(struct occasion){.force = force, .promotion = p, .e = e});
}

int rollout_rollback(struct rollout *r, const char **by, struct err *e)
{
    *by = NULL;
    return handle(r, ROLLOUT_EVENT_ROLLBACK, &(struct occasion){.by = by, .e = e});
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

const char *rollout_state_name(enum rollout_state state)
{
    return state_names[state];
}

const char *rollout_event_name(enum rollout_event event)
{
    return event_names[event];
}

double rollout_percent(const struct rollout *r)
{
    return r->percent;
}

int64_t rollout_canary_start_ns(const struct rollout *r)
{
    return r->canary_start_ns;
}

enum rollout_state rollout_next_state(enum rollout_state state, enum rollout_event event)
{
    return table[state][event].next;
}

bool rollout_is_bug(enum rollout_state state, enum rollout_event event)
{
    return table[state][event].act == NULL;
}
