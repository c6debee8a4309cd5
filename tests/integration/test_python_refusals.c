/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Pickled models that neither worker serves, and settings by which one does not:
 * the deployment is refused with the reason, and stable goes on.
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
#include "tests/support/python.h"
#include "tests/support/server.h"
#include "tests/support/status.h"
#include "tests/support/workdir.h"

static const struct http_answer *deploy(struct server *s, const char *file)
{
    char body[120];
    char *from = workdir_path(python_models(), file);
    workdir_copy(from, server_path(s, "models"), file);
    free(from);
    snprintf(body, sizeof body, "{\"model_path\":\"%s\"}", file);
    return server_post(s, "/admin/deploy-canary", body);
}

/* Whoever finds it out, the exporter or the worker: it is refused, and said why. */
static void test_refusals(void **state)
{
    static const struct {
        const char *file, *says;
    } cases[] = {
        {"words.joblib", "answers with 'no', which is no number"},
        {"two.joblib", "answers a row with 2 numbers"},
        {"never.joblib", "cannot answer: LinAlgError"},
        {"unfitted.joblib", "is it fitted?"},
        {"exits.joblib", "SystemExit"},
        {"leaves.joblib", "ended with exit status 10 and no reason"},
        {"dies.joblib", "killed by SIGSYS"},
        {"ends.joblib", "the worker ended before it took calls: exit status 3"},
    };
    (void)state;
    SKIP_WITHOUT_SKLEARN();
    struct server *s = server_start(NULL);
    pid_t stable = status_pid(s, "stable");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *detail = answer_is_problem(deploy(s, cases[i].file), 422, "model-invalid");
        if (strstr(detail, cases[i].says) == NULL)
            fail_msg("%s: \"%s\" does not say \"%s\"", cases[i].file, detail, cases[i].says);
    }
    answer_is_null(status_get(s), "canary");
    assert_int_equal(status_pid(s, "stable"), stable);
    server_predict(s);
    server_stop(s);
}

/* What another release of scikit-learn trained is taken, and the log says so. */
static void test_another_scikit_learn(void **state)
{
    (void)state;
    SKIP_WITHOUT_SKLEARN();
    struct server *s = server_start(NULL);
    answer_is(deploy(s, "older.joblib"), 200);
    server_wait_log(s, "0.99.9");
    answer_is(server_post(s, "/admin/rollback-canary", NULL), 200);
    server_predict(s);
    server_stop(s);
}

/* Exported in time, but not ready in time. */
static void test_start_timeout(void **state)
{
    (void)state;
    SKIP_WITHOUT_SKLEARN();
    struct server *s = server_start((const char *const[]){"--start-timeout-ms=6000", NULL});
    const char *detail = answer_is_problem(deploy(s, "sleeps.joblib"), 504, "worker-start-timeout");
    assert_non_null(strstr(detail, "the worker was not ready within 6000 ms"));
    server_predict(s);
    server_stop(s);
}

static void test_python_worker_is_off(void **state)
{
    (void)state;
    SKIP_WITHOUT_SKLEARN();
    struct server *s = server_start((const char *const[]){"--python-worker=off", NULL});
    const char *detail = answer_is_problem(deploy(s, "near.joblib"), 422, "model-invalid");
    assert_non_null(strstr(detail, "KNeighborsClassifier"));
    assert_non_null(strstr(detail, "the setting python_worker is off"));
    answer_is(server_post(s, "/admin/deploy-canary", "{\"model_path\":\"model_v2.joblib\"}"), 200);
    answer_string_is(status_get(s), "canary.runtime", "native");
    server_stop(s);
}

static void test_worker_program_is_missing(void **state)
{
    (void)state;
    SKIP_WITHOUT_SKLEARN();
    struct server *s =
        server_start((const char *const[]){"--python-worker-program=/nowhere/w.py", NULL});
    const char *detail = answer_is_problem(deploy(s, "near.joblib"), 422, "python-missing");
    assert_non_null(strstr(detail, "/nowhere/w.py, which is not there"));
    server_stop(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SERVER_TEST(test_refusals),
        SERVER_TEST(test_another_scikit_learn),
        SERVER_TEST(test_start_timeout),
        SERVER_TEST(test_python_worker_is_off),
        SERVER_TEST(test_worker_program_is_missing),
    };
    return cmocka_run_group_tests_name("python_refusals", tests, python_group_setup,
                                       python_group_teardown);
}
