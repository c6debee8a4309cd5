/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The n-th allocation fails, for n all over a scenario of predictions, a
 * deployment, a reload and a rollback: canaryd answers with an error or exits
 * with 70 and says why, and its successor serves what it served. A worker that
 * cannot read its model for want of memory is a refused deployment.
 */
#include <dlfcn.h>
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

#include "common/mem.h"
#include "tests/support/answer.h"
#include "tests/support/server.h"
#include "tests/support/status.h"
#include "tests/support/workdir.h"

#define N_STEPS        40 /* places where the supervisor's allocations fail */
#define N_WORKER_STEPS 24
#define MODEL_BYTES                                                                                \
    32768 /* its text: what comes before is libseccomp's, which is not made for it */
#define EXIT_MEMORY 70
#define ANSWER_MS   20000

static char *library; /* tests/support/failing_malloc.so of this build */

/* --- The scenario, by a client that can be left without an answer ---------------*/

/* The status of the answer, or 0 when the server has gone instead. */
static int ask(struct server *s, const char *method, const char *path, const char *body)
{
    const struct http_request r = {.method = method,
                                   .path = path,
                                   .body = body,
                                   .headers = "Content-Type: application/json\r\n"};
    struct http_answer a;
    struct err e = {0};
    struct http *h = http_open(s->port, &e);
    if (h == NULL)
        return 0;
    http_set_timeout(h, ANSWER_MS);
    int rc = http_ask(h, &r, &a, &e);
    http_close(&h);
    if (rc < 0 && strcmp(e.code, "timeout") == 0)
        fail_msg("%s %s: no answer and no end", method, path);
    if (rc < 0)
        return 0;
    int status = a.status;
    http_answer_clear(&a);
    return status;
}

static const struct {
    const char *method, *path, *body;
} scenario[] = {
    {"POST", "/predict", GOOD_FEATURES},
    {"POST", "/admin/deploy-canary", "{\"model_path\":\"model_v2.json\"}"},
    {"POST", "/predict", GOOD_FEATURES},
    {"GET", "/admin/status", NULL},
    {"GET", "/admin/check-canary-health", NULL},
    {"HUP", "", NULL},
    {"POST", "/predict", GOOD_FEATURES},
    {"POST", "/admin/rollback-canary", NULL},
    {"GET", "/admin/events", NULL},
};

/* Ends early when the server does. Every answer that comes is a proper one. */
static void play(struct server *s)
{
    for (size_t i = 0; i < sizeof scenario / sizeof scenario[0]; i++) {
        if (strcmp(scenario[i].method, "HUP") == 0) {
            kill(s->pid, SIGHUP);
            continue;
        }
        int status = ask(s, scenario[i].method, scenario[i].path, scenario[i].body);
        if (status == 0)
            return;
        if (status == 500 || status < 200)
            fail_msg("%s: %d", scenario[i].path, status);
    }
}

/* --- The supervisor ---------------------------------------------------------------*/

struct plan {
    long fail_at;
};

static void preload(void *arg)
{
    const struct plan *plan = arg;
    char number[24];
    if (plan->fail_at < 0)
        return;
    snprintf(number, sizeof number, "%ld", plan->fail_at);
    setenv("FAIL_MALLOC_AT", number, 1);
    setenv("LD_PRELOAD", library, 1);
}

static bool has_told(struct server *s, void *arg)
{
    long *n = arg;
    const char *log = server_log(s);
    const char *end = strstr(log, " mallocs\n");
    if (end == NULL)
        return false;
    while (end > log && end[-1] >= '0' && end[-1] <= '9')
        end--;
    *n = strtol(end, NULL, 10);
    return true;
}

/* How many allocations the scenario makes. */
static long count_mallocs(void)
{
    struct plan never = {.fail_at = 0};
    long n = 0;
    struct server *s = server_prepare();
    server_set_before(s, preload, &never);
    server_launch(s, NULL);
    server_wait_ready(s);
    server_signal(s, SIGUSR2);
    play(s);
    server_signal(s, SIGUSR1);
    server_wait_until(s, has_told, &n, "the count", SERVER_START_MS);
    server_stop(s);
    return n;
}

/* It goes on, or it ended with 70 and said why: then its successor is as it was. */
static bool check_end(struct server *s, struct plan *plan)
{
    bool has_ended = ask(s, "GET", "/livez", NULL) == 0;
    if (has_ended) {
        int code = server_wait_exit(s, SERVER_STOP_MS);
        if (code != EXIT_MEMORY || !server_log_says(s, "out of memory"))
            fail_msg("allocation %ld: exit %d\n%s", plan->fail_at, code, server_log(s));
        plan->fail_at = -1;
        server_launch(s, NULL);
        server_wait_ready(s);
    }
    answer_string_is(status_get(s), "stable.model", "model_v1.json");
    server_predict(s);
    server_stop(s);
    return has_ended;
}

static void test_the_supervisor(void **state)
{
    (void)state;
    long n = count_mallocs();
    int n_ended = 0;
    if (n <= N_STEPS)
        fail_msg("only %ld allocations", n);
    for (int i = 0; i < N_STEPS; i++) {
        struct plan plan = {.fail_at = 1 + n * i / N_STEPS};
        struct server *s = server_prepare();
        server_set_before(s, preload, &plan);
        server_launch(s, NULL);
        server_wait_ready(s);
        server_signal(s, SIGUSR2);
        play(s);
        n_ended += check_end(s, &plan);
    }
    print_message("%ld allocations, %d failed, %d ends\n", n, N_STEPS, n_ended);
    assert_true(n_ended > 0);
}

/* --- A worker ---------------------------------------------------------------------*/

static struct server *start_with_wrapper(void)
{
    const char *build = getenv("CANARYD_BUILD");
    char *program = mem_printf("%s/canary-worker", build != NULL ? build : "build");
    char *real = realpath(program, NULL);
    struct server *s = server_prepare();
    char *script =
        mem_printf("#!/bin/sh\n"
                   "read n <%s/fail_at || exec %s \"$@\"\n"
                   "FAIL_MALLOC_FROM=%d FAIL_MALLOC_AT=$n LD_PRELOAD=%s exec %s \"$@\"\n",
                   s->dir, real, MODEL_BYTES, library, real);
    workdir_write_text(s->dir, "worker.sh", script);
    assert_int_equal(chmod(server_path(s, "worker.sh"), 0755), 0);
    char *worker = mem_printf("--worker-program=%s/worker.sh", s->dir);
    server_launch(s, (const char *const[]){"--worker-user=", worker, NULL});
    server_wait_ready(s);
    free(program);
    free(real);
    free(script);
    free(worker);
    return s;
}

static void test_a_worker(void **state)
{
    (void)state;
    struct server *s = start_with_wrapper();
    pid_t stable = status_pid(s, "stable");
    int n_refused = 0;
    long at = 1;
    for (int i = 0; i < N_WORKER_STEPS; i++, at += 1 + at / 2) {
        char number[24];
        snprintf(number, sizeof number, "%ld\n", at);
        workdir_write_text(s->dir, "fail_at", number);
        const struct http_answer *a =
            server_post(s, "/admin/deploy-canary", "{\"model_path\":\"model_v2.json\"}");
        if (a->status == 200) {
            answer_is(server_post(s, "/admin/rollback-canary", NULL), 200);
            status_wait_state(s, "idle");
        } else {
            const char *detail = answer_is_problem(a, 422, "model-invalid");
            if (strstr(detail, "memory") == NULL && strstr(detail, "exit status") == NULL)
                fail_msg("allocation %ld: %s", at, detail);
            n_refused++;
        }
        assert_int_equal(status_pid(s, "stable"), stable);
        server_predict(s);
    }
    print_message("%d of %d failures were a refusal\n", n_refused, N_WORKER_STEPS);
    assert_true(n_refused > 0 && n_refused < N_WORKER_STEPS);
    unlink(server_path(s, "fail_at"));
    server_stop(s);
}

static int find_library(void **state)
{
    const char *build = getenv("CANARYD_BUILD");
    char *path = mem_printf("%s/tests/support/failing_malloc.so", build != NULL ? build : "build");
    (void)state;
    library = realpath(path, NULL);
    free(path);
    return library != NULL ? 0 : -1;
}

static int forget_library(void **state)
{
    (void)state;
    free(library);
    return 0;
}

static bool has_own_malloc(void)
{
    return dlsym(RTLD_DEFAULT, "__asan_init") != NULL;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SERVER_TEST(test_the_supervisor),
        SERVER_TEST(test_a_worker),
    };
    if (has_own_malloc()) {
        puts("SKIP test_memory: a sanitizer has a malloc of its own");
        return 0;
    }
    return cmocka_run_group_tests_name("memory", tests, find_library, forget_library);
}
