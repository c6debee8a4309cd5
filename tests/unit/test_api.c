/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The endpoints through the gateway, in front of the wired rooms: what bodies
 * are refused and where the pointer points, and the shapes of the answers.
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
#include "supervisor/api_admin.h"
#include "supervisor/api_predict.h"
#include "supervisor/api_status.h"
#include "supervisor/gateway.h"
#include "supervisor/judge.h"
#include "supervisor/listen.h"
#include "supervisor/modelref.h"
#include "supervisor/proc.h"
#include "supervisor/rollout.h"
#include "supervisor/settings.h"
#include "tests/support/house.h"
#include "tests/support/raw.h"

static struct {
    struct access *access;
    struct gateway *gateway;
    struct api_predict *predict;
    struct api_admin *admin;
    struct api_status *status;
    struct raw *client;
    char address[LISTEN_TEXT_SIZE];
} front;

static int setup(void **state)
{
    struct err e;
    const struct gateway_options options = {.max_body_bytes = 65536,
                                            .access = front.access = access_new()};
    if (house_setup(state) < 0)
        return -1;
    struct house *h = *state;
    const struct api_status_rooms rooms = {.rollout = h->rollout,
                                           .fleet = h->fleet,
                                           .router = h->router,
                                           .journal = h->journal,
                                           .judge = h->judge};
    int fd = listen_on("127.0.0.1:0", &e);
    listen_address(fd, front.address);
    front.gateway = gateway_new(h->base, &options);
    front.predict = api_predict_new(front.gateway, h->router, h->settings);
    front.admin = api_admin_new(front.gateway, h->rollout, h->judge, h->fleet);
    front.status = api_status_new(front.gateway, &rooms, h->settings);
    house_serve(h);
    if (gateway_accept(front.gateway, fd, DOOR_LOCAL, &e) < 0)
        return -1;
    front.client = raw_open(h->base, front.address);
    return 0;
}

static int teardown(void **state)
{
    struct house *h = *state;
    rollout_stop(h->rollout);
    fleet_kill_all(h->fleet);
    loop_until(h->base, gateway_n_pending(front.gateway) == 0);
    raw_close(&front.client);
    gateway_free(&front.gateway);
    access_free(&front.access);
    api_predict_free(&front.predict);
    api_admin_free(&front.admin);
    api_status_free(&front.status);
    return house_teardown(state);
}

/* Sends it and returns the body, which is strict JSON; the caller deletes it. */
static cJSON *ask(const char *method, const char *path, const char *headers, const char *body,
                  int status)
{
    struct err e = {0};
    char *request =
        mem_printf("%s %s HTTP/1.1\r\nHost: localhost\r\n%sContent-Length: %zu\r\n\r\n%s", method,
                   path, headers, strlen(body), body);
    if (raw_ask(front.client, request) != status)
        fail_msg("%s %s %s: %d %s", method, path, body, front.client->status, front.client->body);
    free(request);
    cJSON *j = jsonx_parse(front.client->body, strlen(front.client->body), &e);
    if (j == NULL)
        fail_msg("%s: %s", front.client->body, e.text);
    return j;
}

static const char *text_of(const cJSON *j, const char *name)
{
    const cJSON *item = jsonx_member(j, name);
    if (!cJSON_IsString(item))
        fail_msg("there is no text \"%s\" in %s", name, front.client->body);
    return item->valuestring;
}

static void post_ok(const char *path, const char *body)
{
    cJSON_Delete(ask("POST", path, "", body, 200));
}

struct refusal {
    const char *body;
    int status;
    const char *code;
    const char *pointer; /* NULL: there is none */
};

static void check_refusal(const char *path, const struct refusal *r)
{
    cJSON *j = ask("POST", path, "", r->body, r->status);
    const cJSON *errors = jsonx_member(j, "errors");
    if (strcmp(text_of(j, "code"), r->code) != 0 || (errors != NULL) != (r->pointer != NULL) ||
        (errors != NULL && strcmp(text_of(errors->child, "pointer"), r->pointer) != 0))
        fail_msg("%s: %s", r->body, front.client->body);
    cJSON_Delete(j);
}

/* --- Predict ----------------------------------------------------------------*/

#define FIVE "[0.5,1.2,0.8,0.3,1.1]"

static void test_predict(void **state)
{
    (void)state;
    cJSON *j = ask("POST", "/predict", "X-Request-ID: mine\r\n", "{\"features\":" FIVE "}", 200);
    assert_string_equal(j->child->string, "badness"); /* the model's output name, first */
    assert_true(j->child->valuedouble == 0.5);
    assert_string_equal(text_of(j, "model_used"), "stable");
    assert_true(jsonx_member(j, "latency_ms")->valuedouble >= 0);
    assert_string_equal(text_of(j, "request_id"), "mine");
    assert_string_equal(raw_header(front.client, "X-Request-ID"), "mine");
    assert_string_equal(raw_header(front.client, "X-Canary-Arm"), "stable");
    assert_memory_equal(raw_header(front.client, "X-Model-Version"), "stable@", 7);
    cJSON_Delete(j);
    cJSON_Delete(ask("POST", "/predict", "", "{\"user\":1,\"features\":" FIVE ",\"x\":[]}", 200));
}

static const struct refusal bad_predictions[] = {
    {"", 400, "empty-body", NULL},
    {"{", 400, "bad-json", NULL},
    {"{\"features\":" FIVE "}x", 400, "bad-json", NULL},
    {"[]", 422, "not-an-object", NULL},
    {"null", 422, "not-an-object", NULL},
    {"{}", 422, "missing-features", "#/features"},
    {"{\"Features\":" FIVE "}", 422, "missing-features", "#/features"},
    {"{\"features\":\"x\"}", 422, "wrong-type", "#/features"},
    {"{\"features\":[]}", 422, "wrong-length", "#/features"},
    {"{\"features\":[1,2,3,4]}", 422, "wrong-length", "#/features"},
    {"{\"features\":[1,2,3,4,5,6]}", 422, "wrong-length", "#/features"},
    {"{\"features\":[1,2,null,4,5]}", 422, "wrong-type", "#/features/2"},
    {"{\"features\":[1,2,3,4,\"5\"]}", 422, "wrong-type", "#/features/4"},
    {"{\"features\":[1,2,3,4,1e999]}", 422, "not-finite", "#/features/4"},
    {"{\"features\":[1,2,3,4,01]}", 400, "bad-json", NULL},
    {"{\"features\":[1,2,3,4,5],\"features\":[1,2,3,4,5]}", 400, "duplicate-key", NULL},
};

static void test_predict_refusals(void **state)
{
    struct house *h = *state;
    for (size_t i = 0; i < sizeof bad_predictions / sizeof bad_predictions[0]; i++)
        check_refusal("/predict", &bad_predictions[i]);
    assert_int_equal(router_counts(h->router)->n_requests, 0);
}

static void test_predict_routing(void **state)
{
    struct house *h = *state;
    const char *features = "{\"features\":" FIVE "}";
    evil_write("canary.json", "ready");
    post_ok("/admin/deploy-canary", "{\"model_path\":\"canary.json\"}");
    for (int i = 0; i < 5; i++) {
        cJSON *j = ask("POST", "/predict", "X-Canary: Always\r\n", features, 200);
        assert_string_equal(text_of(j, "model_used"), "canary");
        cJSON_Delete(j);
        j = ask("POST", "/predict", "X-Canary: never\r\n", features, 200);
        assert_string_equal(text_of(j, "model_used"), "stable");
        cJSON_Delete(j);
    }
    assert_int_equal(h->n_samples[ARM_STABLE] + h->n_samples[ARM_CANARY], 0);
    cJSON *j = ask("POST", "/predict", "X-Canary: perhaps\r\n", features, 400);
    assert_string_equal(text_of(j, "code"), "bad-header");
    cJSON_Delete(j);
}

/* --- Deploy, promote, roll back ---------------------------------------------*/

static const struct refusal bad_deployments[] = {
    {"", 400, "missing-model-path", "#/model_path"},
    {"{}", 400, "missing-model-path", "#/model_path"},
    {"{\"model_path\":\"\"}", 400, "missing-model-path", "#/model_path"},
    {"{\"model_path\":7}", 422, "wrong-type", "#/model_path"},
    {"{\"model_path\":", 400, "bad-json", NULL},
    {"[1]", 422, "not-an-object", NULL},
    {"{\"model\":\"x.json\"}", 422, "unknown-key", "#/model"},
    {"{\"force\":true}", 422, "unknown-key", "#/force"},
    {"{\"model_path\":\"x.json\",\"percent\":0}", 422, "out-of-range", "#/percent"},
    {"{\"model_path\":\"x.json\",\"percent\":50.1}", 422, "out-of-range", "#/percent"},
    {"{\"model_path\":\"x.json\",\"percent\":-1}", 422, "out-of-range", "#/percent"},
    {"{\"model_path\":\"x.json\",\"percent\":\"5\"}", 422, "wrong-type", "#/percent"},
    {"{\"model_path\":\"x.json\",\"replace\":1}", 422, "wrong-type", "#/replace"},
    {"{\"model_path\":\"x.json\",\"sha256\":\"abc\"}", 422, "out-of-range", "#/sha256"},
    {"{\"model_path\":\"x.json\",\"sha256\":null}", 422, "wrong-type", "#/sha256"},
    {"{\"model_path\":\"nowhere.json\"}", 404, "model-not-found", NULL},
    {"{\"model_path\":\"../etc/passwd\"}", 400, "path-outside-model-dir", NULL},
    {"{\"model_path\":\"/etc/passwd\"}", 400, "path-outside-model-dir", NULL},
    {"{\"model_path\":\"refused.json\"}", 422, "model-invalid", NULL},
    {"{\"model_path\":\"narrow.json\"}", 409, "incompatible-inputs", NULL},
    /* pointers are escaped: RFC 6901 */
    {"{\"a/b~c\":1}", 422, "unknown-key", "#/a~1b~0c"},
};

static void test_deploy_refusals(void **state)
{
    struct house *h = *state;
    evil_write("refused.json", "refuse exit=65");
    evil_write("narrow.json", "ready=2");
    for (size_t i = 0; i < sizeof bad_deployments / sizeof bad_deployments[0]; i++)
        check_refusal("/admin/deploy-canary", &bad_deployments[i]);
    assert_int_equal(rollout_state(h->rollout), ROLLOUT_IDLE);
}

static void test_deploy_and_promote(void **state)
{
    const struct refusal again = {"{\"model_path\":\"canary.json\"}", 409, "canary-active", NULL};
    (void)state;
    evil_write("canary.json", "ready");
    cJSON *j = ask("POST", "/admin/deploy-canary", "",
                   "{\"model_path\":\"canary.json\",\"percent\":12.5}", 200);
    assert_string_equal(text_of(j, "status"), "success");
    assert_string_equal(text_of(j, "message"), "Canary model deployed successfully");
    assert_string_equal(text_of(j, "model_path"), "canary.json");
    assert_memory_equal(text_of(j, "model_version"), "canary@", 7);
    assert_int_equal(strlen(text_of(j, "sha256")), 64);
    assert_int_equal(strlen(text_of(j, "canary_start_time")),
                     strlen("2025-08-03T20:16:00.123456+00:00"));
    cJSON_Delete(j);
    check_refusal("/admin/deploy-canary", &again);
    j = ask("POST", "/admin/promote-canary", "", "", 200);
    assert_string_equal(text_of(j, "message"), "Canary promoted to stable successfully");
    assert_string_equal(text_of(j, "previous_stable_model"), "stable.json");
    assert_string_equal(text_of(j, "new_stable_model"), "canary.json");
    cJSON_Delete(j);
}

static const struct refusal bad_promotions[] = {
    {"", 409, "no-canary", NULL},
    {"{\"force\":true}", 409, "no-canary", NULL},
    {"{\"force\":1}", 422, "wrong-type", "#/force"},
    {"{\"percent\":1}", 422, "unknown-key", "#/percent"},
    {"true", 422, "not-an-object", NULL},
};

static void test_promote_refusals(void **state)
{
    const struct refusal alert = {"{\"force\":false}", 409, "alert-stands", NULL};
    struct house *h = *state;
    for (size_t i = 0; i < sizeof bad_promotions / sizeof bad_promotions[0]; i++)
        check_refusal("/admin/promote-canary", &bad_promotions[i]);
    h->settings->auto_rollback = false;
    evil_write("canary.json", "ready");
    post_ok("/admin/deploy-canary", "{\"model_path\":\"canary.json\"}");
    house_feed(h, 40, 1, 9);
    check_refusal("/admin/promote-canary", &alert);
    post_ok("/admin/promote-canary", "{\"force\":true}");
}

static void test_rollback(void **state)
{
    const struct refusal none = {"", 409, "no-canary", NULL};
    struct house *h = *state;
    check_refusal("/admin/rollback-canary", &none);
    evil_write("canary.json", "ready");
    post_ok("/admin/deploy-canary", "{\"model_path\":\"canary.json\"}");
    cJSON *j = ask("POST", "/admin/rollback-canary", "", "", 200);
    assert_string_equal(text_of(j, "message"), "Canary rolled back successfully");
    assert_null(jsonx_member(j, "rolled_back_by"));
    cJSON_Delete(j);
    post_ok("/admin/deploy-canary", "{\"model_path\":\"canary.json\"}");
    house_feed(h, 40, 1, 9);
    j = ask("POST", "/admin/rollback-canary", "", "", 200);
    assert_string_equal(text_of(j, "rolled_back_by"), "judge");
    cJSON_Delete(j);
    j = ask("GET", "/admin/check-canary-health", "", "", 200);
    assert_true(cJSON_IsTrue(jsonx_member(j, "alert_triggered")));
    assert_true(cJSON_IsTrue(jsonx_member(j, "rolled_back")));
    cJSON_Delete(j);
}

static void test_slowdown(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        cJSON *j = ask("POST", "/admin/toggle-slowdown", "", "", 200);
        assert_int_equal(cJSON_IsTrue(jsonx_member(j, "simulate_slowdown")), i == 0);
        assert_string_equal(text_of(j, "message"), i == 0 ? "Slowdown simulation enabled"
                                                          : "Slowdown simulation disabled");
        cJSON_Delete(j);
    }
}

/* --- Status and probes ------------------------------------------------------*/

static void test_status(void **state)
{
    struct house *h = *state;
    evil_write("canary.json", "ready");
    post_ok("/admin/deploy-canary", "{\"model_path\":\"canary.json\",\"percent\":25}");
    post_ok("/predict", "{\"features\":" FIVE "}");
    cJSON *j = ask("GET", "/admin/status", "", "", 200);
    const cJSON *stable = jsonx_member(j, "stable");
    const cJSON *canary = jsonx_member(j, "canary");
    const cJSON *proc = jsonx_member(stable, "processes")->child;
    assert_string_equal(text_of(j, "state"), "canary");
    assert_string_equal(text_of(stable, "model"), "stable.json");
    assert_string_equal(text_of(canary, "model"), "canary.json");
    assert_true(jsonx_member(canary, "percent")->valuedouble == 25);
    assert_string_equal(text_of(proc, "state"), "ready");
    assert_string_equal(text_of(proc, "role"), "stable");
    assert_int_equal(jsonx_member(proc, "pid")->valueint,
                     proc_pid(fleet_ready(h->fleet, ROLE_STABLE)));
    assert_true(cJSON_IsNull(jsonx_member(j, "candidate")));
    assert_int_equal(jsonx_member(jsonx_member(j, "requests"), "total")->valueint, 1);
    assert_int_equal(jsonx_member(jsonx_member(j, "settings"), "min_samples")->valueint, 30);
    cJSON_Delete(j);
}

static void test_events(void **state)
{
    (void)state;
    post_ok("/admin/toggle-slowdown", "");
    cJSON *j = ask("GET", "/admin/events", "", "", 200);
    const cJSON *events = jsonx_member(j, "events");
    assert_int_equal(cJSON_GetArraySize(events), 2);
    assert_string_equal(text_of(events->child, "event"), "serving");
    assert_string_equal(text_of(events->child->next, "event"), "slowdown");
    cJSON_Delete(j);
}

/* Liveness never depends on a worker; readiness does. */
static void test_probes(void **state)
{
    struct house *h = *state;
    cJSON_Delete(ask("GET", "/livez", "", "", 200));
    cJSON_Delete(ask("GET", "/readyz", "", "", 200));
    cJSON_Delete(ask("GET", "/healthz", "", "", 200));
    fleet_retire(h->fleet, ROLE_STABLE);
    cJSON_Delete(ask("GET", "/livez", "", "", 200));
    cJSON_Delete(ask("GET", "/readyz", "", "", 503));
    house_start(h, ROLE_STABLE, "stable.json");
    loop_until(h->base, fleet_ready(h->fleet, ROLE_STABLE) != NULL);
    cJSON_Delete(ask("GET", "/readyz", "", "", 200));
    api_status_stop(front.status); /* as on SIGTERM, with all workers up */
    cJSON *j = ask("GET", "/readyz", "", "", 503);
    assert_string_equal(text_of(j, "code"), "not-ready");
    assert_string_equal(raw_header(front.client, "Retry-After"), "1");
    cJSON_Delete(j);
    cJSON_Delete(ask("GET", "/livez", "", "", 200));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_predict),
        TEST(test_predict_refusals),
        TEST(test_predict_routing),
        TEST(test_deploy_refusals),
        TEST(test_deploy_and_promote),
        TEST(test_promote_refusals),
        TEST(test_rollback),
        TEST(test_slowdown),
        TEST(test_status),
        TEST(test_events),
        TEST(test_probes),
    };
    return cmocka_run_group_tests_name("api", tests, NULL, NULL);
}
