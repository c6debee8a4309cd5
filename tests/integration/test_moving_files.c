/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Model files that change while they are deployed: replaced by rename, and
 * appended to. What is served is what was hashed.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
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
    char path[256], beside[256];
    atomic_bool stop;
};

/* Without the tests' helpers: those end the test, which is another thread's. */
static bool write_text(const char *path, const char *mode, const char *text)
{
    FILE *f = fopen(path, mode);
    return f != NULL && fputs(text, f) >= 0 && fclose(f) == 0;
}

static void *rename_for_ever(void *arg)
{
    struct mover *m = arg;
    bool goes_on = true;
    for (int i = 0; goes_on && !m->stop; i++)
        goes_on = write_text(m->beside, "we", texts[i % 2]) && rename(m->beside, m->path) == 0;
    return NULL;
}

/* Now and then it begins anew: then it is short, or empty. */
static void *append_for_ever(void *arg)
{
    struct mover *m = arg;
    bool goes_on = true;
    for (int i = 1; goes_on && !m->stop; i++)
        goes_on = i % 1000 == 0 ? write_text(m->path, "we", texts[0])
                                : write_text(m->path, "ae", "          ");
    return NULL;
}

static void start_moving(struct mover *m, struct server *s, void *(*move)(void *arg))
{
    snprintf(m->path, sizeof m->path, "%s/models/moving.json", s->dir);
    snprintf(m->beside, sizeof m->beside, "%s/models/next", s->dir);
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
    static struct mover m; /* a failed test leaves its thread behind */
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
    static struct mover m; /* a failed test leaves its thread behind */
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
