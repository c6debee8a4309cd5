/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * See api_admin.h. Bodies are read by a table of members, so that a key that
 * nobody knows is refused and not silently without effect.
 */
#include "supervisor/api_admin.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/jsonx.h"
#include "common/mem.h"
#include "common/nearest.h"
#include "judge/urn.h"
#include "supervisor/fleet.h"
#include "supervisor/gateway.h"
#include "supervisor/judge.h"
#include "supervisor/modelref.h"
#include "supervisor/rollout.h"

struct api_admin {
    struct rollout *rollout;
    struct judge *judge;
    struct fleet *fleet;
};

/* --- Bodies -----------------------------------------------------------------*/

/* What an admin body can say. */
struct order {
    const char *model_path; /* borrowed from the document, as is sha256 */
    const char *sha256;
    double percent; /* 0: not said */
    bool replace;
    bool force;
};

/* "/a~1b" for the key "a/b" (RFC 6901 section 3); cut to fit. */
static void write_pointer(char *pointer, size_t size, const char *key)
{
    size_t n = 0;
    pointer[n++] = '/';
    for (const char *p = key; *p != '\0' && n + 2 < size; p++) {
        if (*p == '~' || *p == '/')
            pointer[n++] = '~';
        pointer[n++] = (char)(*p == '~' ? '0' : *p == '/' ? '1' : *p);
    }
    pointer[n] = '\0';
}

static int wrong_type(const cJSON *item, const char *expected, struct err *e)
{
    char pointer[64];
    snprintf(pointer, sizeof pointer, "/%.60s", item->string);
    return err_set_at(e, "wrong-type", pointer, "%s: expected %s, got %s", item->string, expected,
                      jsonx_type_name(item));
}

static int read_model_path(const cJSON *item, struct order *order, struct err *e)
{
    if (!cJSON_IsString(item))
        return wrong_type(item, "a path", e);
    order->model_path = item->valuestring;
    return 0;
}

static int read_sha256(const cJSON *item, struct order *order, struct err *e)
{
    if (!cJSON_IsString(item))
        return wrong_type(item, "64 hexadecimal digits", e);
    size_t n = 0;
    while (isxdigit((unsigned char)item->valuestring[n]))
        n++;
    if (n != SHA256_TEXT_SIZE - 1 || item->valuestring[n] != '\0')
        return err_set_at(e, "out-of-range", "/sha256",
                          "sha256: expected 64 hexadecimal digits, got \"%.80s\"",
                          item->valuestring);
    order->sha256 = item->valuestring;
    return 0;
}

static int read_percent(const cJSON *item, struct order *order, struct err *e)
{
    if (!cJSON_IsNumber(item))
        return wrong_type(item, "a number", e);
    if (!(item->valuedouble > 0) || item->valuedouble > URN_MAX_PERCENT)
        return err_set_at(e, "out-of-range", "/percent",
                          "percent: expected above 0 and at most %d, got %.17g", URN_MAX_PERCENT,
                          item->valuedouble);
    order->percent = item->valuedouble;
    return 0;
}

static int read_replace(const cJSON *item, struct order *order, struct err *e)
{
    if (!cJSON_IsBool(item))
        return wrong_type(item, "true or false", e);
    order->replace = cJSON_IsTrue(item);
    return 0;
}

static int read_force(const cJSON *item, struct order *order, struct err *e)
{
    if (!cJSON_IsBool(item))
        return wrong_type(item, "true or false", e);
    order->force = cJSON_IsTrue(item);
    return 0;
}

enum action { ACTION_DEPLOY, ACTION_PROMOTE, ACTION_BARE };

static const struct member {
    const char *name;
    enum action action;
    int (*read)(const cJSON *item, struct order *order, struct err *e);
} members[] = {
    {"model_path", ACTION_DEPLOY, read_model_path}, {"percent", ACTION_DEPLOY, read_percent},
    {"sha256", ACTION_DEPLOY, read_sha256},         {"replace", ACTION_DEPLOY, read_replace},
    {"force", ACTION_PROMOTE, read_force},
};
#define N_MEMBERS (sizeof members / sizeof members[0])

static const char *member_name(size_t i)
{
    return members[i].name;
}

static int read_member(const cJSON *item, enum action action, struct order *order, struct err *e)
{
    char pointer[64];
    for (size_t i = 0; i < N_MEMBERS; i++)
        if (members[i].action == action && strcmp(members[i].name, item->string) == 0)
            return members[i].read(item, order, e);
    const char *nearest =
        action != ACTION_BARE ? nearest_name(item->string, N_MEMBERS, member_name) : NULL;
    write_pointer(pointer, sizeof pointer, item->string);
    return err_set_at(e, "unknown-key", pointer, "unknown key \"%.60s\"%s%s%s", item->string,
                      nearest != NULL ? "; did you mean \"" : "", nearest != NULL ? nearest : "",
                      nearest != NULL ? "\"?" : "");
}

/* Reads the body, which may be empty. *root holds what order borrows. */
static int read_order(const struct exchange *x, enum action action, struct order *order,
                      cJSON **root, struct err *e)
{
    size_t n;
    const char *body = exchange_body(x, &n);
    *order = (struct order){0};
    *root = NULL;
    if (n == 0)
        return 0;
    *root = jsonx_parse(body, n, e);
    if (*root == NULL)
        return -1;
    if (!cJSON_IsObject(*root))
        return err_set(e, "not-an-object", "expected an object, got %s", jsonx_type_name(*root));
    for (const cJSON *item = (*root)->child; item != NULL; item = item->next)
        if (read_member(item, action, order, e) < 0)
            return -1;
    return 0;
}

/* --- Deploy -----------------------------------------------------------------*/

/* A deployment that has not been answered yet. */
struct pending_deploy {
    struct api_admin *api;
    struct exchange *exchange;
};

static void reply_deployed(const struct api_admin *a, struct exchange *x)
{
    const struct modelref *m = fleet_model(a->fleet, ROLE_CANARY);
    char start[CLOCK_TEXT_SIZE];
    cJSON *root = cJSON_CreateObject();
    clock_text(rollout_canary_start_ns(a->rollout), start);
    cJSON_AddStringToObject(root, "status", "success");
    cJSON_AddStringToObject(root, "message", "Canary model deployed successfully");
    cJSON_AddStringToObject(root, "model_path", m->path);
    cJSON_AddStringToObject(root, "canary_start_time", start);
    cJSON_AddStringToObject(root, "model_version", m->version);
    cJSON_AddStringToObject(root, "sha256", m->sha256);
    cJSON_AddNumberToObject(root, "percent", rollout_percent(a->rollout));
    exchange_reply_json(x, 200, root);
}

static void on_deployed(void *arg, const struct err *why)
{
    struct pending_deploy *p = arg;
    if (why == NULL)
        reply_deployed(p->api, p->exchange);
    else
        exchange_reply_problem(p->exchange, why);
    free(p);
}

static int start_deploy(struct api_admin *a, struct exchange *x, const struct order *order,
                        struct err *e)
{
    const struct deploy_request request = {
        .path = order->model_path,
        .sha256 = order->sha256,
        .percent = order->percent,
        .replace = order->replace,
        .by = BY_REST,
    };
    if (order->model_path == NULL || order->model_path[0] == '\0')
        return err_set_at(e, "missing-model-path", "/model_path",
                          "model_path: missing; expected {\"model_path\": \"models/...\"}");
    struct pending_deploy *p = mem_alloc(sizeof *p);
    *p = (struct pending_deploy){.api = a, .exchange = x};
    int rc = rollout_deploy(a->rollout, &request, on_deployed, p, e);
    if (rc < 0)
        free(p);
    return rc;
}

static void handle_deploy(void *arg, struct exchange *x)
{
    struct order order;
    struct err e = {0};
    cJSON *root;
    int rc = read_order(x, ACTION_DEPLOY, &order, &root, &e);
    if (rc == 0)
        rc = start_deploy(arg, x, &order, &e);
    cJSON_Delete(root);
    if (rc < 0)
        exchange_reply_problem(x, &e);
}

/* --- The others -------------------------------------------*/

static cJSON *success(const char *message)
{
    cJSON *root = cJSON_CreateObject();
    cJSON_AddStringToObject(root, "status", "success");
    cJSON_AddStringToObject(root, "message", message);
    return root;
}

static void on_promoted(void *arg, const struct promotion *p, const struct err *why)
{
    if (p == NULL) {
        exchange_reply_problem(arg, why);
        return;
    }
    cJSON *root = success("Canary promoted to stable successfully");
    cJSON_AddStringToObject(root, "previous_stable_model", p->previous);
    cJSON_AddStringToObject(root, "new_stable_model", p->now);
    exchange_reply_json(arg, 200, root);
}

static void handle_promote(void *arg, struct exchange *x)
{
    struct api_admin *a = arg;
    struct order order;
    struct err e = {0};
    cJSON *root;
    int rc = read_order(x, ACTION_PROMOTE, &order, &root, &e);
    cJSON_Delete(root);
    if (rc < 0 || rollout_promote(a->rollout, order.force, on_promoted, x, &e) < 0)
        exchange_reply_problem(x, &e);
}

/* Nothing must be said, and nothing can be: 0, or -1 with err. */
static int read_bare_order(const struct exchange *x, struct err *e)
{
    struct order order;
    cJSON *root;
    int rc = read_order(x, ACTION_BARE, &order, &root, e);
    cJSON_Delete(root);
    return rc;
}

static void handle_rollback(void *arg, struct exchange *x)
{
    struct api_admin *a = arg;
    struct err e = {0};
    const char *by;
    if (read_bare_order(x, &e) < 0 || rollout_rollback(a->rollout, &by, &e) < 0) {
        exchange_reply_problem(x, &e);
        return;
    }
    cJSON *root = success("Canary rolled back successfully");
    if (by != NULL)
        cJSON_AddStringToObject(root, "rolled_back_by", by);
    exchange_reply_json(x, 200, root);
}

static void handle_slowdown(void *arg, struct exchange *x)
{
    struct api_admin *a = arg;
    struct err e = {0};
    if (read_bare_order(x, &e) < 0) {
        exchange_reply_problem(x, &e);
        return;
    }
    bool on = rollout_toggle_slowdown(a->rollout);
    cJSON *root = cJSON_CreateObject();
    cJSON_AddBoolToObject(root, "simulate_slowdown", on);
    cJSON_AddStringToObject(root, "message",
                            on ? "Slowdown simulation enabled" : "Slowdown simulation disabled");
    exchange_reply_json(x, 200, root);
}

static void handle_health(void *arg, struct exchange *x)
{
    struct api_admin *a = arg;
    exchange_reply_json(x, 200, judge_health(a->judge));
}

static const struct route routes[] = {
    {"POST", "/admin/deploy-canary", true, handle_deploy},
    {"POST", "/admin/promote-canary", true, handle_promote},
    {"POST", "/admin/rollback-canary", true, handle_rollback},
    {"POST", "/admin/toggle-slowdown", true, handle_slowdown},
    {"GET", "/admin/check-canary-health", true, handle_health},
};

struct api_admin *api_admin_new(struct gateway *g, struct rollout *rollout, struct judge *judge,
                                struct fleet *fleet)
{
    struct api_admin *a = mem_alloc(sizeof *a);
    *a = (struct api_admin){.rollout = rollout, .judge = judge, .fleet = fleet};
    gateway_add_routes(g, routes, sizeof routes / sizeof routes[0], a);
    return a;
}

void api_admin_free(struct api_admin **a)
{
    free(*a);
    *a = NULL;
}
