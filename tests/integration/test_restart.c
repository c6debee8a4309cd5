/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Coming back: after a crash, after an ordinary stop, with changed settings, and
 * with a state on disk that is damaged, newer, or can't be written.
 */
#include <dlfcn.h>
#include <limits.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/support/answer.h"
#include "tests/support/server.h"
#include "tests/support/status.h"
#include "tests/support/workdir.h"

static const char *const by_hand[] = {"--auto-rollback=false", NULL};

static void deploy(struct server *s, const char *body)
{
    answer_is(server_post(s, "/admin/deploy-canary", body), 200);
}

static void predict(struct server *s, int n)
{
    for (int i = 0; i < n; i++)
        server_predict(s);
}

static void crash(struct server *s)
{
    server_signal(s, SIGKILL);
    assert_int_equal(server_wait_exit(s, 5000), 128 + SIGKILL);
}

static void start_again(struct server *s, const char *const args[])
{
    server_launch(s, args);
    server_wait_ready(s);
}

static void counts_are(struct server *s, int stable, int canary)
{
    const struct http_answer *a = server_get(s, "/admin/check-canary-health");
    assert_int_equal((int)answer_number(a, "stable_sample_count"), stable);
    assert_int_equal((int)answer_number(a, "canary_sample_count"), canary);
}

/* Share, start and samples go on; the operator's file is not needed any more. */
static void test_canary_goes_on(void **state)
{
    (void)state;
    struct server *s = server_start(by_hand);
    deploy(s, "{\"model_path\":\"model_v2.json\",\"percent\":20}");
    predict(s, 100);
    char *since = strdup(answer_string(status_get(s), "canary.canary_start_time"));
    assert_int_equal(unlink(server_path(s, "models/model_v2.json")), 0);
    for (int round = 1; round <= 3; round++) {
        crash(s);
        start_again(s, by_hand);
        status_wait_state(s, "canary");
        const struct http_answer *a = status_get(s);
        answer_string_is(a, "stable.model", "model_v1.json");
        answer_string_is(a, "canary.model", "model_v2.json");
        answer_string_is(a, "canary.canary_start_time", since);
        assert_int_equal((int)answer_number(a, "canary.percent"), 20);
        counts_are(s, 80 * round, 20 * round);
        predict(s, 100);
    }
    free(since);
    server_stop(s);
}

static void test_promotion_and_rollback_stand(void **state)
{
    (void)state;
    struct server *s = server_start(by_hand);
    deploy(s, "{\"model_path\":\"model_v2.json\"}");
    answer_is(server_post(s, "/admin/promote-canary", NULL), 200);
    crash(s);
    start_again(s, by_hand);
    answer_string_is(status_get(s), "stable.model", "model_v2.json");
    deploy(s, "{\"model_path\":\"model_v1.json\"}");
    answer_is(server_post(s, "/admin/rollback-canary", NULL), 200);
    answer_is(server_post(s, "/admin/toggle-slowdown", NULL), 200);
    server_stop(s);
    start_again(s, by_hand);
    const struct http_answer *a = status_get(s);
    answer_string_is(a, "stable.model", "model_v2.json");
    answer_is_null(a, "canary");
    assert_true(answer_bool(a, "simulate_slowdown"));
    server_stop(s);
}

/* What the judge has done stays told, and a rollback is still confirmed. */
static void test_verdict_stands(void **state)
{
    (void)state;
    struct server *s = server_start(NULL);
    answer_is(server_post(s, "/admin/toggle-slowdown", NULL), 200);
    deploy(s, "{\"model_path\":\"model_v2.json\",\"percent\":50}");
    predict(s, 100);
    char *before = strdup(server_get(s, "/admin/check-canary-health")->body);
    assert_non_null(strstr(before, "\"rolled_back\":true"));
    status_wait_state(s, "idle");
    server_stop(s);
    start_again(s, NULL);
    assert_string_equal(server_get(s, "/admin/check-canary-health")->body, before);
    const struct http_answer *a = server_post(s, "/admin/rollback-canary", NULL);
    answer_is(a, 200);
    answer_string_is(a, "rolled_back_by", "judge");
    free(before);
    server_stop(s);
}

static void test_changed_settings_win(void **state)
{
    static const char *const other_stable[] = {"--stable-model=model_v2.json", NULL};
    static const char *const with_canary[] = {"--canary-model=model_v2.json", NULL};
    (void)state;
    struct server *s = server_start(NULL);
    deploy(s, "{\"model_path\":\"model_v2.json\"}");
    answer_is(server_post(s, "/admin/rollback-canary", NULL), 200);
    server_stop(s);
    start_again(s, other_stable);
    answer_string_is(status_get(s), "stable.model", "model_v2.json");
    server_stop(s);
    start_again(s, with_canary);
    status_wait_state(s, "canary");
    answer_is(server_post(s, "/admin/rollback-canary", NULL), 200);
    server_stop(s);
    start_again(s, with_canary); /* its value has not changed: the rollback stands */
    answer_string_is(status_get(s), "state", "idle");
    server_stop(s);
}

static bool canary_is(struct server *s, void *arg)
{
    const struct http_answer *a = status_get(s);
    return strstr(a->body, "\"canary\":null") == NULL &&
           strcmp(answer_string(a, "canary.model"), arg) == 0;
}

/* A canary_model that does not load leaves the canary that is out, at a reload and at
 * every start after it. */
static void test_a_bad_setting_does_not_cost_the_canary(void **state)
{
    (void)state;
    struct server *s = server_start_config("{\"auto_rollback\": false}", NULL);
    deploy(s, "{\"model_path\":\"model_v2.json\",\"percent\":50}");
    predict(s, 20);
    workdir_write_text(server_path(s, "models"), "bad.json", "{}");
    server_write_config(s, "{\"auto_rollback\": false, \"canary_model\": \"bad.json\"}");
    server_signal(s, SIGHUP);
    server_wait_log(s, "deployment failed");
    for (int round = 0; round < 2; round++) {
        crash(s);
        start_again(s, NULL);
        server_wait_until(s, canary_is, (char[]){"model_v2.json"}, "the old canary", 10000);
        status_wait_state(s, "canary"); /* the setting was tried again beside it */
        answer_string_is(status_get(s), "canary.model", "model_v2.json");
        counts_are(s, 10, 10);
    }
    workdir_copy(server_path(s, "models/model_v1.json"), server_path(s, "models"), "bad.json");
    crash(s);
    start_again(s, NULL);
    server_wait_until(s, canary_is, (char[]){"bad.json"}, "the new one in its place", 10000);
    server_write_config(s, "{\"auto_rollback\": false}");
    server_stop(s);
    start_again(s, NULL);
    answer_string_is(status_get(s), "state", "idle"); /* and goes with the setting */
    server_stop(s);
}

/* A crash while the canary is still coming back, with an order given meanwhile. */
static void test_crashes_on_the_way_back(void **state)
{
    static const char *const slowly[] = {"--auto-rollback=false", "--warmup-requests=100000", NULL};
    (void)state;
    struct server *s = server_start(by_hand);
    deploy(s, "{\"model_path\":\"model_v2.json\",\"percent\":50}");
    predict(s, 20);
    crash(s);
    for (int round = 0; round < 2; round++) {
        start_again(s, slowly);
        status_wait_state(s, "loading");
        answer_is(server_post(s, "/admin/toggle-slowdown", NULL), 200);
        crash(s);
    }
    start_again(s, by_hand);
    status_wait_state(s, "canary");
    answer_string_is(status_get(s), "canary.model", "model_v2.json");
    counts_are(s, 10, 10);
    server_stop(s);
}

/* --- A slow disk ----------------------------------------------------------------*/

static char slow_disk[PATH_MAX]; /* tests/support/slow_disk.so of this build */

static void make_the_disk_slow(void *arg)
{
    const bool *is_slow = arg;
    if (!*is_slow)
        return;
    setenv("LD_PRELOAD", slow_disk, 1);
    setenv("SLOW_DISK_MS", "300", 1);
}

static bool candidate_is_ready(struct server *s, void *arg)
{
    struct status_worker workers[STATUS_MAX_PIDS];
    int n = status_workers(status_get(s), workers);
    (void)arg;
    for (int i = 0; i < n; i++)
        if (strcmp(workers[i].role, "candidate") == 0 && workers[i].ready)
            return true;
    return false;
}

/* It is given up while the disk is being told of it: the disk must be told again. */
static void test_stopped_while_a_deployment_is_saved(void **state)
{
    const struct http_request r = {.method = "POST",
                                   .path = "/admin/deploy-canary",
                                   .headers = "Content-Type: application/json\r\n",
                                   .body = "{\"model_path\":\"model_v2.json\"}"};
    struct http_answer a = {0};
    struct err e = {0};
    bool is_slow = true;
    (void)state;
    if (dlsym(RTLD_DEFAULT, "__asan_init") != NULL) {
        print_message("SKIP test_stopped_while_a_deployment_is_saved: nothing can be preloaded\n");
        skip();
    }
    struct server *s = server_prepare();
    server_set_before(s, make_the_disk_slow, &is_slow);
    server_launch(s, NULL);
    server_wait_ready(s);
    struct http *h = http_open(s->port, &e);
    assert_non_null(h);
    assert_int_equal(http_send_request(h, &r, &e), 0);
    server_wait_until(s, candidate_is_ready, NULL, "the candidate", 10000);
    server_signal(s, SIGTERM);
    if (http_receive(h, false, &a, &e) != 1)
        fail_msg("%s", e.text);
    answer_is_problem(&a, 409, "superseded");
    http_answer_clear(&a);
    http_close(&h);
    assert_int_equal(server_wait_exit(s, 10000), 0);
    is_slow = false;
    server_launch(s, NULL);
    server_wait_ready(s);
    answer_string_is(status_get(s), "state", "idle");
    answer_is_null(status_get(s), "canary");
    server_stop(s);
}

static int find_library(void **state)
{
    const char *build = getenv("CANARYD_BUILD");
    char path[sizeof slow_disk];
    (void)state;
    snprintf(path, sizeof path, "%s/tests/support/slow_disk.so", build != NULL ? build : "build");
    return realpath(path, slow_disk) != NULL ? 0 : -1;
}

static void test_damaged_state_is_set_aside(void **state)
{
    static const char *const damages[] = {"", "{", "{\"canaryd_state\":1,\"state\":{}}",
                                          "\x7f"
                                          "ELF"};
    (void)state;
    struct server *s = server_start(NULL);
    deploy(s, "{\"model_path\":\"model_v2.json\"}");
    answer_is(server_post(s, "/admin/promote-canary", NULL), 200);
    for (size_t i = 0; i < sizeof damages / sizeof damages[0]; i++) {
        server_stop(s);
        workdir_write_text(s->dir, "state/state.json", damages[i]);
        start_again(s, NULL);
        answer_string_is(status_get(s), "stable.model", "model_v1.json");
        assert_true(server_log_says(s, "it is set aside as"));
    }
    server_stop(s);
}

static void test_foreign_board_is_replaced(void **state)
{
    (void)state;
    struct server *s = server_start(by_hand);
    deploy(s, "{\"model_path\":\"model_v2.json\",\"percent\":50}");
    predict(s, 20);
    server_stop(s);
    workdir_write_text(s->dir, "run/board", "this is no board");
    start_again(s, by_hand);
    status_wait_state(s, "canary");
    counts_are(s, 0, 0);
    predict(s, 20);
    counts_are(s, 10, 10);
    server_stop(s);
}

static void test_newer_state_is_not_touched(void **state)
{
    static const char newer[] = "{\"canaryd_state\": 999, \"new\": {}}";
    (void)state;
    struct server *s = server_prepare();
    assert_int_equal(
        mkdir(server_path(s, "state"), 0755) < 0 && !workdir_exists(server_path(s, "state")), 0);
    workdir_write_text(s->dir, "state/state.json", newer);
    server_launch(s, NULL);
    assert_int_equal(server_wait_exit(s, 5000), 78);
    assert_true(server_log_says(s, "999"));
    char *text = workdir_read(server_path(s, "state/state.json"));
    assert_string_equal(text, newer);
    free(text);
    server_forget(s);
}

/* Where a deployment can't be written down, it does not happen. */
static void test_unwritable_state(void **state)
{
    (void)state;
    struct server *s = server_start(by_hand);
    deploy(s, "{\"model_path\":\"model_v2.json\"}");
    pid_t canary = status_pid(s, "canary");
    char *models = strdup(server_path(s, "state/models"));
    char *aside = strdup(server_path(s, "state/aside"));
    assert_int_equal(rename(models, aside), 0);
    workdir_write_text(s->dir, "state/models", "not a directory");
    answer_is_problem(server_post(s, "/admin/promote-canary", NULL), 507, "state-not-saved");
    answer_is_problem(server_post(s, "/admin/deploy-canary",
                                  "{\"model_path\":\"model_v1.json\",\"replace\":true}"),
                      507, "state-not-saved");
    const struct http_answer *a = status_get(s);
    answer_string_is(a, "state", "canary");
    answer_string_is(a, "canary.model", "model_v2.json");
    assert_int_equal(status_pid(s, "canary"), canary);
    server_predict(s);
    assert_int_equal(unlink(models), 0);
    assert_int_equal(rename(aside, models), 0);
    answer_is(server_post(s, "/admin/promote-canary", NULL), 200);
    free(models);
    free(aside);
    server_stop(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SERVER_TEST(test_canary_goes_on),
        SERVER_TEST(test_promotion_and_rollback_stand),
        SERVER_TEST(test_verdict_stands),
        SERVER_TEST(test_changed_settings_win),
        SERVER_TEST(test_a_bad_setting_does_not_cost_the_canary),
        SERVER_TEST(test_crashes_on_the_way_back),
        SERVER_TEST(test_stopped_while_a_deployment_is_saved),
        SERVER_TEST(test_damaged_state_is_set_aside),
        SERVER_TEST(test_foreign_board_is_replaced),
        SERVER_TEST(test_newer_state_is_not_touched),
        SERVER_TEST(test_unwritable_state),
    };
    return cmocka_run_group_tests_name("restart", tests, find_library, NULL);
}
