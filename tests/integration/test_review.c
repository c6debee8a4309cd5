/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What a reviewer found: canaries that fail without being slow, settings that
 * came too late, signals meant for others, and no descriptors left.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/jsonx.h"
#include "tests/support/answer.h"
#include "tests/support/server.h"
#include "tests/support/status.h"
#include "tests/support/workdir.h"

/* Answers to finite inputs with infinity, which is no answer. */
#define OVERFLOWING                                                                                \
    "{\"format\":\"canaryd-model\",\"version\":1,\"kind\":\"linear-regression\",\"n_features\":5," \
    "\"linear\":{\"coefficients\":[1e308,1e308,1e308,1e308,1e308],\"intercept\":1e308},"           \
    "\"link\":\"identity\"}"

#define DEPLOY(model) "{\"model_path\":\"" model "\",\"percent\":50}"

static void deploy(struct server *s, const char *body)
{
    answer_is(server_post(s, "/admin/deploy-canary", body), 200);
}

static void predict(struct server *s, int n)
{
    for (int i = 0; i < n; i++)
        server_predict(s);
}

/* A canary that is too slow to answer at all is no safer than one that is slow. */
static void test_timeouts_are_evidence(void **state)
{
    static const char *const args[] = {"--slowdown-ms=500", "--try-deadline-ms=20",
                                       "--min-samples=30", NULL};
    (void)state;
    struct server *s = server_start(args);
    answer_is(server_post(s, "/admin/toggle-slowdown", NULL), 200);
    deploy(s, DEPLOY("model_v2.json"));
    predict(s, 100);
    const struct http_answer *a = server_get(s, "/admin/check-canary-health");
    assert_true(answer_bool(a, "alert_triggered"));
    answer_string_is(a, "rolled_back_by", "judge");
    server_stop(s);
}

/* Faults are evidence too: what asks it again of stable must not hide them. */
static void test_failing_canary_is_rolled_back(void **state)
{
    (void)state;
    struct server *s = server_start(NULL);
    workdir_write_text(s->dir, "models/overflowing.json", OVERFLOWING);
    deploy(s, DEPLOY("overflowing.json"));
    for (int i = 0; i < 40 && status_pid(s, "canary") != 0; i++) {
        predict(s, 20);
        workdir_sleep_ms(2); /* a block lasts some milliseconds */
    }
    const struct http_answer *a = server_get(s, "/admin/check-canary-health");
    assert_true(answer_bool(a, "rolled_back"));
    answer_string_is(a, "message", "ALERT: Canary error rate is significantly higher than stable.");
    server_stop(s);
}

static void test_auto_rollback_switched_on(void **state)
{
    (void)state;
    struct server *s = server_start_config("{\"auto_rollback\": false}", NULL);
    answer_is(server_post(s, "/admin/toggle-slowdown", NULL), 200);
    deploy(s, DEPLOY("model_v2.json"));
    predict(s, 80);
    const struct http_answer *a = server_get(s, "/admin/check-canary-health");
    assert_true(answer_bool(a, "alert_triggered"));
    assert_true(answer_bool(a, "canary_active"));
    server_write_config(s, "{\"auto_rollback\": true}");
    server_signal(s, SIGHUP);
    status_wait_state(s, "idle");
    answer_string_is(server_get(s, "/admin/check-canary-health"), "rolled_back_by", "judge");
    server_stop(s);
}

static void test_failed_canary_model_is_tried_again(void **state)
{
    (void)state;
    struct server *s = server_start_config("{}", NULL);
    server_write_config(s, "{\"canary_model\": \"late.json\"}");
    server_signal(s, SIGHUP);
    server_wait_log(s, "no file \"late.json\"");
    workdir_copy("models/model_v2.json", s->dir, "models/late.json");
    server_signal(s, SIGHUP);
    status_wait_state(s, "canary");
    answer_string_is(status_get(s), "canary.model", "late.json");
    server_stop(s);
}

/* What can't change before the next start does not, whatever the file says. */
static void test_settings_in_force(void **state)
{
    (void)state;
    struct server *s = server_start_config("{}", NULL);
    server_write_config(s, "{\"stable_model\": \"other.json\", \"alpha\": 0.01}");
    server_signal(s, SIGHUP);
    server_wait_log(s, "settings reloaded");
    const struct http_answer *a = status_get(s);
    answer_string_is(a, "settings.stable_model", "model_v1.json");
    assert_near(answer_number(a, "settings.alpha"), 0.01, 1e-12, "alpha");
    server_stop(s);
}

/* Ctrl-C reaches a whole process group; the workers must outlive the drain. */
static void test_workers_have_groups_of_their_own(void **state)
{
    pid_t pids[STATUS_MAX_PIDS];
    (void)state;
    struct server *s = server_start(NULL);
    deploy(s, DEPLOY("model_v2.json"));
    int n = status_pids(s, pids);
    assert_int_equal(n, 2);
    for (int i = 0; i < n; i++)
        assert_int_equal(getpgid(pids[i]), pids[i]);
    server_stop(s);
}

/* Without a descriptor for the next connection the loop must not spin. */
static void test_no_descriptors_left(void **state)
{
    struct rlimit all;
    struct rlimit few = {48, 48};
    struct http *idle[64];
    struct err e = {0};
    (void)state;
    struct server *s = server_prepare();
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &all), 0);
    few.rlim_max = all.rlim_max;
    server_launch(s, NULL);
    server_wait_ready(s);
    few.rlim_max = few.rlim_cur;
    assert_int_equal(prlimit(s->pid, RLIMIT_NOFILE, &few, NULL), 0);
    for (int i = 0; i < 64; i++) /* the kernel's backlog takes them all */
        idle[i] = http_open(s->port, &e);
    server_wait_log(s, "no connection can be accepted");
    for (int i = 0; i < 64; i++)
        http_close(&idle[i]);
    server_predict(s); /* it is accepted once there is room */
    const char *log = server_log(s);
    int n_lines = 0;
    for (const char *at = strstr(log, "accept"); at != NULL; at = strstr(at + 1, "accept"))
        n_lines++;
    assert_in_range(n_lines, 1, 10);
    server_stop(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SERVER_TEST(test_timeouts_are_evidence),
        SERVER_TEST(test_failing_canary_is_rolled_back),
        SERVER_TEST(test_auto_rollback_switched_on),
        SERVER_TEST(test_failed_canary_model_is_tried_again),
        SERVER_TEST(test_settings_in_force),
        SERVER_TEST(test_workers_have_groups_of_their_own),
        SERVER_TEST(test_no_descriptors_left),
    };
    return cmocka_run_group_tests_name("review", tests, NULL, NULL);
}
