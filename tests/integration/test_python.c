/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Models that the native format has no words for, through the whole server:
 * deployed, asked, slowed down, promoted, brought back after a stop and a crash,
 * found hanging. Skipped where Python lacks its libraries.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/mem.h"
#include "tests/support/answer.h"
#include "tests/support/python.h"
#include "tests/support/server.h"
#include "tests/support/status.h"
#include "tests/support/workdir.h"

#define WIDTH 5

static void give(struct server *s, const char *file)
{
    char *from = workdir_path(python_models(), file);
    workdir_copy(from, server_path(s, "models"), file);
    free(from);
}

static const struct http_answer *deploy(struct server *s, const char *file)
{
    char body[120];
    give(s, file);
    snprintf(body, sizeof body, "{\"model_path\":\"%s\",\"percent\":50}", file);
    return server_post(s, "/admin/deploy-canary", body);
}

static const struct http_answer *ask(struct server *s, const char *arm, const double row[WIDTH])
{
    char body[200], header[40];
    snprintf(header, sizeof header, "X-Canary: %s\r\n", arm);
    snprintf(body, sizeof body, "{\"features\":[%.17g,%.17g,%.17g,%.17g,%.17g]}", row[0], row[1],
             row[2], row[3], row[4]);
    const struct http_request r = {
        .method = "POST", .path = "/predict", .headers = header, .body = body};
    return server_ask(s, &r);
}

/* Over HTTP as well they are scikit-learn's answers to the last bit. */
static void check_answers(struct server *s, const char *arm, const char *used, const char *key,
                          const char *wanted_file)
{
    size_t n, n_numbers;
    double *rows = python_read_numbers("rows.bin", &n_numbers);
    double *wanted = python_read_numbers(wanted_file, &n);
    assert_int_equal(n_numbers, n * WIDTH);
    for (size_t i = 0; i < n; i++) {
        const struct http_answer *a = ask(s, arm, rows + i * WIDTH);
        answer_is(a, 200);
        answer_string_is(a, "model_used", used);
        double got = answer_number(a, key);
        if (memcmp(&got, &wanted[i], sizeof got) != 0)
            fail_msg("row %zu: %.17g, but scikit-learn says %.17g", i, got, wanted[i]);
    }
    free(rows);
    free(wanted);
}

static void start_again(struct server *s, const char *const args[])
{
    server_launch(s, args);
    server_wait_ready(s);
}

static const char *const by_hand[] = {"--auto-rollback=false", NULL};

static void test_life(void **state)
{
    (void)state;
    SKIP_WITHOUT_SKLEARN();
    struct server *s = server_start(by_hand);
    /* Somebody else's model, which must not be served in its place. */
    workdir_copy(server_path(s, "models/model_v2.json"), server_path(s, "models"), "near.json");
    const struct http_answer *a = deploy(s, "near.joblib");
    answer_is(a, 200);
    char *version = mem_strdup(answer_string(a, "model_version"));
    a = status_get(s);
    answer_string_is(a, "stable.runtime", "native");
    answer_string_is(a, "canary.runtime", "python");
    assert_non_null(strstr(a->body, "\"kind\":\"sklearn:KNeighborsClassifier\""));
    check_answers(s, "always", "canary", "churn_probability", "near.single");
    /* A crash: the canary comes back without the operator's file. */
    assert_int_equal(unlink(server_path(s, "models/near.joblib")), 0);
    server_signal(s, SIGKILL);
    assert_int_equal(server_wait_exit(s, 5000), 128 + SIGKILL);
    start_again(s, by_hand);
    status_wait_state(s, "canary");
    answer_string_is(status_get(s), "canary.model_version", version);
    check_answers(s, "always", "canary", "churn_probability", "near.single");
    answer_is(server_post(s, "/admin/promote-canary", "{\"force\":true}"), 200);
    check_answers(s, "never", "stable", "churn_probability", "near.single");
    server_stop(s);
    start_again(s, by_hand);
    a = status_get(s);
    answer_string_is(a, "stable.model_version", version);
    answer_string_is(a, "stable.runtime", "python");
    check_answers(s, "never", "stable", "churn_probability", "near.single");
    /* And one of its kind beside it, which is given up. */
    answer_is(deploy(s, "curve.joblib"), 200);
    check_answers(s, "always", "canary", "prediction", "curve.single");
    answer_is(server_post(s, "/admin/rollback-canary", NULL), 200);
    answer_is_null(status_get(s), "canary");
    server_predict(s);
    free(version);
    server_stop(s);
}

static void test_slowdown(void **state)
{
    static const double row[WIDTH] = {1, 1, 1, 1, 1};
    (void)state;
    SKIP_WITHOUT_SKLEARN();
    struct server *s =
        server_start((const char *const[]){"--auto-rollback=false", "--slowdown-ms=150", NULL});
    answer_is(deploy(s, "margin.joblib"), 200);
    answer_is(server_post(s, "/admin/toggle-slowdown", NULL), 200);
    const struct http_answer *a = ask(s, "always", row);
    answer_is(a, 200);
    answer_string_is(a, "model_used", "canary");
    assert_true(answer_number(a, "latency_ms") >= 150);
    server_stop(s);
}

static void test_stopped_worker_is_replaced(void **state)
{
    (void)state;
    SKIP_WITHOUT_SKLEARN();
    struct server *s = server_prepare();
    give(s, "near.joblib");
    start_again(s, (const char *const[]){"--stable-model=near.joblib", NULL});
    pid_t old = status_pid(s, "stable");
    kill(old, SIGSTOP);
    assert_true(status_wait_pid(s, "stable", old) != old);
    check_answers(s, "never", "stable", "churn_probability", "near.single");
    server_stop(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SERVER_TEST(test_life),
        SERVER_TEST(test_slowdown),
        SERVER_TEST(test_stopped_worker_is_replaced),
    };
    return cmocka_run_group_tests_name("python", tests, python_group_setup, python_group_teardown);
}
