/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * POST /predict, as a well-meaning client sees it.
 */
#include <setjmp.h>
#include <stdarg.h>
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

/* What scikit-learn answers for GOOD_FEATURES; ours is the same to the last bit. */
#define GOLDEN_V1 0.22221935598642087
#define GOLDEN_V2 0.13076627455290477

static const struct http_answer *predict_with(struct server *s, const char *headers)
{
    const struct http_answer *a = server_ask(
        s, &(struct http_request){
               .method = "POST", .path = "/predict", .headers = headers, .body = GOOD_FEATURES});
    answer_is(a, 200);
    return a;
}

static void deploy_v2(struct server *s)
{
    answer_is(server_post(s, "/admin/deploy-canary", "{\"model_path\":\"model_v2.json\"}"), 200);
}

static void test_shape(void **state)
{
    (void)state;
    struct server *s = server_start(NULL);
    const struct http_answer *a = server_predict(s);
    answer_has_in_order(a, (const char *const[]){"{\"churn_probability\":", ",\"model_used\":",
                                                 ",\"latency_ms\":", ",\"request_id\":", NULL});
    assert_int_equal(cJSON_GetArraySize(a->json), 4);
    assert_near(answer_number(a, "churn_probability"), GOLDEN_V1, 0, "churn_probability");
    answer_string_is(a, "model_used", "stable");
    double ms = answer_number(a, "latency_ms");
    if (!(ms > 0 && ms < 2000))
        fail_msg("latency_ms: %s", a->body);
    answer_header(a, "Content-Type", "application/json");
    answer_header(a, "X-Request-ID", answer_string(a, "request_id"));
    answer_header(a, "X-Canary-Arm", "stable");
    assert_true(strlen(answer_header(a, "X-Model-Version", NULL)) > 0);
    server_stop(s);
}

static void test_request_id(void **state)
{
    (void)state;
    static const char *const replaced[] = {
        "a%0d%0aSet-Cookie:x=1", "with blank", "<b>", "a/b", "caf\xc3\xa9", ""};
    struct server *s = server_start(NULL);
    const struct http_answer *a = predict_with(s, "X-Request-ID: Az09._-\r\n");
    answer_header(a, "X-Request-ID", "Az09._-");
    answer_string_is(a, "request_id", "Az09._-");
    for (size_t i = 0; i < sizeof replaced / sizeof replaced[0]; i++) {
        char *line = mem_printf("X-Request-ID: %s\r\n", replaced[i]);
        a = predict_with(s, line);
        free(line);
        assert_memory_equal(answer_header(a, "X-Request-ID", NULL), "req_", 4);
        answer_header(a, "X-Request-ID", answer_string(a, "request_id"));
    }
    for (int n = 64; n <= 65; n++) {
        char *line = mem_printf("X-Request-ID: %0*d\r\n", n, 7);
        a = predict_with(s, line);
        free(line);
        bool kept = strncmp(answer_header(a, "X-Request-ID", NULL), "req_", 4) != 0;
        assert_int_equal(kept, n == 64);
    }
    const char *first = answer_string(server_predict(s), "request_id");
    assert_string_not_equal(first, answer_string(server_predict(s), "request_id"));
    server_stop(s);
}

static void test_arm_by_header(void **state)
{
    (void)state;
    struct server *s = server_start((const char *const[]){"--auto-rollback=false", NULL});
    deploy_v2(s);
    const char *stable = NULL;
    for (int i = 0; i < 20; i++) {
        const struct http_answer *a = predict_with(s, "X-Canary: always\r\n");
        answer_string_is(a, "model_used", "canary");
        answer_header(a, "X-Canary-Arm", "canary");
        assert_near(answer_number(a, "churn_probability"), GOLDEN_V2, 0, "churn_probability");
        const char *canary = answer_header(a, "X-Model-Version", NULL);
        a = predict_with(s, "X-Canary: never\r\n");
        answer_string_is(a, "model_used", "stable");
        answer_header(a, "X-Canary-Arm", "stable");
        stable = answer_header(a, "X-Model-Version", stable);
        assert_string_not_equal(stable, canary);
    }
    /* None of these were drawn by lot, so none is a sample. */
    const struct http_answer *a = server_get(s, "/admin/check-canary-health");
    assert_int_equal((int)answer_number(a, "canary_sample_count"), 0);
    assert_int_equal((int)answer_number(a, "stable_sample_count"), 0);
    answer_is_null(a, "p_value");
    server_stop(s);
}

/* Without a canary there is nothing to choose: stable answers. */
static void test_always_without_a_canary(void **state)
{
    (void)state;
    struct server *s = server_start(NULL);
    answer_string_is(predict_with(s, "X-Canary: always\r\n"), "model_used", "stable");
    server_stop(s);
}

static void test_users_stay_on_their_arm(void **state)
{
    (void)state;
    struct server *s =
        server_start((const char *const[]){"--auto-rollback=false", "--canary-percent=50", NULL});
    int n_canary = 0;
    deploy_v2(s);
    for (int user = 0; user < 40; user++) {
        char header[48];
        snprintf(header, sizeof header, "X-User-ID: user-%d\r\n", user);
        const char *used = answer_string(predict_with(s, header), "model_used");
        for (int i = 0; i < 4; i++)
            answer_string_is(predict_with(s, header), "model_used", used);
        n_canary += strcmp(used, "canary") == 0;
    }
    assert_in_range(n_canary, 5, 35); /* binomial(40, 1/2): outside once in 10^7 */
    server_stop(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SERVER_TEST(test_shape),
        SERVER_TEST(test_request_id),
        SERVER_TEST(test_arm_by_header),
        SERVER_TEST(test_always_without_a_canary),
        SERVER_TEST(test_users_stay_on_their_arm),
    };
    return cmocka_run_group_tests_name("predict", tests, NULL, NULL);
}
