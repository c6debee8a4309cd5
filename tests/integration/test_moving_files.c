/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Model files that change while they are deployed: replaced by rename, and
 * appended to. What is served is what was hashed.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/mem.h"
#include "tests/support/answer.h"
#include "tests/support/server.h"
#include "tests/support/status.h"
#include "tests/support/workdir.h"

#define N_ROUNDS 60
#define DEPLOY   "{\"model_path\":\"moving.json\",\"replace\":true}"

/* y = the intercept: a model that tells which one it is. */
#define MODEL(intercept)                                                                           \
    "{\"format\":\"canaryd-model\",\"version\":1,\"kind\":\"linear-regression\",\"n_features\":5," \
    "\"linear\":{\"coefficients\":[0,0,0,0,0],\"intercept\":" intercept "},\"link\":\"identity\"}"

static const char *const texts[] = {MODEL("0.25"), MODEL("0.75")};
static const double outputs[] = {0.25, 0.75};

struct mover {
    pthread_t thread;
    const char *dir;
    atomic_bool stop;
};

static void *rename_for_ever(void *arg)
{
    struct mover *m = arg;
    char *from = workdir_path(m->dir, "models/next");
    char *to = workdir_path(m->dir, "models/moving.json");
    for (int i = 0; !m->stop; i++) {
        workdir_write_text(m->dir, "models/next", texts[i % 2]);
        if (rename(from, to) != 0)
            break;
    }
    free(from);
    free(to);
    return NULL;
}

static void *append_for_ever(void *arg)
{
    struct mover *m = arg;
    char *path = workdir_path(m->dir, "models/moving.json");
    FILE *f = fopen(path, "a");
    for (int i = 0; !m->stop; i++) {
        fputs("          ", f);
        fflush(f);
        if (i % 1000 == 0)
            workdir_write_text(m->dir, "models/moving.json", texts[0]); /* truncates, writes */
    }
    fclose(f);
    free(path);
    return NULL;
}

static void start_moving(struct mover *m, struct server *s, void *(*move)(void *arg))
{
    m->dir = s->dir;
    m->stop = false;
    workdir_write_text(s->dir, "models/moving.json", texts[0]);
    assert_int_equal(pthread_create(&m->thread, NULL, move, m), 0);
}

static void stop_moving(struct mover *m)
{
    m->stop = true;
    pthread_join(m->thread, NULL);
}

static double ask_canary(struct server *s)
{
    const struct http_answer *a =
        server_ask(s, &(struct http_request){.method = "POST",
                                             .path = "/predict",
                                             .headers = "X-Canary: always\r\n",
                                             .body = GOOD_FEATURES});
    answer_is(a, 200);
    answer_string_is(a, "model_used", "canary");
    return cJSON_GetNumberValue(a->json->child);
}

/* The hashes of both texts, by deploying each at rest. */
static void learn_hashes(struct server *s, char hashes[2][80])
{
    for (int i = 0; i < 2; i++) {
        workdir_write_text(s->dir, "models/moving.json", texts[i]);
        const struct http_answer *a = server_post(s, "/admin/deploy-canary", DEPLOY);
        answer_is(a, 200);
        snprintf(hashes[i], 80, "%s", answer_string(a, "sha256"));
        assert_near(ask_canary(s), outputs[i], 0, "the model at rest");
    }
}

static const char *const by_hand[] = {"--auto-rollback=false", "--warmup-requests=0", NULL};

static void test_swapped(void **state)
{
    struct mover m;
    char hashes[2][80];
    int n[2] = {0};
    (void)state;
    struct server *s = server_start(by_hand);
    learn_hashes(s, hashes);
    start_moving(&m, s, rename_for_ever);
    for (int i = 0; i < N_ROUNDS; i++) {
        const struct http_answer *a = server_post(s, "/admin/deploy-canary", DEPLOY);
        answer_is(a, 200);
        int which = strcmp(answer_string(a, "sha256"), hashes[1]) == 0;
        answer_string_is(a, "sha256", hashes[which]);
        assert_near(ask_canary(s), outputs[which], 0, "the model that was hashed");
        n[which]++;
    }
    stop_moving(&m);
    print_message("%d and %d deployments of the two\n", n[0], n[1]);
    server_stop(s);
}

static void test_growing(void **state)
{
    struct mover m;
    char hashes[2][80];
    int n_served = 0, n_refused = 0;
    (void)state;
    struct server *s = server_start(by_hand);
    learn_hashes(s, hashes);
    pid_t stable = status_pid(s, "stable");
    start_moving(&m, s, append_for_ever);
    for (int i = 0; i < N_ROUNDS; i++) {
        const struct http_answer *a = server_post(s, "/admin/deploy-canary", DEPLOY);
        n_served += a->status == 200;
        n_refused += a->status == 422; /* half written when it was read */
        if (a->status != 200 && a->status != 422)
            fail_msg("%s%s", a->head, a->body);
        if (a->status == 200)
            assert_near(ask_canary(s), outputs[0], 0, "the model that grows");
    }
    stop_moving(&m);
    print_message("%d deployments of a growing file, %d refused\n", n_served, n_refused);
    assert_int_equal(status_pid(s, "stable"), stable);
    server_predict(s);
    server_stop(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {SERVER_TEST(test_swapped), SERVER_TEST(test_growing)};
    return cmocka_run_group_tests_name("moving_files", tests, NULL, NULL);
}
