/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The n-th allocation fails, for n all over a scenario of predictions,
 * deployments by REST and by reload, a rollback and promotions: canaryd answers
 * with an error or exits with 70 and says why, and its successor serves what it
 * served. A worker that cannot read its model for want of memory is a refused
 * deployment. And nothing of all this leaks: test_leaks.
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

#include "tests/support/answer.h"
#include "tests/support/heap.h"
#include "tests/support/server.h"
#include "tests/support/status.h"
#include "tests/support/workdir.h"

#define N_STEPS        40 /* places where the supervisor's allocations fail */
#define N_WORKER_STEPS 24
#define EXIT_MEMORY    70
#define ANSWER_MS      20000
#define LOOK_MS        50 /* each look makes allocations, too */

/* --- The scenario, by a client that can be left without an answer ---------------*/

/* The status of the answer, or 0 when the server has gone instead. has: whether the
 * body holds this text; NULL: does not matter. */
static int ask_for(struct server *s, const struct http_request *r, const char *text, bool *has)
{
    struct http_answer a;
    struct err e = {0};
    struct http *h = http_open(s->port, &e);
    if (h == NULL)
        return 0;
    http_set_timeout(h, ANSWER_MS);
    int rc = http_ask(h, r, &a, &e);
    http_close(&h);
    if (rc < 0 && strcmp(e.code, "timeout") == 0)
        fail_msg("%s %s: no answer and no end", r->method, r->path);
    if (rc < 0)
        return 0;
    int status = a.status;
    if (has != NULL)
        *has = strstr(a.body, text) != NULL;
    http_answer_clear(&a);
    return status;
}

static int ask(struct server *s, const char *method, const char *path, const char *body)
{
    const struct http_request r = {.method = method,
                                   .path = path,
                                   .body = body,
                                   .headers = "Content-Type: application/json\r\n"};
    return ask_for(s, &r, NULL, NULL);
}

#define DEPLOY(model) "{\"model_path\":\"" model "\"}"

static const struct {
    const char *method, *path, *body;
} scenario[] = {
    {"POST", "/predict", GOOD_FEATURES},
    {"POST", "/admin/deploy-canary", DEPLOY("model_v2.json")},
    {"POST", "/predict", GOOD_FEATURES},
    {"GET", "/admin/status", NULL},
    {"GET", "/admin/check-canary-health", NULL},
    {"POST", "/admin/rollback-canary", NULL},
    {"HUP", "", "{\"canary_model\":\"model_v2.json\"}"},
    {"POST", "/predict", GOOD_FEATURES},
    {"POST", "/admin/promote-canary", "{\"force\":true}"},
    {"POST", "/admin/deploy-canary", DEPLOY("model_v1.json")},
    {"POST", "/admin/promote-canary", "{\"force\":true}"},
    {"GET", "/admin/events", NULL},
};

/* Until there is a canary, or the server has gone: then false. */
static bool reload(struct server *s, const char *config)
{
    const struct http_request status = {.method = "GET", .path = "/admin/status"};
    bool has_canary = false;
    server_write_config(s, config);
    kill(s->pid, SIGHUP);
    for (int i = 0; i < ANSWER_MS / LOOK_MS && !has_canary; i++) {
        if (ask_for(s, &status, "\"state\":\"canary\"", &has_canary) == 0)
            return false;
        workdir_sleep_ms(has_canary ? 0 : LOOK_MS);
    }
    assert_true(has_canary);
    return true;
}

/* Ends early when the server does. Every answer that comes is a proper one. */
static void play(struct server *s)
{
    for (size_t i = 0; i < sizeof scenario / sizeof scenario[0]; i++) {
        bool is_reload = strcmp(scenario[i].method, "HUP") == 0;
        if (is_reload && !reload(s, scenario[i].body))
            return;
        if (is_reload)
            continue;
        int status = ask(s, scenario[i].method, scenario[i].path, scenario[i].body);
        if (status == 0)
            return;
        if (status == 500 || status < 200)
            fail_msg("%s: %d", scenario[i].path, status);
    }
}

/* --- The supervisor ---------------------------------------------------------------*/

static struct server *launch(struct heap_page **page)
{
    struct server *s = server_prepare();
    *page = heap_watch_server(s);
    server_write_config(s, "{}");
    server_launch(s, NULL);
    server_wait_ready(s);
    return s;
}

/* How many allocations the scenario makes. */
static long count_mallocs(void)
{
    struct heap_page *page;
    struct server *s = launch(&page);
    heap_fail_at(page, 0);
    play(s);
    long n = page->n_calls;
    server_stop(s);
    heap_unmap(&page);
    return n;
}

/* It goes on, or it ended with 70 and said why: then its successor is in a
 * deployment of the scenario, and serves. */
static bool check_end(struct server *s, struct heap_page *page, long at)
{
    bool has_ended = ask(s, "GET", "/livez", NULL) == 0;
    page->is_counting = 0;
    if (has_ended) {
        int code = server_wait_exit(s, SERVER_STOP_MS);
        if (code != EXIT_MEMORY || !server_log_says(s, "out of memory"))
            fail_msg("allocation %ld: exit %d\n%s", at, code, server_log(s));
        server_write_config(s, "{}");
        server_launch(s, NULL);
        server_wait_ready(s);
    }
    const char *stable = answer_string(status_get(s), "stable.model");
    assert_true(strcmp(stable, "model_v1.json") == 0 || strcmp(stable, "model_v2.json") == 0);
    server_predict(s);
    server_stop(s);
    return has_ended;
}

static void test_the_supervisor(void **state)
{
    (void)state;
    long n = count_mallocs();
    int n_failed = 0, n_ended = 0;
    if (n <= N_STEPS)
        fail_msg("only %ld allocations", n);
    for (int i = 0; i < N_STEPS; i++) {
        struct heap_page *page;
        long at = 1 + n * i / N_STEPS;
        struct server *s = launch(&page);
        heap_fail_at(page, at);
        play(s);
        n_ended += check_end(s, page, at);
        n_failed += page->n_calls >= at;
        heap_unmap(&page);
    }
    print_message("%ld allocations, %d of %d failed, %d ends\n", n, n_failed, N_STEPS, n_ended);
    assert_true(n_ended > 0);
}

/* --- A worker ---------------------------------------------------------------------*/

static struct server *start_with_wrapper(void)
{
    struct server *s = server_prepare();
    char *worker = heap_wrap_worker(s);
    server_launch(s, (const char *const[]){"--worker-user=", worker, NULL});
    server_wait_ready(s);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        SERVER_TEST(test_the_supervisor),
        SERVER_TEST(test_a_worker),
    };
    if (!heap_is_ours()) {
        puts("SKIP test_memory: a sanitizer has a malloc of its own");
        return 0;
    }
    return cmocka_run_group_tests_name("memory", tests, NULL, NULL);
}
