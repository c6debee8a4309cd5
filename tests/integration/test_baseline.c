/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The baseline of the real server: what users and operators see of it, and that
 * neither its coming and going nor its trouble costs an answer.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "common/mem.h"
#include "tests/support/answer.h"
#include "tests/support/evil.h"
#include "tests/support/server.h"
#include "tests/support/status.h"
#include "tests/support/traffic.h"

#define N_CLIENTS    12
#define CONFIG(rest) "{\"auto_rollback\": false" rest "}"

static const char *const by_hand[] = {"--auto-rollback=false", NULL};

static void deploy(struct server *s)
{
    answer_is(server_post(s, "/admin/deploy-canary", "{\"model_path\":\"model_v2.json\"}"), 200);
}

static void end_clean(struct server *s, struct traffic **t)
{
    traffic_wait(*t, 200);
    struct traffic_report r = traffic_stop(t);
    traffic_expect_clean(&r);
    server_stop(s);
}

static bool has_no_baseline(struct server *s, void *arg)
{
    struct status_worker workers[STATUS_MAX_PIDS];
    int n = status_workers(status_get(s), workers), n_baseline = 0;
    (void)arg;
    for (int i = 0; i < n; i++)
        n_baseline += strcmp(workers[i].role, "baseline") == 0;
    return n_baseline == 0;
}

static void await_none(struct server *s)
{
    server_wait_until(s, has_no_baseline, NULL, "no baseline", 10000);
    answer_is_null(status_get(s), "baseline");
}

/* --- What is seen of it -----------------------------------------------------*/

/* To users it is stable; the header tells who it was. */
static void test_answers(void **state)
{
    int n_baseline = 0, n_canary = 0;
    (void)state;
    struct server *s = server_start(by_hand);
    deploy(s);
    status_wait_baseline(s);
    double before = answer_number(status_get(s), "requests.answered_by_baseline");
    for (int i = 0; i < 100; i++) {
        const struct http_answer *a = server_predict(s);
        bool is_canary = strcmp(answer_header(a, "X-Canary-Arm", NULL), "canary") == 0;
        bool is_baseline = strcmp(answer_header(a, "X-Canary-Arm", NULL), "baseline") == 0;
        answer_string_is(a, "model_used", is_canary ? "canary" : "stable");
        n_canary += is_canary;
        n_baseline += is_baseline;
        if (is_baseline)
            answer_header(a, "X-Model-Version",
                          answer_string(status_get(s), "stable.model_version"));
    }
    assert_int_equal(n_canary, 10);
    assert_int_equal(n_baseline, 10);
    const struct http_answer *status = status_get(s);
    assert_near(answer_number(status, "requests.answered_by_baseline") - before, 10, 0, "requests");
    answer_string_is(status, "baseline.sha256", answer_string(status, "stable.sha256"));
    assert_true(answer_bool(status, "baseline.ready"));
    answer_is_null(status, "next_baseline");
    server_stop(s);
}

static void test_switched_off(void **state)
{
    (void)state;
    struct server *s =
        server_start((const char *const[]){"--auto-rollback=false", "--baseline=off", NULL});
    deploy(s);
    for (int i = 0; i < 30; i++)
        assert_string_not_equal(answer_header(server_predict(s), "X-Canary-Arm", NULL), "baseline");
    answer_is_null(status_get(s), "baseline");
    server_stop(s);
}

/* --- Coming and going under traffic -----------------------------------------*/

/* Every way in which a baseline ends, and the next one begins. */
static void test_deployments(void **state)
{
    static const char *const orders[] = {"rollback-canary", "promote-canary"};
    (void)state;
    struct server *s = server_start(by_hand);
    struct traffic *t = traffic_start(s->port, N_CLIENTS);
    for (int i = 0; i < 6; i++) {
        char path[64];
        deploy(s);
        pid_t first = status_wait_pid(s, "baseline", 0);
        if (i % 3 == 0) {
            answer_is(server_post(s, "/admin/deploy-canary",
                                  "{\"model_path\":\"model_v1.json\",\"replace\":true}"),
                      200);
            status_wait_pid(s, "baseline", first);
        }
        traffic_wait(t, 100);
        snprintf(path, sizeof path, "/admin/%s", orders[i % 2]);
        answer_is(server_post(s, path, NULL), 200);
        await_none(s);
    }
    end_clean(s, &t);
}

static void set_share(struct server *s, const char *percent, const char *baseline)
{
    char *config =
        mem_printf(CONFIG(", \"canary_percent\": %s, \"baseline\": \"%s\""), percent, baseline);
    server_write_config(s, config);
    server_signal(s, SIGHUP);
    free(config);
}

static void test_shares(void **state)
{
    (void)state;
    struct server *s = server_start_config(CONFIG(""), NULL);
    struct traffic *t = traffic_start(s->port, N_CLIENTS);
    deploy(s);
    for (int i = 0; i < 4; i++) {
        status_wait_pid(s, "baseline", 0);
        traffic_wait(t, 100);
        set_share(s, i % 2 == 0 ? "50" : "20", i % 2 == 0 ? "on" : "off");
        await_none(s);
        traffic_wait(t, 100);
        set_share(s, i % 2 == 0 ? "33.33" : "10", "on");
    }
    end_clean(s, &t);
}

/* --- Trouble ----------------------------------------------------------------*/

static void test_killed_and_stopped(void **state)
{
    static const int signals[] = {SIGKILL, SIGSTOP, SIGABRT, SIGSTOP, SIGSEGV};
    (void)state;
    struct server *s =
        server_start((const char *const[]){"--auto-rollback=false", "--try-deadline-ms=150",
                                           "--hang-ms=400", "--predict-deadline-ms=9000", NULL});
    deploy(s);
    pid_t canary = status_pid(s, "canary");
    struct traffic *t = traffic_start(s->port, N_CLIENTS);
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++) {
        pid_t old = status_wait_pid(s, "baseline", 0);
        traffic_wait(t, 100);
        assert_int_equal(kill(old, signals[i]), 0);
        status_wait_pid(s, "baseline", old);
        process_wait_gone(old, 5000);
    }
    assert_int_equal(status_pid(s, "canary"), canary); /* no deployment was hurt */
    answer_string_is(status_get(s), "state", "canary");
    end_clean(s, &t);
}

static void baseline_says(struct server *s, const char *text)
{
    const struct http_answer *a = server_get(s, "/admin/check-canary-health");
    if (strstr(answer_string(a, "baseline"), text) == NULL)
        fail_msg("expected \"%s\": %s", text, a->body);
}

/* Workers of model_v1.json run this line first. */
static void begin_trouble(struct server *s, const char *line)
{
    const char *path = server_path(s, "trouble.new");
    FILE *f = fopen(path, "we");
    assert_non_null(f);
    fprintf(f, "%s\n", line);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(rename(path, server_path(s, "trouble")), 0);
}

static struct server *start_with_trouble(void)
{
    char worker[EVIL_PATH_SIZE];
    struct server *s = server_prepare();
    const char *path = server_path(s, "worker.sh");
    built_program(worker, "canary-worker");
    begin_trouble(s, "");
    FILE *f = fopen(path, "we");
    assert_non_null(f);
    fprintf(f, "#!/bin/sh\nif [ \"$1\" = model_v1.json ]; then . %s; fi\nexec %s \"$@\"\n",
            server_path(s, "trouble"), worker);
    assert_int_equal(fchmod(fileno(f), 0700), 0);
    assert_int_equal(fclose(f), 0);
    char *option = mem_printf("--worker-program=%s", path);
    server_launch(s,
                  (const char *const[]){"--auto-rollback=false", "--worker-user=", option, NULL});
    free(option);
    server_wait_ready(s);
    return s;
}

/* Without a baseline there is nothing to compare with, however slow the canary is: the
 * report says so, and the verdict comes when there is one. */
static void test_no_verdict_without_a_baseline(void **state)
{
    (void)state;
    struct server *s = start_with_trouble();
    baseline_says(s, "There is no canary");
    answer_is(server_post(s, "/admin/toggle-slowdown", NULL), 200);
    begin_trouble(s, "exit 65");
    deploy(s);
    for (int i = 0; i < 600; i++)
        server_predict(s);
    const struct http_answer *a = server_get(s, "/admin/check-canary-health");
    assert_true(answer_number(a, "p_value") < 0.001); /* the textbook compares with stable */
    assert_false(answer_bool(a, "alert_triggered"));
    assert_true(answer_number(a, "baseline_sample_count") == 0);
    baseline_says(s, "no verdict on latencies");
    begin_trouble(s, "");
    status_wait_baseline(s);
    baseline_says(s, "a second worker of the stable version");
    for (int i = 0; i < 100; i++) {
        for (int k = 0; k < 20; k++)
            server_predict(s);
        a = server_get(s, "/admin/check-canary-health");
        if (answer_bool(a, "alert_triggered"))
            break;
    }
    assert_true(answer_bool(a, "alert_triggered"));
    server_stop(s);
}

static void test_stable_itself_is_compared_with(void **state)
{
    (void)state;
    struct server *s =
        server_start((const char *const[]){"--auto-rollback=false", "--baseline=off", NULL});
    deploy(s);
    baseline_says(s, "the stable worker itself");
    server_stop(s);
}

/* One that is refused, never ready, or dies at once: deployed all the same, and answered
 * as soon as the canary is ready. */
static void test_a_baseline_that_never_comes(void **state)
{
    static const char *const lines[] = {"exit 65", "exec 4</dev/null", "exec sleep 1000",
                                        "kill -9 $$"};
    (void)state;
    struct server *s = start_with_trouble();
    struct traffic *t = traffic_start(s->port, N_CLIENTS);
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        begin_trouble(s, lines[i]);
        deploy(s);
        traffic_wait(t, 200);
        const struct http_answer *a = status_get(s);
        answer_string_is(a, "state", "canary");
        assert_false(answer_bool(a, "baseline.ready"));
        begin_trouble(s, "");
        if (i % 2 == 1) /* it is tried again, and then there is one */
            status_wait_pid(s, "baseline", 0);
        answer_is(server_post(s, "/admin/rollback-canary", NULL), 200);
    }
    end_clean(s, &t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SERVER_TEST(test_answers),
        SERVER_TEST(test_switched_off),
        SERVER_TEST(test_deployments),
        SERVER_TEST(test_shares),
        SERVER_TEST(test_killed_and_stopped),
        SERVER_TEST(test_a_baseline_that_never_comes),
        SERVER_TEST(test_no_verdict_without_a_baseline),
        SERVER_TEST(test_stable_itself_is_compared_with),
    };
    return cmocka_run_group_tests_name("baseline", tests, NULL, NULL);
}
