/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Operators that collide, clients that leave, workers that do not start, and
 * what a prediction gets when there is no time, no room or no number to give.
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
#include <unistd.h>

#include <cmocka.h>

#include "common/clock.h"
#include "common/mem.h"
#include "tests/support/answer.h"
#include "tests/support/server.h"
#include "tests/support/status.h"
#include "tests/support/workdir.h"

#define DEPLOY_V2 "{\"model_path\":\"model_v2.json\"}"
#define ROUNDS    30

/* Answers to finite inputs with infinity, which is no answer. */
#define OVERFLOWING                                                                                \
    "{\"format\":\"canaryd-model\",\"version\":1,\"kind\":\"linear-regression\",\"n_features\":5," \
    "\"linear\":{\"coefficients\":[1e308,1e308,1e308,1e308,1e308],\"intercept\":1e308},"           \
    "\"link\":\"identity\"}"

static const char *const by_hand[] = {"--auto-rollback=false", NULL};

static const struct http_request always = {
    .method = "POST", .path = "/predict", .headers = "X-Canary: always\r\n", .body = GOOD_FEATURES};
static const struct http_request never = {
    .method = "POST", .path = "/predict", .headers = "X-Canary: never\r\n", .body = GOOD_FEATURES};

static void deploy(struct server *s)
{
    answer_is(server_post(s, "/admin/deploy-canary", DEPLOY_V2), 200);
}

static struct http *open_to(struct server *s)
{
    struct err e = {0};
    struct http *h = http_open(s->port, &e);
    if (h == NULL)
        fail_msg("%s", e.text);
    return h;
}

static void say(struct http *h, const struct http_request *r)
{
    struct err e = {0};
    if (http_send_request(h, r, &e) != 0)
        fail_msg("%s: %s", r->path, e.text);
}

/* The status of the answer that is due on h; the connection ends with it. */
static int status_on(struct http **h)
{
    struct http_answer a = {0};
    struct err e = {0};
    if (http_receive(*h, false, &a, &e) != 1)
        fail_msg("no answer: %s", e.text);
    int status = a.status;
    http_answer_clear(&a);
    http_close(h);
    return status;
}

/* Sends both at once; fills what each was answered. */
static void collide(struct server *s, const struct http_request r[2], int status[2])
{
    struct http *h[2];
    for (int i = 0; i < 2; i++)
        h[i] = open_to(s);
    for (int i = 0; i < 2; i++)
        say(h[i], &r[i]);
    for (int i = 0; i < 2; i++)
        status[i] = status_on(&h[i]);
}

static void expect_one_winner(const int status[2], const char *what)
{
    bool fine = (status[0] == 200 && status[1] == 409) || (status[0] == 409 && status[1] == 200);
    if (!fine)
        fail_msg("%s: %d and %d", what, status[0], status[1]);
}

static void test_two_deployments_at_once(void **state)
{
    (void)state;
    struct server *s = server_start(by_hand);
    const struct http_request r = {
        .method = "POST", .path = "/admin/deploy-canary", .body = DEPLOY_V2};
    for (int i = 0; i < 5; i++) {
        int status[2];
        collide(s, (const struct http_request[]){r, r}, status);
        expect_one_winner(status, "two deployments");
        answer_is(server_post(s, "/admin/rollback-canary", NULL), 200);
        status_wait_state(s, "idle");
    }
    server_stop(s);
}

/* Exactly one wins each round, and the state is what the winner made of it. */
static void test_promotion_against_rollback(void **state)
{
    (void)state;
    struct server *s = server_start(by_hand);
    const struct http_request promote = {.method = "POST", .path = "/admin/promote-canary"};
    const struct http_request rollback = {.method = "POST", .path = "/admin/rollback-canary"};
    const char *stable = "model_v1.json";
    for (int i = 0; i < ROUNDS; i++) {
        int status[2];
        const char *canary =
            strcmp(stable, "model_v1.json") == 0 ? "model_v2.json" : "model_v1.json";
        char body[64];
        snprintf(body, sizeof body, "{\"model_path\":\"%s\"}", canary);
        answer_is(server_post(s, "/admin/deploy-canary", body), 200);
        if (i % 2 == 0)
            collide(s, (const struct http_request[]){promote, rollback}, status);
        else
            collide(s, (const struct http_request[]){rollback, promote}, status);
        expect_one_winner(status, "promotion and rollback");
        bool promoted = status[i % 2] == 200;
        status_wait_state(s, "idle");
        stable = promoted ? canary : stable;
        answer_string_is(status_get(s), "stable.model", stable);
        server_predict(s);
    }
    server_stop(s);
}

static void test_client_leaves_during_deployment(void **state)
{
    (void)state;
    struct server *s = server_start(by_hand);
    struct http *h = open_to(s);
    say(h, &(struct http_request){
               .method = "POST", .path = "/admin/deploy-canary", .body = DEPLOY_V2});
    http_close(&h);
    status_wait_state(s, "canary"); /* what was asked for is done all the same */
    server_predict(s);
    server_stop(s);
}

static void test_clients_leave_during_predictions(void **state)
{
    (void)state;
    struct server *s =
        server_start((const char *const[]){"--auto-rollback=false", "--slowdown-ms=20", NULL});
    deploy(s);
    answer_is(server_post(s, "/admin/toggle-slowdown", NULL), 200);
    for (int i = 0; i < 20; i++) {
        struct http *h = open_to(s);
        say(h, &always);
        answer_is(server_ask(s, &never), 200); /* so it has been read */
        http_close(&h);
    }
    answer_is(server_ask(s, &always), 200);
    server_stop(s);
}

/* A worker that does what the file "mood" in the test's directory says. */
static struct server *start_moody(const char *timeout)
{
    const char *build = getenv("CANARYD_BUILD");
    char *program = mem_printf("%s/canary-worker", build != NULL ? build : "build");
    char *real = realpath(program, NULL);
    struct server *s = server_prepare();
    char *script = mem_printf("#!/bin/sh\n"
                              "case $(cat %s/mood 2>/dev/null) in\n"
                              "silent) exec sleep 60 ;;\n"
                              "dead) exit 3 ;;\n"
                              "loud) echo this is no frame >&3; exec sleep 60 ;;\n"
                              "*) exec %s \"$@\" ;;\n"
                              "esac\n",
                              s->dir, real);
    workdir_write_text(s->dir, "worker.sh", script);
    assert_int_equal(chmod(server_path(s, "worker.sh"), 0755), 0);
    char *worker = mem_printf("--worker-program=%s/worker.sh", s->dir);
    server_launch(
        s, (const char *const[]){"--auto-rollback=false", "--worker-user=", worker, timeout, NULL});
    server_wait_ready(s);
    free(program);
    free(real);
    free(script);
    free(worker);
    return s;
}

static const struct {
    const char *mood;
    int status, or_status;
    const char *code;
} moods[] = {
    {"silent", 504, 0, "worker-start-timeout"},
    {"dead", 422, 502, NULL},
    {"loud", 422, 502, NULL},
};

static void test_workers_that_do_not_start(void **state)
{
    (void)state;
    struct server *s = start_moody("--start-timeout-ms=700");
    pid_t stable = status_pid(s, "stable"), pids[STATUS_MAX_PIDS];
    for (size_t i = 0; i < sizeof moods / sizeof moods[0]; i++) {
        workdir_write_text(s->dir, "mood", moods[i].mood);
        const struct http_answer *a = server_post(s, "/admin/deploy-canary", DEPLOY_V2);
        if (a->status != moods[i].status && a->status != moods[i].or_status)
            fail_msg("%s: %s%s", moods[i].mood, a->head, a->body);
        answer_is_problem(a, a->status, moods[i].code);
        status_wait_state(s, "idle");
        assert_int_equal(status_pid(s, "stable"), stable);
        int n = status_pids(s, pids);
        for (int k = 0; k < n; k++)
            if (pids[k] != stable)
                process_wait_gone(pids[k], 5000);
        server_predict(s);
    }
    workdir_write_text(s->dir, "mood", "fine");
    deploy(s);
    server_stop(s);
}

static void test_large_admin_body(void **state)
{
    (void)state;
    struct server *s = server_start(by_hand);
    char *body = mem_printf("{\"model_path\":\"model_v2.json\"%*s}", 20000, "");
    answer_is(server_post(s, "/admin/deploy-canary", body), 413);
    free(body);
    server_stop(s);
}

static void test_no_room(void **state)
{
    (void)state;
    struct server *s = server_start((const char *const[]){
        "--auto-rollback=false", "--slowdown-ms=600", "--max-in-flight=2", NULL});
    struct http *h[2];
    deploy(s);
    answer_is(server_post(s, "/admin/toggle-slowdown", NULL), 200);
    for (int i = 0; i < 2; i++) {
        h[i] = open_to(s);
        say(h[i], &never);
        struct http_answer a = {0};
        if (http_receive(h[i], false, &a, NULL) != 1)
            fail_msg("no answer to the first request");
        http_answer_clear(&a);
        say(h[i], &always);
    }
    server_get(s, "/livez"); /* after this both have been read */
    const struct http_answer *a = server_ask(s, &never);
    answer_is_problem(a, 503, NULL);
    answer_header(a, "Retry-After", NULL);
    answer_is(server_get(s, "/livez"), 200);
    for (int i = 0; i < 2; i++)
        assert_int_equal(status_on(&h[i]), 200);
    server_predict(s);
    server_stop(s);
}

/* A stable that says nothing: the deadline is the client's, and it is kept. */
static void test_no_time(void **state)
{
    (void)state;
    struct server *s = server_start((const char *const[]){
        "--predict-deadline-ms=300", "--try-deadline-ms=300", "--hang-ms=60000", NULL});
    pid_t stable = status_pid(s, "stable");
    assert_int_equal(kill(stable, SIGSTOP), 0);
    int64_t start = clock_mono_ns();
    const struct http_answer *a = server_post(s, "/predict", GOOD_FEATURES);
    double ms = ns_to_ms((double)(clock_mono_ns() - start));
    answer_is_problem(a, 504, NULL);
    if (ms < 290 || ms > 3000)
        fail_msg("504 after %.0f ms instead of 300", ms);
    assert_int_equal(kill(stable, SIGCONT), 0);
    server_predict(s);
    server_stop(s);
}

/* What a canary cannot answer, stable does: the client sees a little delay. */
static void test_canary_that_always_fails(void **state)
{
    (void)state;
    struct server *s = server_start(by_hand);
    workdir_write_text(s->dir, "models/inf.json", OVERFLOWING);
    answer_is(
        server_post(s, "/admin/deploy-canary", "{\"model_path\":\"inf.json\",\"percent\":50}"),
        200);
    for (int i = 0; i < 60; i++)
        answer_string_is(server_predict(s), "model_used", "stable");
    server_stop(s);
}

static void test_stable_that_always_fails(void **state)
{
    (void)state;
    struct server *s = server_prepare();
    workdir_write_text(s->dir, "models/inf.json", OVERFLOWING);
    server_launch(s, (const char *const[]){"--stable-model=inf.json", NULL});
    server_wait_ready(s);
    const struct http_answer *a = server_post(s, "/predict", GOOD_FEATURES);
    if (a->status == 200 || a->status == 500)
        fail_msg("%s%s", a->head, a->body);
    answer_is_problem(a, a->status, NULL);
    server_stop(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SERVER_TEST(test_two_deployments_at_once),
        SERVER_TEST(test_promotion_against_rollback),
        SERVER_TEST(test_client_leaves_during_deployment),
        SERVER_TEST(test_clients_leave_during_predictions),
        SERVER_TEST(test_workers_that_do_not_start),
        SERVER_TEST(test_large_admin_body),
        SERVER_TEST(test_no_room),
        SERVER_TEST(test_no_time),
        SERVER_TEST(test_canary_that_always_fails),
        SERVER_TEST(test_stable_that_always_fails),
    };
    return cmocka_run_group_tests_name("admin", tests, NULL, NULL);
}
