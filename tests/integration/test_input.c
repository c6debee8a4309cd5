/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Bodies that a careless client posts to /predict, each with the answer that
 * tells it what is wrong and where.
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

#define NUMBERS "[0.5,1.2,0.8,0.3,1.1]"

static const struct {
    const char *body;
    size_t n; /* 0: strlen */
    int status, or_status;
    const char *code, *pointer; /* NULL: any */
} bodies[] = {
    {"{\"features\":" NUMBERS "}", 0, 200, 0, NULL, NULL},
    {" { \"features\" : [ 0.5 , 1.2,0.8,\t0.3,\r\n1.1 ] } ", 0, 200, 0, NULL, NULL},
    {"{\"features\":[1,2", 0, 400, 0, "bad-json", NULL},
    {"{\"features\":[1,2,3,4,5]} x", 0, 400, 0, "bad-json", NULL},
    {"{\"features\":[1,2,3,4,5]}{\"features\":[9,9,9,9,9]}", 0, 400, 0, "bad-json", NULL},
    {"{\"features\":[1,2,3,4,5]}\0x", 26, 400, 0, "bad-json", NULL},
    {"{\x01\"features\":[1,2,3,4,5]}", 0, 400, 0, "bad-json", NULL},
    {"{\"features\":[1,2,3,4,5],\"id\":\"\\ud800\"}", 0, 400, 0, "bad-json", NULL},
    {"{\"features\\u0000x\":[1,2,3,4,5]}", 0, 400, 422, NULL, NULL},
    {"{\"features\":[1,2,3,4,5],\"id\":\"a\\u0000b\"}", 0, 400, 0, "bad-json", NULL},
    {"{\"features\":[1,2,3,4,5],\"id\":\"a\nb\"}", 0, 400, 0, "bad-json", NULL},
    {"{\"features\":[1,2,3,4,5],\"id\":\"\xff\"}", 0, 400, 0, "bad-json", NULL},
    {"{'features':[1,2,3,4,5]}", 0, 400, 0, "bad-json", NULL},
    {"{\"features\":[1,/*c*/2,3,4]}", 0, 400, 0, "bad-json", NULL},
    {"{\"features\":[1,2,3,4,5],}", 0, 400, 0, "bad-json", NULL},
    {"{\"features\":[1,2,3,4,5,]}", 0, 400, 0, "bad-json", NULL},
    {"{\"features\":[NaN,2,3,4,5]}", 0, 400, 0, "bad-json", NULL},
    {"{\"features\":[Infinity,2,3,4,5]}", 0, 400, 0, "bad-json", NULL},
    {"{\"features\":[1e999,2,3,4,5]}", 0, 422, 0, "not-finite", "#/features/0"},
    {"{\"features\":[1,2,3,4,-1e999]}", 0, 422, 0, "not-finite", "#/features/4"},
    {"{\"features\":[1e308,2,3,4,5]}", 0, 200, 422, NULL, NULL},
    {"{\"features\":[1e-999,2,3,4,5]}", 0, 200, 0, NULL, NULL},
    {"{\"features\":[-0.0,2,3,4,5]}", 0, 200, 0, NULL, NULL},
    {"{\"features\":[5.,2,3,4,5]}", 0, 400, 0, "bad-json", NULL},
    {"{\"features\":[.5,2,3,4,5]}", 0, 400, 0, "bad-json", NULL},
    {"{\"features\":[05,2,3,4,5]}", 0, 400, 0, "bad-json", NULL},
    {"{\"features\":[0x5,2,3,4,5]}", 0, 400, 0, "bad-json", NULL},
    {"{\"features\":[+1,2,3,4,5]}", 0, 400, 0, "bad-json", NULL},
    {"{\"features\":[1.2.3,2,3,4,5]}", 0, 400, 0, "bad-json", NULL},
    {"{\"features\":[-,2,3,4,5]}", 0, 400, 0, "bad-json", NULL},
    {"{\"features\":[1e,2,3,4,5]}", 0, 400, 0, "bad-json", NULL},
    {"{\"features\":[123456789012345678901234567890,2,3,4,5]}", 0, 200, 0, NULL, NULL},
    {"{\"FEATURES\":[1,2,3,4,5]}", 0, 422, 0, "missing-features", NULL},
    {"{\"features\":[1,2,3,4,5],\"x\":1}", 0, 200, 422, NULL, NULL},
    {"{\"features\":[1,2,3,4,5],\"features\":[1,2,3,4,5]}", 0, 400, 422, "duplicate-key", NULL},
    {"[1,2,3,4,5]", 0, 422, 0, "not-an-object", NULL},
    {"5", 0, 422, 0, "not-an-object", NULL},
    {"null", 0, 422, 0, "not-an-object", NULL},
    {"\"features\"", 0, 422, 0, "not-an-object", NULL},
    {"{}", 0, 422, 0, "missing-features", NULL},
    {"{\"features\":null}", 0, 422, 0, "wrong-type", "#/features"},
    {"{\"features\":\"1,2,3,4,5\"}", 0, 422, 0, "wrong-type", "#/features"},
    {"{\"features\":{\"0\":1}}", 0, 422, 0, "wrong-type", "#/features"},
    {"{\"features\":[]}", 0, 422, 0, "wrong-length", "#/features"},
    {"{\"features\":[1,2,3]}", 0, 422, 0, "wrong-length", "#/features"},
    {"{\"features\":[1,2,3,4,5,6]}", 0, 422, 0, "wrong-length", "#/features"},
    {"{\"features\":[[1,2,3,4,5]]}", 0, 422, 0, "wrong-type", "#/features/0"},
    {"{\"features\":[1,2,null,4,5]}", 0, 422, 0, "wrong-type", "#/features/2"},
    {"{\"features\":[1,2,\"3\",4,5]}", 0, 422, 0, "wrong-type", "#/features/2"},
    {"{\"features\":[1,2,3,true,5]}", 0, 422, 0, "wrong-type", "#/features/3"},
    {" ", 0, 400, 0, NULL, NULL},
};

static void expect_pointer(const struct http_answer *a, const char *pointer)
{
    const cJSON *first = cJSON_GetArrayItem(answer_member(a, "errors"), 0);
    const char *got = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(first, "pointer"));
    if (got == NULL || strcmp(got, pointer) != 0)
        fail_msg("expected the pointer %s: %s", pointer, a->body);
}

static void test_bodies(void **state)
{
    (void)state;
    struct server *s = server_start(NULL);
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
        const struct http_answer *a =
            server_ask(s, &(struct http_request){.method = "POST",
                                                 .path = "/predict",
                                                 .headers = "Content-Type: application/json\r\n",
                                                 .body = bodies[i].body,
                                                 .n_body = bodies[i].n});
        if (a->status != bodies[i].status && a->status != bodies[i].or_status)
            fail_msg("%s: expected %d, got %s%s", bodies[i].body, bodies[i].status, a->head,
                     a->body);
        if (a->status != 200)
            answer_is_problem(a, a->status, bodies[i].code);
        if (bodies[i].pointer != NULL)
            expect_pointer(a, bodies[i].pointer);
    }
    server_predict(s);
    server_stop(s);
}

static void post_nested(struct server *s, size_t depth, int status)
{
    char *body = mem_array(depth + 1, 1);
    memset(body, '[', depth);
    const struct http_answer *a = server_post(s, "/predict", body);
    free(body);
    if (a->status != 400 && a->status != status)
        fail_msg("%zu levels: %s%s", depth, a->head, a->body);
}

static void test_large_bodies(void **state)
{
    (void)state;
    struct server *s = server_start(NULL);
    post_nested(s, 1000, 422);
    post_nested(s, 100000, 400);
    size_t n = 0;
    char *keys = mem_array(20000, 12);
    for (int i = 0; i < 20000; i++)
        n += (size_t)sprintf(keys + n, "%c\"k%d\":1", i == 0 ? '{' : ',', i);
    memcpy(keys + n, "}", 2);
    const struct http_answer *a = server_post(s, "/predict", keys);
    free(keys);
    answer_is_problem(a, 422, "missing-features");
    char *big = mem_array((size_t)2 << 20, 1);
    memset(big, ' ', ((size_t)2 << 20) - 1);
    a = server_post(s, "/predict", big);
    free(big);
    answer_is(a, 413);
    server_predict(s);
    server_stop(s);
}

static const struct {
    const char *headers;
    int status;
    const char *code;
} media[] = {
    {NULL, 200, NULL}, /* a missing type counts as JSON */
    {"Content-Type: application/json\r\n", 200, NULL},
    {"Content-Type: application/json; charset=utf-8\r\n", 200, NULL},
    {"Content-Type: Application/JSON\r\n", 200, NULL},
    {"Content-Type: text/plain\r\n", 415, "unsupported-media-type"},
    {"Content-Type: application/jsonp\r\n", 415, "unsupported-media-type"},
    {"Content-Type: application/x-www-form-urlencoded\r\n", 415, "unsupported-media-type"},
    {"Content-Encoding: gzip\r\n", 415, NULL},
    {"Content-Encoding: identity\r\n", 200, NULL},
    {"Accept: application/json\r\n", 200, NULL},
    {"Accept: */*\r\n", 200, NULL},
    {"Content-Type: application/json\r\nAccept: application/xml\r\n", 200, NULL},
};

static void test_media_types(void **state)
{
    (void)state;
    struct server *s = server_start(NULL);
    for (size_t i = 0; i < sizeof media / sizeof media[0]; i++) {
        const struct http_answer *a =
            server_ask(s, &(struct http_request){.method = "POST",
                                                 .path = "/predict",
                                                 .headers = media[i].headers,
                                                 .body = GOOD_FEATURES});
        if (a->status != media[i].status)
            fail_msg("%s: %s%s", media[i].headers, a->head, a->body);
        if (a->status != 200)
            answer_is_problem(a, media[i].status, media[i].code);
    }
    server_stop(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SERVER_TEST(test_bodies),
        SERVER_TEST(test_large_bodies),
        SERVER_TEST(test_media_types),
    };
    return cmocka_run_group_tests_name("input", tests, NULL, NULL);
}
