/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Death and delay, under traffic: of the canary, of stable, of canaryd itself.
 * Whatever happens to a worker, no client may notice more than delay.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/cage.h"
#include "common/mem.h"
#include "tests/support/answer.h"
#include "tests/support/server.h"
#include "tests/support/status.h"
#include "tests/support/traffic.h"
#include "tests/support/workdir.h"

#define N_CLIENTS 12

static const char *const by_hand[] = {"--auto-rollback=false", NULL};

static void deploy(struct server *s)
{
    answer_is(server_post(s, "/admin/deploy-canary", "{\"model_path\":\"model_v2.json\"}"), 200);
}

/* Kills the ready worker of this role and waits for its successor. */
static void kill_and_await(struct server *s, const char *role, int signal)
{
    pid_t old = status_pid(s, role);
    assert_int_not_equal(old, 0);
    assert_int_equal(kill(old, signal), 0);
    status_wait_pid(s, role, old);
    process_wait_gone(old, 5000);
}

static void end_clean(struct server *s, struct traffic **t)
{
    traffic_wait(*t, 200);
    struct traffic_report r = traffic_stop(t);
    print_message("%llu answers, %llu by the canary, the slowest after %.0f ms\n",
                  (unsigned long long)r.n_ok, (unsigned long long)r.n_canary, r.longest_ms);
    traffic_expect_clean(&r);
    server_stop(s);
}

static void test_canary_killed(void **state)
{
    (void)state;
    struct server *s = server_start(by_hand);
    deploy(s);
    struct traffic *t = traffic_start(s->port, N_CLIENTS);
    traffic_wait(t, 200);
    kill_and_await(s, "canary", SIGKILL);
    traffic_wait(t, 200);
    kill_and_await(s, "canary", SIGSEGV);
    answer_string_is(status_get(s), "state", "canary");
    end_clean(s, &t);
}

static void test_stable_killed(void **state)
{
    (void)state;
    struct server *s = server_start(by_hand);
    struct traffic *t = traffic_start(s->port, N_CLIENTS);
    for (int i = 0; i < 3; i++) {
        traffic_wait(t, 200);
        kill_and_await(s, "stable", SIGKILL);
    }
    end_clean(s, &t);
}

static void test_stable_killed_beside_a_canary(void **state)
{
    (void)state;
    struct server *s = server_start(by_hand);
    deploy(s);
    struct traffic *t = traffic_start(s->port, N_CLIENTS);
    traffic_wait(t, 200);
    kill_and_await(s, "stable", SIGKILL);
    traffic_wait(t, 200);
    if (status_pid(s, "baseline") != 0)
        kill_and_await(s, "baseline", SIGKILL);
    end_clean(s, &t);
}

/* A stopped process says nothing, not even that it died: only time tells. */
static void test_worker_stopped(void **state)
{
    (void)state;
    struct server *s =
        server_start((const char *const[]){"--auto-rollback=false", "--try-deadline-ms=150",
                                           "--hang-ms=400", "--predict-deadline-ms=9000", NULL});
    deploy(s);
    struct traffic *t = traffic_start(s->port, N_CLIENTS);
    traffic_wait(t, 200);
    kill_and_await(s, "canary", SIGSTOP);
    traffic_wait(t, 200);
    kill_and_await(s, "stable", SIGSTOP);
    end_clean(s, &t);
}

/* With the settings as they come: the half of a request's time is stable's, and
 * the rest is enough for the canary. What that answers for stable is counted, and
 * no sample of its. */
static void test_stable_stopped_beside_a_canary(void **state)
{
    static const char *const args[] = {"--auto-rollback=false", "--baseline=off", NULL};
    (void)state;
    struct server *s = server_start(args); /* a baseline would answer for stable as well */
    deploy(s);
    pid_t stable = status_pid(s, "stable");
    assert_int_equal(kill(stable, SIGSTOP), 0);
    for (int i = 0; i < 2; i++) /* one of ten is drawn for the canary */
        answer_header(server_predict(s), "X-Canary-Arm", "canary");
    const struct http_answer *a = status_get(s);
    int n_fallbacks = (int)answer_number(a, "requests.fallbacks");
    assert_in_range(n_fallbacks, 1, 2);
    assert_int_equal((int)answer_number(a, "requests.retried"), n_fallbacks);
    assert_int_equal((int)answer_number(a, "requests.failed"), 0);
    a = server_get(s, "/admin/check-canary-health");
    assert_int_equal((int)answer_number(a, "canary_sample_count"), 2 - n_fallbacks);
    status_wait_pid(s, "stable", stable); /* killed after hang_ms */
    server_predict(s);
    server_stop(s);
}

static void test_crash_loop_rolls_back(void **state)
{
    (void)state;
    struct server *s = server_start(NULL); /* by its own rule, whatever the judge may do */
    deploy(s);
    struct traffic *t = traffic_start(s->port, 4);
    pid_t old = 0;
    for (int i = 0; i < 3; i++) {
        old = status_wait_pid(s, "canary", old);
        assert_int_equal(kill(old, SIGKILL), 0);
        process_wait_gone(old, 5000);
    }
    status_wait_state(s, "idle");
    answer_is_null(status_get(s), "canary");
    assert_int_equal(status_pid(s, "canary"), 0);
    const struct http_answer *a = server_get(s, "/admin/events");
    answer_is(a, 200);
    if (strstr(a->body, "crash") == NULL)
        fail_msg("no event tells of the crash loop: %s", a->body);
    end_clean(s, &t);
}

static struct server *start_with_evil_worker(void)
{
    const char *build = getenv("CANARYD_BUILD");
    char *path = mem_printf("%s/tests/support/evil_worker", build != NULL ? build : "build");
    char *real = realpath(path, NULL);
    char *program = mem_printf("--worker-program=%s", real);
    struct server *s = server_start(
        (const char *const[]){program, "--worker-memory-bytes=268435456", "--warmup-requests=0",
                              "--crash-limit=1000", "--auto-rollback=false", NULL});
    free(path);
    free(real);
    free(program);
    return s;
}

/* A model that takes more memory at each call dies of its limit alone, again and
 * again: who asked is answered by stable. */
static void test_a_canary_that_leaks(void **state)
{
    const struct http_request r = {.method = "POST",
                                   .path = "/predict",
                                   .headers = "X-Canary: always\r\n",
                                   .body = GOOD_FEATURES};
    int by_canary = 0;
    (void)state;
    if (cage_exempt() != NULL) {
        print_message("SKIP: a %s has no limit of memory\n", cage_exempt());
        skip();
    }
    struct server *s = start_with_evil_worker();
    workdir_write_text(s->dir, "models/leak.json", "ready leak=16");
    answer_is(server_post(s, "/admin/deploy-canary", "{\"model_path\":\"leak.json\"}"), 200);
    pid_t first = status_pid(s, "canary"), stable = status_pid(s, "stable");
    for (int i = 0; i < 32; i++) { /* twice its limit */
        const struct http_answer *a = server_ask(s, &r);
        answer_is(a, 200);
        by_canary += strcmp(answer_string(a, "model_used"), "canary") == 0;
    }
    status_wait_pid(s, "canary", first);
    assert_in_range(by_canary, 1, 31);
    assert_int_equal(status_pid(s, "stable"), stable);
    server_stop(s);
}

static void test_promotion_under_traffic(void **state)
{
    (void)state;
    struct server *s = server_start(by_hand);
    struct traffic *t = traffic_start(s->port, N_CLIENTS);
    for (int i = 0; i < 3; i++) {
        deploy(s);
        traffic_wait(t, 200);
        answer_is(server_post(s, "/admin/promote-canary", "{\"force\":true}"), 200);
        status_wait_state(s, "idle");
        deploy(s);
        traffic_wait(t, 200);
        answer_is(server_post(s, "/admin/rollback-canary", NULL), 200);
        status_wait_state(s, "idle");
    }
    end_clean(s, &t);
}

static void expect_all_gone(const pid_t *pids, int n)
{
    assert_true(n > 0);
    for (int i = 0; i < n; i++)
        process_wait_gone(pids[i], 5000);
}

static void test_sigterm_under_traffic(void **state)
{
    (void)state;
    pid_t pids[STATUS_MAX_PIDS];
    struct server *s = server_start(by_hand);
    deploy(s);
    struct traffic *t = traffic_start(s->port, N_CLIENTS);
    traffic_wait(t, 200);
    int n = status_pids(s, pids);
    server_signal(s, SIGTERM);
    int code = server_wait_exit(s, SERVER_STOP_MS);
    struct traffic_report r = traffic_stop(&t);
    assert_int_equal(code, 0);
    /* Refusals of a server that is gone are no answers; half an answer is a fault. */
    if (r.n_cut > 0)
        fail_msg("%llu answers were cut off", (unsigned long long)r.n_cut);
    if (r.n_other > r.n_late)
        fail_msg("%llu answers were not 200, %llu of them late; first of all: %s",
                 (unsigned long long)r.n_other, (unsigned long long)r.n_late, r.first_bad);
    expect_all_gone(pids, n);
    server_forget(s);
}

/* A prediction that takes a while, known to be in the server's hands: a later
 * one, on another connection, has been answered. */
static struct http *slow_prediction(struct server *s)
{
    struct err e = {0};
    struct http_answer a = {0};
    struct http *h = http_open(s->port, &e);
    assert_non_null(h);
    struct http_request r = {.method = "POST", .path = "/predict", .body = GOOD_FEATURES};
    if (http_ask(h, &r, &a, &e) != 0)
        fail_msg("%s", e.text);
    http_answer_clear(&a);
    r.headers = "X-Canary: always\r\n";
    assert_int_equal(http_send_request(h, &r, &e), 0);
    answer_is(server_ask(s, &(struct http_request){.method = "POST",
                                                   .path = "/predict",
                                                   .headers = "X-Canary: never\r\n",
                                                   .body = GOOD_FEATURES}),
              200);
    return h;
}

static struct server *start_slow(const char *slowdown)
{
    struct server *s = server_start(
        (const char *const[]){"--auto-rollback=false", slowdown, "--try-deadline-ms=9000",
                              "--predict-deadline-ms=9000", "--hang-ms=9000", NULL});
    deploy(s);
    answer_is(server_post(s, "/admin/toggle-slowdown", NULL), 200);
    return s;
}

static void test_sigterm_answers_what_is_in_flight(void **state)
{
    (void)state;
    struct http_answer a = {0};
    struct err e = {0};
    struct server *s = start_slow("--slowdown-ms=700");
    struct http *h = slow_prediction(s);
    server_signal(s, SIGTERM);
    if (http_receive(h, false, &a, &e) != 1)
        fail_msg("the request in flight: %s", e.code != NULL ? e.text : "closed");
    answer_is(&a, 200);
    answer_string_is(&a, "model_used", "canary");
    http_answer_clear(&a);
    http_close(&h);
    assert_int_equal(server_wait_exit(s, SERVER_STOP_MS), 0);
    server_forget(s);
}

static bool is_draining(struct server *s, void *arg)
{
    (void)arg;
    struct http_answer a = {0};
    struct http *h = http_open(s->port, NULL);
    bool draining = h == NULL ||
                    http_ask(h, &(struct http_request){.path = "/readyz"}, &a, NULL) != 0 ||
                    a.status != 200;
    http_answer_clear(&a);
    http_close(&h);
    return draining;
}

static void test_second_sigterm_exits_at_once(void **state)
{
    (void)state;
    pid_t pids[STATUS_MAX_PIDS];
    struct http_answer a = {0};
    struct err e = {0};
    struct server *s = start_slow("--slowdown-ms=8000");
    struct http *h = slow_prediction(s);
    int n = status_pids(s, pids);
    server_signal(s, SIGTERM);
    server_wait_until(s, is_draining, NULL, "the end of its readiness", 3000);
    server_signal(s, SIGTERM);
    assert_int_equal(server_wait_exit(s, SERVER_STOP_MS), 0);
    /* At once: the answer, 8 s after its request, was not waited for. */
    assert_int_not_equal(http_receive(h, false, &a, &e), 1);
    assert_false(server_log_says(s, "stopped"));
    http_close(&h);
    expect_all_gone(pids, n);
    server_forget(s);
}

static const struct {
    int signals[2]; /* 0: none */
    bool drains;
} farewells[] = {
    {{SIGINT, 0}, true},
    {{SIGTERM, SIGHUP}, true},
    {{SIGQUIT, 0}, false},
};

static void test_other_signals(void **state)
{
    pid_t pids[STATUS_MAX_PIDS];
    (void)state;
    for (size_t i = 0; i < sizeof farewells / sizeof farewells[0]; i++) {
        struct server *s = server_start(by_hand);
        deploy(s);
        int n = status_pids(s, pids);
        assert_int_equal(n, 3); /* stable, baseline, canary */
        for (int k = 0; k < 2 && farewells[i].signals[k] != 0; k++)
            server_signal(s, farewells[i].signals[k]);
        assert_int_equal(server_wait_exit(s, 5000), 0);
        assert_true(server_log_says(s, "stopped") == farewells[i].drains);
        for (int k = 0; k < n; k++)
            process_wait_gone(pids[k], 2000);
        server_forget(s);
    }
}

static void test_workers_die_with_canaryd(void **state)
{
    (void)state;
    pid_t pids[STATUS_MAX_PIDS];
    struct server *s = server_start(by_hand);
    deploy(s);
    int n = status_pids(s, pids);
    assert_in_range(n, 2, STATUS_MAX_PIDS);
    server_signal(s, SIGKILL);
    assert_int_equal(server_wait_exit(s, 5000), 128 + SIGKILL);
    expect_all_gone(pids, n);
    server_forget(s);
}

/* After a crash it goes on where it was: same stable, same canary, the samples
 * counted so far. */
static void test_crash_of_canaryd(void **state)
{
    (void)state;
    struct server *s = server_start(by_hand);
    deploy(s);
    answer_is(server_post(s, "/admin/promote-canary", NULL), 200);
    status_wait_state(s, "idle");
    answer_is(server_post(s, "/admin/deploy-canary", "{\"model_path\":\"model_v1.json\"}"), 200);
    for (int i = 0; i < 50; i++)
        server_predict(s);
    server_signal(s, SIGKILL);
    assert_int_equal(server_wait_exit(s, 5000), 128 + SIGKILL);
    assert_true(workdir_exists(server_path(s, "state/state.json")));
    server_launch(s, by_hand);
    server_wait_ready(s);
    status_wait_state(s, "canary");
    const struct http_answer *a = status_get(s);
    answer_string_is(a, "stable.model", "model_v2.json");
    answer_string_is(a, "canary.model", "model_v1.json");
    a = server_get(s, "/admin/check-canary-health");
    assert_int_equal((int)answer_number(a, "canary_sample_count"), 5);
    assert_int_equal((int)answer_number(a, "stable_sample_count"), 45);
    server_predict(s);
    server_stop(s);
}

/* The server first: no client then waits for an answer. */
static int teardown(void **state)
{
    int rc = server_teardown(state);
    traffic_abandon();
    return rc;
}
#define FAULT_TEST(test) cmocka_unit_test_teardown(test, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        FAULT_TEST(test_canary_killed),
        FAULT_TEST(test_stable_killed),
        FAULT_TEST(test_stable_killed_beside_a_canary),
        FAULT_TEST(test_worker_stopped),
        FAULT_TEST(test_stable_stopped_beside_a_canary),
        FAULT_TEST(test_crash_loop_rolls_back),
        FAULT_TEST(test_a_canary_that_leaks),
        FAULT_TEST(test_promotion_under_traffic),
        FAULT_TEST(test_sigterm_under_traffic),
        FAULT_TEST(test_sigterm_answers_what_is_in_flight),
        FAULT_TEST(test_second_sigterm_exits_at_once),
        FAULT_TEST(test_other_signals),
        FAULT_TEST(test_workers_die_with_canaryd),
        FAULT_TEST(test_crash_of_canaryd),
    };
    return cmocka_run_group_tests_name("faults", tests, NULL, NULL);
}
