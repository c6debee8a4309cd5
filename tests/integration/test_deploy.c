/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Deployments that succeed: by hash, in another's place, taken back; and the
 * share of a canary, which is exact.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/answer.h"
#include "tests/support/server.h"
#include "tests/support/status.h"

static const char *const by_hand[] = {"--auto-rollback=false", NULL};

static const struct http_answer *deploy(struct server *s, const char *body)
{
    return server_post(s, "/admin/deploy-canary", body);
}

static void test_sha256(void **state)
{
    (void)state;
    char body[256];
    struct server *s = server_start(by_hand);
    const struct http_answer *a = deploy(s, "{\"model_path\":\"models/model_v2.json\"}");
    answer_is(a, 200);
    const char *sha256 = answer_string(a, "sha256");
    assert_int_equal(strlen(sha256), 64);
    answer_string_is(status_get(s), "canary.sha256", sha256);
    answer_is(server_post(s, "/admin/rollback-canary", NULL), 200);
    status_wait_state(s, "idle");
    snprintf(body, sizeof body, "{\"model_path\":\"model_v2.json\",\"sha256\":\"%s\"}", sha256);
    answer_is(deploy(s, body), 200);
    server_stop(s);
}

/* The stable model as its own canary, a test of the test; and a share that is hardly
 * one. */
static void test_what_is_odd_but_right(void **state)
{
    (void)state;
    struct server *s = server_start(by_hand);
    const char *stable = answer_string(status_get(s), "stable.sha256");
    answer_string_is(deploy(s, "{\"model_path\":\"model_v1.json\"}"), "sha256", stable);
    const struct http_answer *a = status_get(s);
    answer_string_is(a, "canary.sha256", stable);
    assert_int_not_equal(status_pid(s, "canary"), status_pid(s, "stable"));
    a = deploy(s, "{\"model_path\":\"model_v2.json\",\"percent\":1e-9,\"replace\":true}");
    answer_is(a, 200);
    assert_near(answer_number(a, "percent"), 1e-9, 0, "percent");
    for (int i = 0; i < 50; i++)
        answer_string_is(server_predict(s), "model_used", "stable");
    server_stop(s);
}

static void test_replace(void **state)
{
    (void)state;
    struct server *s = server_start(by_hand);
    answer_is(deploy(s, "{\"model_path\":\"model_v2.json\"}"), 200);
    pid_t first = status_pid(s, "canary");
    assert_int_not_equal(first, 0);
    const struct http_answer *a = deploy(s, "{\"model_path\":\"model_v1.json\"}");
    answer_is_problem(a, 409, "canary-active");
    assert_int_equal(status_pid(s, "canary"), first);
    answer_string_is(status_get(s), "canary.model", "model_v2.json");
    answer_is_problem(deploy(s, "{\"model_path\":\"missing.json\",\"replace\":true}"), 404, NULL);
    assert_int_equal(status_pid(s, "canary"), first);
    answer_is(deploy(s, "{\"model_path\":\"model_v1.json\",\"replace\":true}"), 200);
    assert_int_not_equal(status_pid(s, "canary"), first);
    answer_string_is(status_get(s), "canary.model", "model_v1.json");
    process_wait_gone(first, 10000);
    server_stop(s);
}

static void test_without_a_canary(void **state)
{
    (void)state;
    struct server *s = server_start(NULL);
    answer_is_problem(server_post(s, "/admin/promote-canary", NULL), 409, "no-canary");
    answer_is_problem(server_post(s, "/admin/rollback-canary", NULL), 409, "no-canary");
    const struct http_answer *a = server_get(s, "/admin/check-canary-health");
    answer_is(a, 200);
    assert_false(answer_bool(a, "alert_triggered"));
    assert_false(answer_bool(a, "canary_active"));
    answer_string_is(a, "message", "No canary deployed.");
    server_stop(s);
}

static void test_rollback_twice(void **state)
{
    (void)state;
    struct server *s = server_start(by_hand);
    answer_is(deploy(s, "{\"model_path\":\"model_v2.json\"}"), 200);
    pid_t canary = status_pid(s, "canary");
    answer_is(server_post(s, "/admin/rollback-canary", NULL), 200);
    int again = server_post(s, "/admin/rollback-canary", NULL)->status;
    assert_true(again == 200 || again == 409);
    process_wait_gone(canary, 10000);
    status_wait_state(s, "idle");
    answer_is_null(status_get(s), "canary");
    server_stop(s);
}

/* Exactly percent of n requests, whatever the order they are drawn in. */
static const struct {
    const char *percent;
    int n, n_canary, slack;
} shares[] = {
    {"10", 100, 10, 0}, {"50", 100, 50, 0}, {"25", 100, 25, 0},  {"20", 50, 10, 0},
    {"15", 200, 30, 0}, {"1", 200, 2, 0},   {"2.5", 200, 5, 0},  {"33.33", 300, 100, 1},
    {"0.1", 500, 0, 1}, {"40", 55, 22, 0},  {"12.5", 80, 10, 0},
};

static void test_shares_are_exact(void **state)
{
    (void)state;
    struct server *s = server_start(by_hand);
    for (size_t i = 0; i < sizeof shares / sizeof shares[0]; i++) {
        char body[96];
        int n_canary = 0;
        snprintf(body, sizeof body,
                 "{\"model_path\":\"model_v2.json\",\"percent\":%s,\"replace\":true}",
                 shares[i].percent);
        answer_is(deploy(s, body), 200);
        for (int k = 0; k < shares[i].n; k++)
            n_canary += strcmp(answer_string(server_predict(s), "model_used"), "canary") == 0;
        if (abs(n_canary - shares[i].n_canary) > shares[i].slack)
            fail_msg("%s %%: %d of %d requests went to the canary, not %d", shares[i].percent,
                     n_canary, shares[i].n, shares[i].n_canary);
    }
    server_stop(s);
}

/* A place within the group is drawn, not fixed: ten groups that all have the
 * canary at the same place happen by chance once in 10^9. */
static void test_places_are_random(void **state)
{
    (void)state;
    struct server *s = server_start(by_hand);
    int first = -1;
    bool differ = false;
    answer_is(deploy(s, "{\"model_path\":\"model_v2.json\"}"), 200);
    for (int i = 0; i < 100; i++) {
        if (strcmp(answer_string(server_predict(s), "model_used"), "canary") != 0)
            continue;
        first = first < 0 ? i % 10 : first;
        differ = differ || i % 10 != first;
    }
    assert_true(differ);
    server_stop(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SERVER_TEST(test_sha256),
        SERVER_TEST(test_what_is_odd_but_right),
        SERVER_TEST(test_replace),
        SERVER_TEST(test_without_a_canary),
        SERVER_TEST(test_rollback_twice),
        SERVER_TEST(test_shares_are_exact),
        SERVER_TEST(test_places_are_random),
    };
    return cmocka_run_group_tests_name("deploy", tests, NULL, NULL);
}
