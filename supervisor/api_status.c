/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * See api_status.h. The snapshot is consistent because nothing else runs while
 * the loop builds it.
 */
#include "supervisor/api_status.h"

#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/mem.h"
#include "proto/board.h"
#include "supervisor/api_status_metrics.h"
#include "supervisor/fleet.h"
#include "supervisor/gateway.h"
#include "supervisor/journal.h"
#include "supervisor/modelref.h"
#include "supervisor/proc.h"
#include "supervisor/rollout.h"
#include "supervisor/router.h"
#include "supervisor/settings.h"

struct api_status {
    struct api_status_rooms rooms;
    const struct settings *settings;
    int64_t start_ns;
    bool stopping;
    struct board_snapshot snapshot; /* 18 kB: not for the stack */
};

/* --- Processes --------------------------------------------------------------*/

static cJSON *times_to_json(struct api_status *a, const struct proc *p, enum board_clock clock)
{
    struct board_snapshot *s = &a->snapshot;
    struct err e;
    int row = proc_board_row(p, clock);
    if (row < 0 || board_read_row(a->rooms.board, row, s, &e) < 0 || s->moments.n == 0)
        return cJSON_CreateNull();
    cJSON *times = cJSON_CreateObject();
    cJSON_AddNumberToObject(times, "n", (double)s->moments.n);
    cJSON_AddNumberToObject(times, "mean", ns_to_ms(s->moments.mean));
    cJSON_AddNumberToObject(times, "p50", ns_to_ms(histogram_quantile(&s->histogram, 0.50)));
    cJSON_AddNumberToObject(times, "p99", ns_to_ms(histogram_quantile(&s->histogram, 0.99)));
    return times;
}

static cJSON *proc_to_json(struct api_status *a, enum role role, const struct proc *p)
{
    struct proc_counts counts = proc_counts(p);
    cJSON *object = cJSON_CreateObject();
    cJSON_AddNumberToObject(object, "pid", (double)proc_pid(p));
    cJSON_AddStringToObject(object, "role", proc_role(p));
    cJSON_AddStringToObject(object, "state", proc_state_name(proc_state(p)));
    cJSON_AddStringToObject(object, "kind", proc_kind(p));
    cJSON_AddStringToObject(object, "cage", proc_cage(p));
    cJSON_AddNumberToObject(object, "n_features", proc_n_features(p));
    cJSON_AddNumberToObject(object, "uptime_s",
                            (double)(clock_mono_ns() - proc_started_ns(p)) / (double)NS_PER_SEC);
    cJSON_AddNumberToObject(object, "requests", (double)counts.n[CALL_OK]);
    cJSON_AddNumberToObject(object, "faults", (double)counts.n[CALL_FAULT]);
    cJSON_AddNumberToObject(object, "timeouts", (double)counts.n[CALL_TIMEOUT]);
    cJSON_AddNumberToObject(object, "in_flight", (double)counts.n_in_flight);
    if (role < N_ROLES)
        cJSON_AddNumberToObject(object, "restarts", fleet_n_restarts(a->rooms.fleet, role));
    cJSON_AddItemToObject(object, "round_trip_ms", times_to_json(a, p, BOARD_ROUND_TRIP));
    cJSON_AddItemToObject(object, "service_ms", times_to_json(a, p, BOARD_SERVICE));
    return object;
}

struct listing {
    struct api_status *api;
    enum role role; /* N_ROLES: the retired */
    cJSON *array;
};

static void list_proc(void *arg, enum role role, const struct proc *p)
{
    const struct listing *l = arg;
    if (role == l->role)
        cJSON_AddItemToArray(l->array, proc_to_json(l->api, role, p));
}

static cJSON *procs_to_json(struct api_status *a, enum role role)
{
    struct listing l = {.api = a, .role = role, .array = cJSON_CreateArray()};
    fleet_each(a->rooms.fleet, list_proc, &l);
    return l.array;
}

/* A role with its model and processes, or null when it is empty. */
static cJSON *role_to_json(struct api_status *a, enum role role)
{
    const struct modelref *m = fleet_model(a->rooms.fleet, role);
    if (m == NULL)
        return cJSON_CreateNull();
    cJSON *object = cJSON_CreateObject();
    cJSON_AddStringToObject(object, "model", m->name);
    cJSON_AddStringToObject(object, "model_path", m->path);
    cJSON_AddStringToObject(object, "model_version", m->version);
    cJSON_AddStringToObject(object, "sha256", m->sha256);
    cJSON_AddStringToObject(object, "runtime", runtime_name(m->runtime));
    if (role == ROLE_CANARY) {
        char start[CLOCK_TEXT_SIZE];
        clock_text(rollout_canary_start_ns(a->rooms.rollout), start);
        cJSON_AddNumberToObject(object, "percent", rollout_percent(a->rooms.rollout));
        cJSON_AddStringToObject(object, "canary_start_time", start);
    }
    cJSON_AddBoolToObject(object, "ready", fleet_ready(a->rooms.fleet, role) != NULL);
    cJSON_AddItemToObject(object, "processes", procs_to_json(a, role));
    return object;
}

/* --- The snapshot -----------------------------------------------------------*/

static cJSON *requests_to_json(const struct router_counts *c)
{
    cJSON *object = cJSON_CreateObject();
    cJSON_AddNumberToObject(object, "total", (double)c->n_requests);
    cJSON_AddNumberToObject(object, "in_flight", (double)c->n_in_flight);
    cJSON_AddNumberToObject(object, "waiting", (double)c->n_waiting);
    cJSON_AddNumberToObject(object, "at_door", (double)c->n_at_door);
    cJSON_AddNumberToObject(object, "answered_by_stable", (double)c->n_answered[ARM_STABLE]);
    cJSON_AddNumberToObject(object, "answered_by_baseline", (double)c->n_answered[ARM_BASELINE]);
    cJSON_AddNumberToObject(object, "answered_by_canary", (double)c->n_answered[ARM_CANARY]);
    cJSON_AddNumberToObject(object, "failed", (double)c->n_failed);
    cJSON_AddNumberToObject(object, "forced", (double)c->n_forced);
    cJSON_AddNumberToObject(object, "by_user", (double)c->n_by_user);
    cJSON_AddNumberToObject(object, "stalled", (double)c->n_stalled);
    cJSON_AddNumberToObject(object, "retried", (double)c->n_retried);
    cJSON_AddNumberToObject(object, "fallbacks", (double)c->n_fallbacks);
    cJSON_AddNumberToObject(object, "poison", (double)c->n_poison);
    cJSON_AddNumberToObject(object, "over_retry_budget", (double)c->n_over_budget);
    cJSON_AddNumberToObject(object, "overloaded", (double)c->n_overloaded);
    return object;
}

static void handle_status(void *arg, struct exchange *x)
{
    struct api_status *a = arg;
    struct rollout *r = a->rooms.rollout;
    cJSON *root = cJSON_CreateObject();
    cJSON_AddStringToObject(root, "version", CANARYD_VERSION);
    cJSON_AddNumberToObject(root, "uptime_s",
                            (double)(clock_mono_ns() - a->start_ns) / (double)NS_PER_SEC);
    cJSON_AddStringToObject(root, "state", rollout_state_name(rollout_state(r)));
    cJSON_AddNumberToObject(root, "canary_percent", a->settings->canary_percent);
    cJSON_AddBoolToObject(root, "simulate_slowdown", rollout_slowdown(r));
    cJSON_AddItemToObject(root, "stable", role_to_json(a, ROLE_STABLE));
    cJSON_AddItemToObject(root, "baseline", role_to_json(a, ROLE_BASELINE));
    cJSON_AddItemToObject(root, "canary", role_to_json(a, ROLE_CANARY));
    cJSON_AddItemToObject(root, "candidate", role_to_json(a, ROLE_CANDIDATE));
    cJSON_AddItemToObject(root, "next_baseline", role_to_json(a, ROLE_NEXT_BASELINE));
    cJSON_AddItemToObject(root, "retired", procs_to_json(a, N_ROLES));
    cJSON_AddItemToObject(root, "requests", requests_to_json(router_counts(a->rooms.router)));
    cJSON_AddItemToObject(root, "settings", settings_to_json(a->settings));
    exchange_reply_json(x, 200, root);
}

static void handle_events(void *arg, struct exchange *x)
{
    const struct api_status *a = arg;
    cJSON *root = cJSON_CreateObject();
    cJSON_AddItemToObject(root, "events", journal_recent(a->rooms.journal));
    exchange_reply_json(x, 200, root);
}

static void handle_metrics(void *arg, struct exchange *x)
{
    const struct api_status *a = arg;
    const char *accept = exchange_header(x, "Accept");
    bool open_metrics = accept != NULL && strstr(accept, "application/openmetrics-text") != NULL;
    double uptime_s = (double)(clock_mono_ns() - a->start_ns) / (double)NS_PER_SEC;
    size_t n;
    char *text = metrics_text(&a->rooms, uptime_s, open_metrics, &n);
    exchange_reply(x, 200, metrics_content_type(open_metrics), text, n);
    free(text);
}

/* --- Probes -----------------------------------------------------------------*/

/* Alive is who answers: a worker's trouble is no reason to restart us. */
static void handle_live(void *arg, struct exchange *x)
{
    cJSON *root = cJSON_CreateObject();
    (void)arg;
    cJSON_AddStringToObject(root, "status", "alive");
    exchange_reply_json(x, 200, root);
}

static bool can_answer(const struct fleet *f)
{
    return fleet_ready(f, ROLE_STABLE) != NULL || fleet_ready(f, ROLE_BASELINE) != NULL ||
           fleet_ready(f, ROLE_CANARY) != NULL;
}

static void handle_ready(void *arg, struct exchange *x)
{
    const struct api_status *a = arg;
    const struct fleet *f = a->rooms.fleet;
    struct err e;
    if (a->stopping) {
        err_set(&e, "not-ready", "canaryd is stopping");
        exchange_reply_problem(x, &e);
    } else if (!can_answer(f)) {
        err_set(&e, "not-ready", "no worker is ready");
        exchange_reply_problem(x, &e);
    } else {
        cJSON *root = cJSON_CreateObject();
        cJSON_AddStringToObject(root, "status", "ready");
        exchange_reply_json(x, 200, root);
    }
}

static const struct route routes[] = {
    {"GET", "/admin/status", true, handle_status}, {"GET", "/admin/events", true, handle_events},
    {"GET", "/livez", false, handle_live},         {"GET", "/readyz", false, handle_ready},
    {"GET", "/healthz", false, handle_ready},      {"GET", "/metrics", false, handle_metrics},
};

struct api_status *api_status_new(struct gateway *g, const struct api_status_rooms *rooms,
                                  const struct settings *settings)
{
    struct api_status *a = mem_alloc(sizeof *a);
    a->rooms = *rooms;
    a->settings = settings;
    a->start_ns = clock_mono_ns();
    gateway_add_routes(g, routes, sizeof routes / sizeof routes[0], a);
    return a;
}

void api_status_free(struct api_status **a)
{
    free(*a);
    *a = NULL;
}

void api_status_set_settings(struct api_status *a, const struct settings *settings)
{
    a->settings = settings;
}

void api_status_stop(struct api_status *a)
{
    a->stopping = true;
}
