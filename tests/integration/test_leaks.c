/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What a process holds is the same after many rounds of predictions, deployments,
 * reloads, rollbacks and promotions as before them, also where a deployment fails
 * because its worker gets no memory. Blocks are counted by a preloaded malloc: a
 * leak of one in each round is seen. (An allocation of canaryd's own that fails is
 * its end, test_memory, and so leaks nothing.)
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

#define N_WARM   8  /* rounds after which tables and buffers have their size */
#define N_ROUNDS 40 /* that are compared: a leak in each is as many blocks */
#define SLACK    30 /* blocks; buffers of libevent and stdio come and go (8 were seen) */
#define N_KINDS  8  /* of failures in a worker; divides N_ROUNDS and N_WARM */
#define N_ASKED  2000

#define PATIENCE_MS 10000

#define BY_HAND       "\"auto_rollback\":false"
#define DEPLOY(model) "{\"model_path\":\"" model "\"}"

static void deploy(struct server *s, const char *body)
{
    answer_is(server_post(s, "/admin/deploy-canary", body), 200);
    for (int i = 0; i < 12; i++)
        server_predict(s);
}

static void order(struct server *s, const char *path)
{
    answer_is(server_post(s, path, "{\"force\":true}"), 200);
    status_wait_state(s, "idle");
    server_predict(s);
}

static bool has_canary_model(struct server *s, void *arg)
{
    return strcmp(answer_string(status_get(s), "settings.canary_model"), arg) == 0;
}

static void reload(struct server *s, const char *config, const char *canary_model)
{
    char wanted[32];
    snprintf(wanted, sizeof wanted, "%s", canary_model);
    server_write_config(s, config);
    server_signal(s, SIGHUP);
    server_wait_until(s, has_canary_model, wanted, "the reload", PATIENCE_MS);
}

/* Blocks of a tree of cJSON: each item, its name and its text. */
static long count_blocks(const cJSON *item)
{
    const cJSON *child;
    long n = 1 + (item->string != NULL) + (item->valuestring != NULL);
    cJSON_ArrayForEach(child, item)
        n += count_blocks(child);
    return n;
}

/* Live blocks at rest, without the journal's latest entries: canaryd keeps some
 * hundred in memory, and these grow in number until they are so many. */
static long count_live(struct server *s, struct heap_page *page)
{
    const cJSON *events = answer_member(server_get(s, "/admin/events"), "events");
    long n = count_blocks(events);
    server_hang_up(s);
    return heap_live_at_rest(page) - n;
}

/* Ends in the deployment in which it began. */
static void play(struct server *s)
{
    deploy(s, DEPLOY("model_v2.json"));
    answer_is(server_get(s, "/admin/check-canary-health"), 200);
    answer_is(server_post(s, "/admin/rollback-canary", NULL), 200);
    status_wait_state(s, "idle");
    reload(s, "{" BY_HAND ",\"canary_model\":\"model_v2.json\"}", "model_v2.json");
    status_wait_state(s, "canary");
    order(s, "/admin/promote-canary");
    reload(s, "{" BY_HAND "}", "");
    deploy(s, DEPLOY("model_v1.json"));
    order(s, "/admin/promote-canary");
    answer_is(server_get(s, "/admin/events"), 200);
    answer_is(server_get(s, "/metrics"), 200);
    answer_is_problem(server_post(s, "/admin/deploy-canary", DEPLOY("none.json")), 404, NULL);
    answer_is_problem(server_post(s, "/predict", "{\"features\": [1"), 400, NULL);
    server_hang_up(s);
}

static void check_growth(long before, long after)
{
    print_message("%d rounds: %ld live blocks, then %ld\n", N_ROUNDS, before, after);
    if (after > before + SLACK)
        fail_msg("%ld blocks more are live after %d rounds; at most %d were expected",
                 after - before, N_ROUNDS, SLACK);
}

static void test_rounds(void **state)
{
    (void)state;
    struct server *s = server_prepare();
    struct heap_page *page = heap_watch_server(s);
    server_write_config(s, "{" BY_HAND "}");
    server_launch(s, NULL);
    server_wait_ready(s);
    for (int i = 0; i < N_WARM; i++)
        play(s);
    long before = count_live(s, page);
    for (int i = 0; i < N_ROUNDS; i++)
        play(s);
    check_growth(before, count_live(s, page));
    server_stop(s);
    heap_unmap(&page);
}

/* Fails at another of its worker's allocations each; what succeeds is rolled back. */
static int deploy_with_failures(struct server *s)
{
    int n_refused = 0;
    for (int i = 0; i < N_KINDS; i++) {
        char number[24];
        snprintf(number, sizeof number, "%d\n", 1 << i);
        workdir_write_text(s->dir, "fail_at", number);
        const struct http_answer *a =
            server_post(s, "/admin/deploy-canary", DEPLOY("model_v2.json"));
        n_refused += a->status != 200;
        if (a->status != 200)
            answer_is_problem(a, 422, "model-invalid");
        else
            answer_is(server_post(s, "/admin/rollback-canary", NULL), 200);
        status_wait_state(s, "idle");
        server_predict(s);
    }
    server_hang_up(s);
    return n_refused;
}

static void test_refused_deployments(void **state)
{
    int n_refused = 0;
    (void)state;
    struct server *s = server_prepare();
    struct heap_page *page = heap_watch_server(s);
    char *worker = heap_wrap_worker(s);
    server_launch(s, (const char *const[]){"--worker-user=", worker, NULL});
    server_wait_ready(s);
    for (int i = 0; i < N_WARM / N_KINDS; i++)
        deploy_with_failures(s);
    long before = count_live(s, page);
    for (int i = 0; i < N_ROUNDS / N_KINDS; i++)
        n_refused += deploy_with_failures(s);
    check_growth(before, count_live(s, page));
    print_message("%d of %d deployments were refused\n", n_refused, N_ROUNDS);
    assert_true(n_refused > SLACK);
    free(worker);
    server_stop(s);
    heap_unmap(&page);
}

/* What a worker holds is its model: a prediction leaves nothing behind. */
static void test_predictions_in_a_worker(void **state)
{
    (void)state;
    struct server *s = server_prepare();
    struct heap_page *page = heap_map(s, "worker_heap");
    char *worker = heap_wrap_worker(s);
    server_launch(s, (const char *const[]){"--worker-user=", worker, NULL});
    server_wait_ready(s);
    for (int i = 0; i < N_ASKED / 10; i++)
        server_predict(s);
    long before = heap_live_at_rest(page);
    assert_true(before > 0);
    heap_fail_at(page, 0);
    for (int i = 0; i < N_ASKED; i++)
        server_predict(s);
    print_message("%d predictions: %ld allocations, %ld live blocks, then %ld\n", N_ASKED,
                  page->n_calls, before, heap_live_at_rest(page));
    assert_int_equal(heap_live_at_rest(page), before);
    free(worker);
    server_stop(s);
    heap_unmap(&page);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SERVER_TEST(test_rounds),
        SERVER_TEST(test_refused_deployments),
        SERVER_TEST(test_predictions_in_a_worker),
    };
    if (!heap_is_ours()) {
        puts("SKIP test_leaks: a sanitizer has a malloc of its own");
        return 0;
    }
    return cmocka_run_group_tests_name("leaks", tests, NULL, NULL);
}
