/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The deployment state machine: its table cell by cell, then whole stories with
 * the real rooms around it.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/jsonx.h"
#include "common/mem.h"
#include "supervisor/journal.h"
#include "supervisor/judge.h"
#include "supervisor/modelref.h"
#include "supervisor/proc.h"
#include "supervisor/rollout.h"
#include "supervisor/settings.h"
#include "tests/support/house.h"

/* --- The table --------------------------------------------------------------*/

#define I   "idle"
#define L   "loading"
#define C   "canary"
#define R   "replacing"
#define BUG NULL

/* The state after an event that is not refused. */
/* clang-format off */
static const char *const expected[N_ROLLOUT_STATES][N_ROLLOUT_EVENTS] = {
    /*                      deploy replace ready failed gave-up bad promote rollback */
    [ROLLOUT_IDLE]      = {L,     L,      BUG,  BUG,   BUG,    I,  I,      I},
    [ROLLOUT_LOADING]   = {L,     L,      C,    I,     BUG,    L,  L,      I},
    [ROLLOUT_CANARY]    = {C,     R,      BUG,  BUG,   I,      I,  I,      I},
    [ROLLOUT_REPLACING] = {R,     R,      C,    C,     L,      L,  R,      I},
};
/* clang-format on */

static void check_cell(enum rollout_state s, enum rollout_event e)
{
    bool is_bug = rollout_is_bug(s, e);
    const char *next = rollout_state_name(rollout_next_state(s, e));
    const char *wanted = expected[s][e];
    if (is_bug != (wanted == BUG) || (!is_bug && strcmp(next, wanted) != 0))
        fail_msg("%s by %s becomes %s%s", rollout_state_name(s), rollout_event_name(e),
                 is_bug ? "a bug and " : "", next);
}

static void test_table(void **state)
{
    (void)state;
    for (int s = 0; s < N_ROLLOUT_STATES; s++)
        for (int e = 0; e < N_ROLLOUT_EVENTS; e++)
            check_cell((enum rollout_state)s, (enum rollout_event)e);
}

static void test_event_names(void **state)
{
    static const char *const names[N_ROLLOUT_EVENTS] = {
        "deploy",         "replace",     "candidate-ready", "candidate-failed",
        "canary-gave-up", "verdict-bad", "promote",         "rollback"};
    (void)state;
    for (int e = 0; e < N_ROLLOUT_EVENTS; e++)
        assert_string_equal(rollout_event_name((enum rollout_event)e), names[e]);
}

/* --- Deployments ------------------------------------------------------------*/

struct ordered {
    int n_done;
    char code[40]; /* "": the canary has its share */
    char text[600];
};

static void on_deployed(void *arg, const struct err *why)
{
    struct ordered *o = arg;
    o->n_done++;
    snprintf(o->code, sizeof o->code, "%s", why != NULL ? why->code : "");
    snprintf(o->text, sizeof o->text, "%s", why != NULL ? why->text : "");
}

static int order(struct house *h, struct ordered *o, const char *path, bool replace, struct err *e)
{
    const struct deploy_request request = {
        .path = path, .percent = 20, .replace = replace, .by = BY_REST};
    *o = (struct ordered){0};
    int rc = rollout_deploy(h->rollout, &request, on_deployed, o, e);
    assert_int_equal(o->n_done, 0); /* never from inside */
    return rc;
}

static void order_ok(struct house *h, struct ordered *o, const char *path, bool replace)
{
    struct err e = {0};
    if (order(h, o, path, replace, &e) < 0)
        fail_msg("%s: %s", path, e.text);
}

static void assert_refused(struct house *h, const char *path, const char *code)
{
    struct ordered o;
    struct err e = {0};
    assert_int_equal(order(h, &o, path, false, &e), -1);
    assert_string_equal(e.code, code);
    loop_settle(h->base);
    assert_int_equal(o.n_done, 0);
}

static void assert_state(const struct house *h, enum rollout_state state)
{
    assert_string_equal(rollout_state_name(rollout_state(h->rollout)), rollout_state_name(state));
}

static void assert_canary(const struct house *h, const char *name)
{
    assert_state(h, ROLLOUT_CANARY);
    assert_non_null(fleet_ready(h->fleet, ROLE_CANARY));
    assert_string_equal(fleet_model(h->fleet, ROLE_CANARY)->name, name);
}

static void assert_no_canary(const struct house *h, const char *stable)
{
    assert_state(h, ROLLOUT_IDLE);
    assert_null(fleet_model(h->fleet, ROLE_CANARY));
    assert_null(fleet_model(h->fleet, ROLE_CANDIDATE));
    assert_true(rollout_percent(h->rollout) == 0);
    assert_int_equal(rollout_canary_start_ns(h->rollout), 0);
    assert_string_equal(fleet_model(h->fleet, ROLE_STABLE)->name, stable);
}

/* Serves stable.json and gives canary.json its share. */
static void deploy(struct house *h)
{
    struct ordered o;
    house_serve(h);
    evil_write("canary.json", "ready");
    order_ok(h, &o, "canary.json", false);
    loop_until(h->base, o.n_done > 0);
    assert_string_equal(o.text, "");
    assert_canary(h, "canary.json");
}

static cJSON *health_of(const struct house *h)
{
    return judge_health(h->judge);
}

static void assert_health(const struct house *h, bool alert, bool active, const char *by)
{
    cJSON *j = health_of(h);
    assert_int_equal(cJSON_IsTrue(cJSON_GetObjectItem(j, "alert_triggered")), alert);
    assert_int_equal(cJSON_IsTrue(cJSON_GetObjectItem(j, "canary_active")), active);
    assert_int_equal(cJSON_IsTrue(cJSON_GetObjectItem(j, "rolled_back")), by != NULL);
    if (by != NULL)
        assert_string_equal(cJSON_GetObjectItem(j, "rolled_back_by")->valuestring, by);
    cJSON_Delete(j);
}

/* So many answers of both, the canary's ten times as slow. */
static void feed_slow_canary(struct house *h, int n)
{
    house_feed(h, n, 1, 10);
}

static void test_deploy(void **state)
{
    struct house *h = *state;
    struct asked asked[20];
    int by_canary = 0;
    deploy(h);
    assert_true(rollout_percent(h->rollout) == 20);
    assert_true(rollout_canary_start_ns(h->rollout) > 0);
    assert_health(h, false, true, NULL);
    house_ask_all(h, asked, 20, ROUTING_BY_LOT);
    for (int i = 0; i < 20; i++)
        by_canary += asked[i].arm == ARM_CANARY;
    assert_int_equal(by_canary, 4);
    assert_int_equal(house_n_events(h, "serving"), 1);
    assert_int_equal(house_n_events(h, "deployed"), 1);
    assert_refused(h, "canary.json", "canary-active");
}

static const struct {
    const char *script; /* NULL: there is no such file */
    const char *file;
    const char *code;
    const char *says;
} bad_models[] = {
    {NULL, "nowhere.json", "model-not-found", "nowhere.json"},
    {NULL, "../stable.json", "path-outside-model-dir", "../stable.json"},
    {"ready", "model.txt", "model-invalid", "extension"},
    {"refuse exit=65", "bad.json", "model-invalid", EVIL_REFUSAL},
    {"exit=1", "bad.json", "model-invalid", "exit status 1"},
    {"version", "bad.json", "model-invalid", "protocol 7"},
    {"ready=4", "bad.json", "incompatible-inputs", "takes 4 inputs, stable takes 5"},
};
#define N_BAD_MODELS (sizeof bad_models / sizeof bad_models[0])

static void try_bad_model(struct house *h, size_t i, bool replace)
{
    struct ordered o;
    if (bad_models[i].script != NULL)
        evil_write(bad_models[i].file, bad_models[i].script);
    order_ok(h, &o, bad_models[i].file, replace);
    assert_state(h, replace ? ROLLOUT_REPLACING : ROLLOUT_LOADING);
    loop_until(h->base, o.n_done > 0);
    if (strcmp(o.code, bad_models[i].code) != 0 || strstr(o.text, bad_models[i].says) == NULL)
        fail_msg("%zu: %s, \"%s\"", i, o.code, o.text);
    loop_until(h->base, fleet_n_procs(h->fleet) == (replace ? 2 : 1));
    assert_int_equal(o.n_done, 1);
}

static void test_refused_model_changes_nothing(void **state)
{
    struct house *h = *state;
    house_serve(h);
    pid_t stable = proc_pid(fleet_ready(h->fleet, ROLE_STABLE));
    for (size_t i = 0; i < N_BAD_MODELS; i++) {
        try_bad_model(h, i, false);
        assert_no_canary(h, "stable.json");
    }
    assert_int_equal(proc_pid(fleet_ready(h->fleet, ROLE_STABLE)), stable);
    assert_int_equal(house_n_events(h, "deployment-failed"), N_BAD_MODELS);
    assert_int_equal(h->n_hopeless, 0);
}

static void test_refused_successor_changes_nothing(void **state)
{
    struct house *h = *state;
    deploy(h);
    pid_t canary = proc_pid(fleet_ready(h->fleet, ROLE_CANARY));
    int64_t start = rollout_canary_start_ns(h->rollout);
    house_feed(h, 1, 1, 1);
    for (size_t i = 0; i < N_BAD_MODELS; i++) {
        try_bad_model(h, i, true);
        assert_canary(h, "canary.json");
    }
    assert_int_equal(proc_pid(fleet_ready(h->fleet, ROLE_CANARY)), canary);
    assert_true(rollout_percent(h->rollout) == 20);
    assert_int_equal(rollout_canary_start_ns(h->rollout), start);
    cJSON *j = health_of(h); /* nor is its evidence lost */
    assert_int_equal(cJSON_GetObjectItem(j, "canary_sample_count")->valueint, 1);
    cJSON_Delete(j);
}

static void test_timeout_of_a_deployment(void **state)
{
    struct house *h = *state;
    struct ordered o;
    house_serve(h);
    h->settings->start_timeout_ms = 80;
    evil_write("slow.json", "sleep");
    order_ok(h, &o, "slow.json", false);
    loop_until(h->base, o.n_done > 0);
    assert_string_equal(o.code, "worker-start-timeout");
    assert_no_canary(h, "stable.json");
}

static void test_checksum(void **state)
{
    struct house *h = *state;
    struct ordered o = {0};
    struct err e;
    char zeros[SHA256_TEXT_SIZE];
    memset(zeros, '0', sizeof zeros - 1);
    zeros[sizeof zeros - 1] = '\0';
    house_serve(h);
    struct deploy_request request = {.path = "stable.json", .sha256 = zeros, .by = BY_REST};
    assert_int_equal(rollout_deploy(h->rollout, &request, on_deployed, &o, &e), 0);
    loop_until(h->base, o.n_done > 0);
    assert_string_equal(o.code, "sha256-mismatch");
    request.sha256 = fleet_model(h->fleet, ROLE_STABLE)->sha256;
    o.n_done = 0;
    assert_int_equal(rollout_deploy(h->rollout, &request, on_deployed, &o, &e), 0);
    loop_until(h->base, o.n_done > 0);
    assert_string_equal(o.text, "");
    assert_true(rollout_percent(h->rollout) == h->settings->canary_percent);
}

/* --- Replacing --------------------------------------------------------------*/

static void test_replace(void **state)
{
    struct house *h = *state;
    struct ordered o;
    deploy(h);
    feed_slow_canary(h, 10);
    evil_write("next.json", "ready");
    order_ok(h, &o, "next.json", true);
    assert_state(h, ROLLOUT_REPLACING);
    assert_non_null(fleet_ready(h->fleet, ROLE_CANARY)); /* it serves meanwhile */
    assert_refused(h, "canary.json", "canary-loading");
    loop_until(h->base, o.n_done > 0);
    assert_string_equal(o.text, "");
    assert_canary(h, "next.json");
    loop_until(h->base, fleet_n_procs(h->fleet) == 2);
    cJSON *j = health_of(h); /* evidence begins anew */
    assert_int_equal(cJSON_GetObjectItem(j, "canary_sample_count")->valueint, 0);
    cJSON_Delete(j);
    assert_int_equal(house_n_events(h, "replaced"), 1);
    assert_int_equal(house_n_events(h, "deployed"), 2);
}

/* Whoever waited for the first one is told so. */
static void test_replace_while_loading(void **state)
{
    struct house *h = *state;
    struct ordered first, second;
    house_serve(h);
    evil_write("slow.json", "sleep");
    evil_write("canary.json", "ready");
    order_ok(h, &first, "slow.json", false);
    loop_until(h->base, fleet_n_procs(h->fleet) == 2);
    assert_refused(h, "canary.json", "canary-loading");
    order_ok(h, &second, "canary.json", true);
    loop_until(h->base, second.n_done > 0);
    assert_string_equal(second.text, "");
    assert_int_equal(first.n_done, 1);
    assert_string_equal(first.code, "superseded");
    assert_canary(h, "canary.json");
}

/* Before the helper thread has even opened the first one. */
static void test_replace_at_once(void **state)
{
    struct house *h = *state;
    struct ordered first, second;
    house_serve(h);
    evil_write("canary.json", "ready");
    order_ok(h, &first, "stable.json", true);
    order_ok(h, &second, "canary.json", true);
    loop_until(h->base, second.n_done > 0);
    assert_int_equal(first.n_done, 1);
    assert_string_equal(first.code, "superseded");
    assert_canary(h, "canary.json");
    loop_until(h->base, fleet_n_procs(h->fleet) == 2);
}

/* --- Promoting --------------------------------------------------------------*/

static void test_promote(void **state)
{
    struct house *h = *state;
    struct promotion p;
    struct asked asked[10];
    struct err e;
    deploy(h);
    pid_t canary = proc_pid(fleet_ready(h->fleet, ROLE_CANARY));
    for (int i = 0; i < 10; i++) /* some on their way when it happens */
        house_ask(h, &asked[i], ROUTING_BY_LOT);
    assert_int_equal(house_promote(h, false, &p, &e), 0);
    assert_string_equal(p.previous, "stable.json");
    assert_string_equal(p.now, "canary.json");
    assert_no_canary(h, "canary.json");
    assert_int_equal(proc_pid(fleet_ready(h->fleet, ROLE_STABLE)), canary);
    house_await(h, asked, 10);
    for (int i = 0; i < 10; i++)
        assert_string_equal(asked[i].code, "");
    loop_until(h->base, fleet_n_procs(h->fleet) == 1); /* the old one has gone */
    assert_int_equal(house_n_events(h, "promoted"), 1);
    assert_health(h, false, false, NULL);
    assert_int_equal(house_promote(h, false, &p, &e), -1);
    assert_string_equal(e.code, "no-canary");
}

static void test_promote_against_an_alert(void **state)
{
    struct house *h = *state;
    struct promotion p;
    struct err e;
    h->settings->auto_rollback = false;
    deploy(h);
    feed_slow_canary(h, 40);
    assert_int_equal(h->n_verdicts, 1);
    assert_canary(h, "canary.json");
    assert_health(h, true, true, NULL);
    assert_int_equal(house_n_events(h, "alert"), 1);
    assert_int_equal(house_promote(h, false, &p, &e), -1);
    assert_string_equal(e.code, "alert-stands");
    assert_canary(h, "canary.json");
    assert_int_equal(house_promote(h, true, &p, &e), 0);
    assert_no_canary(h, "canary.json");
    assert_health(h, false, false, NULL);
}

static void test_promote_what_is_not_there(void **state)
{
    struct house *h = *state;
    struct ordered o;
    struct promotion p;
    struct err e;
    house_serve(h);
    assert_int_equal(house_promote(h, true, &p, &e), -1);
    assert_string_equal(e.code, "no-canary");
    evil_write("slow.json", "sleep");
    order_ok(h, &o, "slow.json", false);
    assert_int_equal(house_promote(h, true, &p, &e), -1);
    assert_string_equal(e.code, "canary-loading");
    assert_state(h, ROLLOUT_LOADING);
}

static void kill_canary(struct house *h)
{
    int n = h->n_buried;
    assert_int_equal(kill(proc_pid(fleet_ready(h->fleet, ROLE_CANARY)), SIGKILL), 0);
    loop_until(h->base, h->n_buried > n);
}

static void test_promote_between_death_and_restart(void **state)
{
    struct house *h = *state;
    struct promotion p;
    struct err e;
    deploy(h);
    kill_canary(h);
    assert_null(fleet_ready(h->fleet, ROLE_CANARY));
    assert_int_equal(house_promote(h, false, &p, &e), -1);
    assert_string_equal(e.code, "canary-not-ready");
    loop_until(h->base, fleet_ready(h->fleet, ROLE_CANARY) != NULL);
    assert_int_equal(house_promote(h, false, &p, &e), 0);
    assert_no_canary(h, "canary.json");
}

/* --- Rolling back -----------------------------------------------------------*/

static int roll_back(struct house *h, const char **by, const char *code)
{
    struct err e = {0};
    int rc = rollout_rollback(h->rollout, by, &e);
    if (rc < 0)
        assert_string_equal(e.code, code);
    return rc;
}

static void test_rollback(void **state)
{
    struct house *h = *state;
    struct asked asked[10];
    const char *by = "nobody";
    deploy(h);
    for (int i = 0; i < 10; i++)
        house_ask(h, &asked[i], ROUTING_TO_CANARY);
    assert_int_equal(roll_back(h, &by, ""), 0);
    assert_null(by);
    assert_no_canary(h, "stable.json");
    house_await(h, asked, 10);
    for (int i = 0; i < 10; i++)
        assert_string_equal(asked[i].code, ""); /* nobody notices */
    assert_int_equal(house_n_events(h, "rolled-back"), 1);
    assert_health(h, false, false, NULL);
    assert_int_equal(roll_back(h, &by, "no-canary"), -1);
}

static void test_rollback_while_loading(void **state)
{
    struct house *h = *state;
    struct ordered o;
    const char *by;
    house_serve(h);
    evil_write("slow.json", "sleep");
    order_ok(h, &o, "slow.json", false);
    loop_until(h->base, fleet_n_procs(h->fleet) == 2);
    assert_int_equal(roll_back(h, &by, ""), 0);
    assert_int_equal(o.n_done, 1);
    assert_string_equal(o.code, "superseded");
    assert_no_canary(h, "stable.json");
    loop_until(h->base, fleet_n_procs(h->fleet) == 1);
    assert_int_equal(o.n_done, 1);
}

static void test_rollback_while_replacing(void **state)
{
    struct house *h = *state;
    struct ordered o;
    const char *by;
    deploy(h);
    evil_write("slow.json", "sleep");
    order_ok(h, &o, "slow.json", true);
    loop_until(h->base, fleet_n_procs(h->fleet) == 3);
    assert_int_equal(roll_back(h, &by, ""), 0);
    assert_string_equal(o.code, "superseded");
    assert_no_canary(h, "stable.json");
    loop_until(h->base, fleet_n_procs(h->fleet) == 1);
}

/* --- Rolled back without asking ---------------------------------------------*/

static void test_verdict(void **state)
{
    struct house *h = *state;
    struct ordered o;
    const char *by;
    deploy(h);
    feed_slow_canary(h, 40);
    assert_int_equal(h->n_verdicts, 1);
    assert_no_canary(h, "stable.json");
    assert_health(h, true, false, "judge");
    cJSON *before = health_of(h);
    feed_slow_canary(h, 40); /* whatever comes late: the report is frozen */
    cJSON *after = health_of(h);
    assert_true(cJSON_Compare(before, after, true));
    cJSON_Delete(before);
    cJSON_Delete(after);
    for (int i = 0; i < 2; i++) { /* as often as they like */
        assert_int_equal(roll_back(h, &by, ""), 0);
        assert_string_equal(by, "judge");
    }
    assert_int_equal(house_n_events(h, "rolled-back"), 1);
    order_ok(h, &o, "canary.json", false);
    loop_until(h->base, o.n_done > 0);
    assert_health(h, false, true, NULL); /* the next deployment begins anew */
    assert_int_equal(roll_back(h, &by, ""), 0);
    assert_null(by);
    assert_int_equal(roll_back(h, &by, "no-canary"), -1);
}

static void test_verdict_while_replacing(void **state)
{
    struct house *h = *state;
    struct ordered o;
    deploy(h);
    evil_write("next.json", "ready");
    order_ok(h, &o, "next.json", true);
    feed_slow_canary(h, 40);
    assert_state(h, ROLLOUT_LOADING); /* the successor still comes */
    assert_null(fleet_model(h->fleet, ROLE_CANARY));
    assert_health(h, true, false, "judge");
    loop_until(h->base, o.n_done > 0);
    assert_canary(h, "next.json");
    assert_health(h, false, true, NULL);
}

static void test_crash_loop(void **state)
{
    struct house *h = *state;
    const char *by;
    deploy(h);
    for (int i = 0; i < 3; i++) {
        loop_until(h->base, fleet_ready(h->fleet, ROLE_CANARY) != NULL);
        kill_canary(h);
    }
    assert_no_canary(h, "stable.json");
    assert_health(h, true, false, "crash-loop");
    cJSON *j = health_of(h);
    const char *message = cJSON_GetObjectItem(j, "message")->valuestring;
    assert_non_null(strstr(message, "ALERT: Canary crashed repeatedly: canary@"));
    cJSON_Delete(j);
    assert_int_equal(roll_back(h, &by, ""), 0);
    assert_string_equal(by, "crash-loop");
    assert_int_equal(house_n_events(h, "rolled-back"), 1);
    j = journal_recent(h->journal);
    const cJSON *entry = j->child; /* whose canary it was, and what was known of it */
    while (strcmp(jsonx_member(entry, "event")->valuestring, "rolled-back") != 0)
        entry = entry->next;
    assert_string_equal(jsonx_member(entry, "model")->valuestring, "canary.json");
    assert_non_null(jsonx_member(jsonx_member(entry, "health"), "canary_sample_count"));
    cJSON_Delete(j);
}

/* --- Settings ---------------------------------------------------------------*/

static void set_canary_model(struct house *h, const char *model)
{
    free(h->settings->canary_model);
    h->settings->canary_model = mem_strdup(model);
}

static void reload(struct house *h, const char *model)
{
    set_canary_model(h, model);
    rollout_set_settings(h->rollout, h->settings);
}

static void test_canary_model_at_the_start(void **state)
{
    struct house *h = *state;
    evil_write("canary.json", "ready");
    set_canary_model(h, "canary.json");
    house_serve(h);
    loop_until(h->base, rollout_state(h->rollout) == ROLLOUT_CANARY);
    assert_canary(h, "canary.json");
    assert_true(rollout_percent(h->rollout) == h->settings->canary_percent);
}

static void test_reload(void **state)
{
    struct house *h = *state;
    house_serve(h);
    evil_write("canary.json", "ready");
    evil_write("next.json", "ready");
    reload(h, "canary.json"); /* a new one is deployed */
    assert_state(h, ROLLOUT_LOADING);
    loop_until(h->base, rollout_state(h->rollout) == ROLLOUT_CANARY);
    reload(h, "canary.json"); /* the same: nothing happens */
    assert_canary(h, "canary.json");
    reload(h, "next.json"); /* another one replaces it */
    loop_until(h->base, rollout_state(h->rollout) == ROLLOUT_CANARY);
    assert_canary(h, "next.json");
    reload(h, ""); /* none: it is rolled back */
    assert_no_canary(h, "stable.json");
    reload(h, "");
    assert_int_equal(house_n_events(h, "rolled-back"), 1);
}

/* What was rolled back stands until the file's own value changes. */
static void test_reload_does_not_bring_back(void **state)
{
    struct house *h = *state;
    const char *by;
    house_serve(h);
    evil_write("canary.json", "ready");
    reload(h, "canary.json");
    loop_until(h->base, rollout_state(h->rollout) == ROLLOUT_CANARY);
    assert_int_equal(roll_back(h, &by, ""), 0);
    reload(h, "canary.json");
    assert_no_canary(h, "stable.json");
}

static void test_reload_supersedes(void **state)
{
    struct house *h = *state;
    struct ordered o;
    house_serve(h);
    evil_write("slow.json", "sleep");
    evil_write("canary.json", "ready");
    order_ok(h, &o, "slow.json", false);
    reload(h, "canary.json");
    loop_until(h->base, rollout_state(h->rollout) == ROLLOUT_CANARY);
    assert_string_equal(o.code, "superseded");
    assert_canary(h, "canary.json");
}

/* A reload before stable serves is acted on once, not again by the next one. */
static void test_reload_before_serving(void **state)
{
    struct house *h = *state;
    evil_write("canary.json", "ready");
    reload(h, "canary.json");
    house_serve(h);
    loop_until(h->base, rollout_state(h->rollout) == ROLLOUT_CANARY);
    pid_t canary = proc_pid(fleet_ready(h->fleet, ROLE_CANARY));
    reload(h, "canary.json");
    assert_canary(h, "canary.json");
    assert_int_equal(proc_pid(fleet_ready(h->fleet, ROLE_CANARY)), canary);
}

static void test_slowdown(void **state)
{
    struct house *h = *state;
    struct asked asked[1];
    house_serve(h);
    h->settings->slowdown_ms = 25;
    assert_false(rollout_slowdown(h->rollout));
    assert_true(rollout_toggle_slowdown(h->rollout)); /* also for the next canary */
    evil_write("canary.json", "ready delay");
    reload(h, "canary.json");
    loop_until(h->base, rollout_state(h->rollout) == ROLLOUT_CANARY);
    house_ask_all(h, asked, 1, ROUTING_TO_CANARY);
    assert_true(asked[0].output == 25);
    h->settings->slowdown_ms = 3;
    rollout_set_settings(h->rollout, h->settings);
    house_ask_all(h, asked, 1, ROUTING_TO_CANARY);
    assert_true(asked[0].output == 3);
    assert_false(rollout_toggle_slowdown(h->rollout));
    house_ask_all(h, asked, 1, ROUTING_TO_CANARY);
    assert_true(asked[0].output == 0);
    assert_int_equal(house_n_events(h, "slowdown"), 2);
}

/* --- The beginning and the end ----------------------------------------------*/

static void test_nothing_to_serve(void **state)
{
    static const char *const scripts[] = {NULL, "refuse exit=65"};
    struct house *h = *state;
    for (int i = 0; i < 2; i++) {
        if (scripts[i] != NULL)
            evil_write("stable.json", scripts[i]);
        rollout_start(h->rollout, NULL);
        loop_until(h->base, h->n_hopeless == i + 1);
        assert_string_equal(h->code, i == 0 ? "model-not-found" : "model-invalid");
    }
    assert_int_equal(h->n_serving, 0);
    assert_refused(h, "stable.json", "unavailable");
}

static void test_stop(void **state)
{
    struct house *h = *state;
    struct ordered o;
    house_serve(h);
    evil_write("slow.json", "sleep");
    order_ok(h, &o, "slow.json", false);
    loop_until(h->base, fleet_n_procs(h->fleet) == 2);
    rollout_stop(h->rollout);
    assert_int_equal(o.n_done, 1);
    assert_string_equal(o.code, "superseded");
    assert_refused(h, "stable.json", "unavailable");
    assert_no_canary(h, "stable.json");
}

/* --- With the worker and the models that users have -------------------------*/

static void test_with_real_models(void **state)
{
    struct house *h = *state;
    struct ordered o;
    struct promotion p;
    struct asked asked[2];
    struct err e;
    h->settings->warmup_requests = 10;
    house_serve(h);
    order_ok(h, &o, "models/model_v2.json", false);
    loop_until(h->base, o.n_done > 0);
    assert_string_equal(o.text, "");
    assert_canary(h, "model_v2.json");
    house_ask_all(h, &asked[0], 1, ROUTING_TO_STABLE);
    house_ask_all(h, &asked[1], 1, ROUTING_TO_CANARY);
    assert_memory_equal(asked[0].version, "model_v1@", 9);
    assert_memory_equal(asked[1].version, "model_v2@", 9);
    assert_true(asked[0].output > 0 && asked[0].output < 1 && asked[1].output > 0);
    assert_int_equal(house_promote(h, false, &p, &e), 0);
    assert_string_equal(p.previous, "model_v1.json");
    assert_string_equal(p.now, "model_v2.json");
    loop_until(h->base, fleet_n_procs(h->fleet) == 1);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, house_setup, house_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_event_names),
        TEST(test_deploy),
        TEST(test_refused_model_changes_nothing),
        TEST(test_refused_successor_changes_nothing),
        TEST(test_timeout_of_a_deployment),
        TEST(test_checksum),
        TEST(test_replace),
        TEST(test_replace_while_loading),
        TEST(test_replace_at_once),
        TEST(test_promote),
        TEST(test_promote_against_an_alert),
        TEST(test_promote_what_is_not_there),
        TEST(test_promote_between_death_and_restart),
        TEST(test_rollback),
        TEST(test_rollback_while_loading),
        TEST(test_rollback_while_replacing),
        TEST(test_verdict),
        TEST(test_verdict_while_replacing),
        TEST(test_crash_loop),
        TEST(test_canary_model_at_the_start),
        TEST(test_reload),
        TEST(test_reload_does_not_bring_back),
        TEST(test_reload_supersedes),
        TEST(test_reload_before_serving),
        TEST(test_slowdown),
        TEST(test_nothing_to_serve),
        TEST(test_stop),
        cmocka_unit_test_setup_teardown(test_with_real_models, house_setup_real, house_teardown),
    };
    return cmocka_run_group_tests_name("rollout", tests, NULL, NULL);
}
