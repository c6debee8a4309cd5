/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What operators do at bad moments, and what they deploy. None of it is waited
 * for. A canary that is evil, or may become so, is never promoted: no server
 * can serve when its stable model does not.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/chaos/orders.h"
#include "tests/chaos/world.h"
#include "tests/support/workdir.h"

#define DEPLOY   "/admin/deploy-canary"
#define PROMOTE  "/admin/promote-canary"
#define ROLLBACK "/admin/rollback-canary"
#define SLOWDOWN "/admin/toggle-slowdown"

/* --- Deployments ------------------------------------------------------------*/

static const char *const good_models[] = {"model_v1.json", "model_v2.json"};

static void deploy(struct world *w, const char *model, bool replace, uint32_t how,
                   const char *expected)
{
    char body[200];
    snprintf(body, sizeof body, "{\"model_path\":\"%s\",\"percent\":%u%s}", model, 1 + how % 50,
             replace ? ",\"replace\":true" : "");
    orders_post(w->orders, DEPLOY, body, expected);
}

/* 422: its worker was killed meanwhile; 504: stopped; 409: out, or superseded. */
static void deploy_good(struct world *w, uint32_t how)
{
    deploy(w, good_models[how >> 8 & 1], false, how, "200 409 422 504");
}

static void replace_good(struct world *w, uint32_t how)
{
    deploy(w, good_models[how >> 8 & 1], true, how, "200 409 422 504");
}

static void deploy_bad(struct world *w, uint32_t how)
{
    static const struct {
        const char *model, *expected;
    } bad[] = {
        {"nowhere.json", "404 409"},   {"../canaryd.json", "400 409"}, {"torn.json", "409 422 504"},
        {"empty.json", "409 422 504"}, {"four.json", "409 422 504"},   {"text.txt", "409 422 504"},
        {".", "400 409 422"},
    };
    uint32_t i = (how >> 8) % (sizeof bad / sizeof bad[0]);
    deploy(w, bad[i].model, how >> 16 & 1, how, bad[i].expected);
}

/* Words of tests/support/evil_worker: what it does at its start, and at a call. */
static const char *const evil_starts[] = {
    "refuse",     "badrefuse",      "version",        "longname",       "hugename",    "quit",
    "pong",       "stray",          "maxid",          "garbage",        "array32",     "array16m",
    "bin4g",      "deep",           "zero",           "huge",           "random",      "oob",
    "eof",        "close",          "sleep",          "exit=3",         "signal=11",   "abort",
    "segv",       "stop",           "spin",           "chatty=64",      "ready=4",     "ready",
    "wait=20",    "half",           "ready eof",      "ready exit",     "ready ready", "ready quit",
    "ready pong", "ready stray",    "ready oversize", "ready sleep",    "ready stop",  "ready spin",
    "ready hang", "ready stubborn", "ready slow=20",  "ready slow=300",
};
static const char *const evil_calls[] = {
    "garbage",
    "zero",
    "huge",
    "negative",
    "oversize",
    "random",
    "arity",
    "leftover",
    "unknown",
    "empty",
    "nil",
    "map",
    "ext",
    "deep",
    "array32",
    "array16m",
    "bin4g",
    "str4g",
    "negid",
    "maxid",
    "wrongid",
    "two",
    "none",
    "nan",
    "inf",
    "string",
    "text",
    "null",
    "true",
    "nested",
    "faulty",
    "bigfault=64",
    "half",
    "half sleep",
    "half exit",
    "drip=20",
    "answer answer",
    "pong",
    "ready",
    "refuse",
    "quit",
    "oob answer",
    "eof",
    "close",
    "shutwr",
    "sleep",
    "exit",
    "exit=3",
    "abort",
    "segv",
    "stop",
    "spin",
    "fork=100 exit",
    "says exit=1",
    "mumble abort",
    "chatty=64 answer",
    "longline=64 answer",
    "wait=30 answer",
    "wait=300 answer",
};
#define N_STARTS (sizeof evil_starts / sizeof evil_starts[0])
#define N_CALLS  (sizeof evil_calls / sizeof evil_calls[0])
#define N_EVIL   (N_STARTS + 2 * N_CALLS)

/* The warm-up asks five times: what is good for so long becomes the canary. */
static void write_evil_script(char *text, size_t size, size_t i)
{
    if (i < N_STARTS)
        snprintf(text, size, "%s", evil_starts[i]);
    else
        snprintf(text, size, "ready good=%d then %s", i < N_STARTS + N_CALLS ? 5 : 50,
                 evil_calls[(i - N_STARTS) % N_CALLS]);
}

static void deploy_evil(struct world *w, uint32_t how)
{
    char name[32];
    uint32_t i = (how >> 8) % N_EVIL;
    snprintf(name, sizeof name, "evil_%u.json", i);
    deploy(w, name, how >> 16 & 1, how, "200 409 422 504");
}

/* --- The other orders -------------------------------------------------------*/

static bool canary_is_known_good(struct world *w, uint32_t how)
{
    (void)how;
    return !orders_has_evil(w->orders) && !world_canary_is_evil(w);
}

static void promote(struct world *w, uint32_t how)
{
    (void)how;
    orders_post(w->orders, PROMOTE, NULL, "200 409");
}

static void promote_force(struct world *w, uint32_t how)
{
    (void)how;
    orders_post(w->orders, PROMOTE, "{\"force\":true}", "200 409");
}

static void roll_back(struct world *w, uint32_t how)
{
    (void)how;
    orders_post(w->orders, ROLLBACK, NULL, "200 409");
}

static void promote_and_roll_back(struct world *w, uint32_t how)
{
    if (how & 1)
        roll_back(w, how);
    promote_force(w, how);
    if (!(how & 1))
        roll_back(w, how);
}

static void toggle_slowdown(struct world *w, uint32_t how)
{
    (void)how;
    orders_post(w->orders, SLOWDOWN, NULL, "200");
}

/* --- The settings file ------------------------------------------------------*/

static void reload(struct world *w, const char *config)
{
    workdir_write_text(w->server->dir, "canaryd.json.new", config);
    char *from = workdir_path(w->server->dir, "canaryd.json.new");
    char *to = workdir_path(w->server->dir, "canaryd.json");
    rename(from, to);
    free(from);
    free(to);
    server_signal(w->server, SIGHUP);
}

static void reload_canary(struct world *w, uint32_t how)
{
    static const char *const models[] = {
        "", "model_v1.json", "model_v2.json", "models/model_v2.json", "nowhere.json", "torn.json"};
    char config[200];
    snprintf(config, sizeof config, "{\"canary_model\": \"%s\", \"canary_percent\": %u}",
             models[how % 6], 1 + (how >> 8) % 50);
    reload(w, config);
}

static void reload_broken(struct world *w, uint32_t how)
{
    static const char *const configs[] = {"",
                                          "{\"canary_model\": ",
                                          "{\"canary_modell\": \"x\"}",
                                          "{\"canary_percent\": 150}",
                                          "\xff\xfe{}",
                                          "[1, 2]"};
    reload(w, configs[how % 6]);
}

static void storm(struct world *w, uint32_t how)
{
    reload_canary(w, how);
    for (int i = 0; i < 200; i++)
        server_signal(w->server, SIGHUP);
}

const struct fault operator_faults[] = {
    {"deploy", 12, NULL, deploy_good},
    {"deploy-replace", 8, NULL, replace_good},
    {"deploy-bad", 5, NULL, deploy_bad},
    {"deploy-evil", 14, NULL, deploy_evil},
    {"promote", 6, canary_is_known_good, promote},
    {"promote-force", 3, canary_is_known_good, promote_force},
    {"promote-rollback", 2, canary_is_known_good, promote_and_roll_back},
    {"rollback", 6, NULL, roll_back},
    {"slowdown", 3, NULL, toggle_slowdown},
    {"reload-canary", 6, NULL, reload_canary},
    {"reload-broken", 3, NULL, reload_broken},
    {"reload-storm", 2, NULL, storm},
};
const size_t n_operator_faults = sizeof operator_faults / sizeof operator_faults[0];

void operator_write_models(struct world *w)
{
    char name[32], text[80];
    for (size_t i = 0; i < N_EVIL; i++) {
        snprintf(name, sizeof name, "models/evil_%zu.json", i);
        write_evil_script(text, sizeof text, i);
        workdir_write_text(w->server->dir, name, text);
    }
    workdir_write_text(w->server->dir, "models/torn.json", "{\"format\": \"canaryd-model\", ");
    workdir_write_text(w->server->dir, "models/empty.json", "");
    workdir_write_text(w->server->dir, "models/four.json", "ready=4");
    workdir_write_text(w->server->dir, "models/text.txt", "hello");
}
