/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The specification's walk-through, command by command, in the bytes that its
 * curl lines send: a connection each, no length where there is no body.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/answer.h"
#include "tests/support/python.h"
#include "tests/support/server.h"
#include "tests/support/status.h"
#include "tests/support/workdir.h"

#define CURL           "User-Agent: curl/7.88.1\r\nAccept: */*\r\n"
#define CURL_JSON      CURL "Content-Type: application/json\r\n"
#define CHURN_V1       0.2222
#define CHURN_V2       0.1308
#define MAX_UNTIL_SLOW 1200 /* requests; the alert is due by 400, nearly always */

static const char *const by_hand[] = {"--auto-rollback=false", NULL};

static const struct http_answer *curl(struct server *s, const char *method, const char *path,
                                      const char *json)
{
    server_hang_up(s);
    const struct http_answer *a =
        server_ask(s, &(struct http_request){.method = method,
                                             .path = path,
                                             .headers = json != NULL ? CURL_JSON : CURL,
                                             .body = json});
    if (a->status != 200)
        fail_msg("%s %s: %s%s", method, path, a->head, a->body);
    return a;
}

static bool is_canary(const struct http_answer *a)
{
    const char *used = answer_string(a, "model_used");
    bool canary = strcmp(used, "canary") == 0;
    if (!canary)
        assert_string_equal(used, "stable");
    return canary;
}

static int pause_ms; /* of the client, after each request */

/* n requests as in the loop; returns how many the canary answered. */
static int traffic(struct server *s, int n)
{
    static const char *const keys[] = {"{\"churn_probability\":", "\"model_used\":",
                                       "\"latency_ms\":", "\"request_id\":\"req_", NULL};
    int n_canary = 0;
    for (int i = 0; i < n; i++) {
        const struct http_answer *a = curl(s, "POST", "/predict", GOOD_FEATURES);
        answer_has_in_order(a, keys);
        bool canary = is_canary(a);
        assert_near(answer_number(a, "churn_probability"), canary ? CHURN_V2 : CHURN_V1, 5e-4,
                    "churn_probability");
        if (answer_number(a, "latency_ms") <= 0)
            fail_msg("no latency: %s", a->body);
        n_canary += canary;
        if (pause_ms > 0)
            workdir_sleep_ms(pause_ms);
    }
    return n_canary;
}

static void deploy(struct server *s, const char *model_path)
{
    char body[128];
    int year, month, day, hour, minute, second, micros, end = 0;
    snprintf(body, sizeof body, "{\"model_path\": \"%s\"}", model_path);
    const struct http_answer *a = curl(s, "POST", "/admin/deploy-canary", body);
    answer_string_is(a, "status", "success");
    answer_string_is(a, "message", "Canary model deployed successfully");
    answer_string_is(a, "model_path", model_path);
    const char *start = answer_string(a, "canary_start_time");
    if (sscanf(start, "%4d-%2d-%2dT%2d:%2d:%2d.%6d+00:00%n", &year, &month, &day, &hour, &minute,
               &second, &micros, &end) != 7 ||
        start[end] != '\0' || end == 0)
        fail_msg("canary_start_time \"%s\"", start);
}

/* The health report with the specification's seven fields, of their types. */
static const struct http_answer *health(struct server *s)
{
    const struct http_answer *a = curl(s, "GET", "/admin/check-canary-health", NULL);
    answer_bool(a, "alert_triggered");
    answer_string(a, "message");
    double p = answer_number(a, "p_value");
    if (!(p >= 0 && p <= 1))
        fail_msg("p_value: %s", a->body);
    if (answer_number(a, "stable_avg_latency_ms") <= 0 ||
        answer_number(a, "canary_avg_latency_ms") <= 0)
        fail_msg("averages: %s", a->body);
    return a;
}

static void expect_counts(const struct http_answer *a, int n_stable, int n_canary)
{
    if (answer_number(a, "stable_sample_count") != n_stable ||
        answer_number(a, "canary_sample_count") != n_canary)
        fail_msg("expected %d and %d samples: %s", n_stable, n_canary, a->body);
}

static void expect_no_alert(struct server *s)
{
    const char *fine = "Canary performance is acceptable";
    const struct http_answer *a = health(s);
    assert_false(answer_bool(a, "alert_triggered"));
    assert_memory_equal(answer_string(a, "message"), fine, strlen(fine));
    expect_counts(a, 180, 20);
}

static void toggle(struct server *s, bool on)
{
    const struct http_answer *a = curl(s, "POST", "/admin/toggle-slowdown", NULL);
    assert_int_equal(answer_bool(a, "simulate_slowdown"), on);
    answer_string_is(a, "message",
                     on ? "Slowdown simulation enabled" : "Slowdown simulation disabled");
}

/* The guard keeps its error budget whatever the number of looks, so that once
 * in a while it wants more than 400 requests. Returns the report that alerts. */
static const struct http_answer *await_alert(struct server *s, int n_so_far)
{
    const struct http_answer *a = health(s);
    while (!answer_bool(a, "alert_triggered") && n_so_far < MAX_UNTIL_SLOW) {
        traffic(s, 50);
        n_so_far += 50;
        a = health(s);
    }
    if (!answer_bool(a, "alert_triggered"))
        fail_msg("no alert after %d requests: %s", n_so_far, a->body);
    print_message("alert by request %d, p = %g\n", n_so_far, answer_number(a, "p_value"));
    if (answer_number(a, "p_value") >= 0.05 ||
        answer_number(a, "canary_avg_latency_ms") <= answer_number(a, "stable_avg_latency_ms"))
        fail_msg("an alert without a reason: %s", a->body);
    return a;
}

static void expect_rolled_back(struct server *s)
{
    assert_int_equal(traffic(s, 20), 0);
    const struct http_answer *a = curl(s, "POST", "/predict", GOOD_FEATURES);
    assert_near(answer_number(a, "churn_probability"), CHURN_V1, 5e-4, "churn_probability");
    answer_string_is(a, "model_used", "stable");
}

static void walk_to_rollback(const char *model_path)
{
    struct server *s = server_start(by_hand);
    deploy(s, model_path);                 /* 1 */
    assert_int_equal(traffic(s, 200), 20); /* 2 */
    expect_no_alert(s);                    /* 3 */
    toggle(s, true);                       /* 4 */
    assert_int_equal(traffic(s, 200), 20); /* 5 */
    expect_counts(health(s), 360, 40);     /* 6 */
    answer_string_is(await_alert(s, 400), "message",
                     "ALERT: Canary latency is significantly higher than stable.");
    const struct http_answer *a = curl(s, "POST", "/admin/rollback-canary", NULL); /* 7 */
    answer_string_is(a, "status", "success");
    answer_string_is(a, "message", "Canary rolled back successfully");
    expect_rolled_back(s); /* 8 */
    server_stop(s);
}

static void walk_to_promotion(const char *model_path)
{
    struct server *s = server_start(by_hand);
    deploy(s, model_path);
    assert_int_equal(traffic(s, 200), 20);
    expect_no_alert(s);
    const struct http_answer *a = curl(s, "POST", "/admin/promote-canary", NULL);
    answer_string_is(a, "status", "success");
    answer_string_is(a, "message", "Canary promoted to stable successfully");
    answer_string_is(a, "previous_stable_model", "model_v1.json");
    answer_string_is(a, "new_stable_model", strchr(model_path, '/') + 1);
    for (int i = 0; i < 20; i++) {
        a = curl(s, "POST", "/predict", GOOD_FEATURES);
        answer_string_is(a, "model_used", "stable");
        assert_near(answer_number(a, "churn_probability"), CHURN_V2, 5e-4, "churn_probability");
    }
    server_stop(s);
}

static void test_rollback(void **state)
{
    (void)state;
    walk_to_rollback("models/model_v2.json");
}

/* The blocks of one that takes its time hold a request or two of each arm. */
static void test_rollback_by_a_slow_client(void **state)
{
    (void)state;
    pause_ms = 1;
    walk_to_rollback("models/model_v2.json");
    pause_ms = 0;
}

static void test_rollback_of_joblib(void **state)
{
    (void)state;
    SKIP_WITHOUT_SKLEARN();
    walk_to_rollback("models/model_v2.joblib");
}

static void test_promotion(void **state)
{
    (void)state;
    walk_to_promotion("models/model_v2.json");
}

static void test_promotion_of_joblib(void **state)
{
    (void)state;
    SKIP_WITHOUT_SKLEARN();
    walk_to_promotion("models/model_v2.joblib");
}

/* As it is out of the box: the judge rolls back by itself. */
static void test_automatic_rollback(void **state)
{
    (void)state;
    struct server *s = server_start(NULL);
    deploy(s, "models/model_v2.json");
    assert_int_equal(traffic(s, 200), 20);
    expect_no_alert(s);
    toggle(s, true);
    traffic(s, 200);
    const struct http_answer *decision = await_alert(s, 400);
    assert_true(answer_bool(decision, "rolled_back"));
    status_wait_state(s, "idle");
    expect_rolled_back(s);
    const struct http_answer *a = curl(s, "POST", "/admin/rollback-canary", NULL);
    answer_string_is(a, "message", "Canary rolled back successfully");
    answer_string_is(a, "rolled_back_by", "judge");
    a = health(s); /* as it was at the decision */
    assert_true(answer_bool(a, "alert_triggered"));
    assert_true(answer_bool(a, "rolled_back"));
    expect_counts(a, (int)answer_number(decision, "stable_sample_count"),
                  (int)answer_number(decision, "canary_sample_count"));
    assert_near(answer_number(a, "p_value"), answer_number(decision, "p_value"), 0, "p_value");
    toggle(s, false);
    deploy(s, "models/model_v2.json");
    a = curl(s, "GET", "/admin/check-canary-health", NULL);
    assert_false(answer_bool(a, "alert_triggered"));
    answer_is_null(a, "p_value");
    server_stop(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SERVER_TEST(test_rollback),
        SERVER_TEST(test_rollback_by_a_slow_client),
        SERVER_TEST(test_rollback_of_joblib),
        SERVER_TEST(test_promotion),
        SERVER_TEST(test_promotion_of_joblib),
        SERVER_TEST(test_automatic_rollback),
    };
    return cmocka_run_group_tests_name("specification", tests, NULL, NULL);
}
