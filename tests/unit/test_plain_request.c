/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "supervisor/plain_request.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char usual[] = "POST /predict HTTP/1.1\r\n"
                            "Host: 127.0.0.1:8000\r\n"
                            "User-Agent: curl/7.88.1\r\n"
                            "accept: */*\r\n"
                            "Content-Type: application/json\r\n"
                            "X-Request-ID: order-17\r\n"
                            "CONTENT-LENGTH:20\r\n"
                            "\r\n"
                            "{\"features\":[1,2,3]}";

/* Whether it is plain and there is all of it. */
static bool read_whole(const char *bytes, size_t n, const char *keep, struct plain_request *r)
{
    return plain_request_read(bytes, n, keep, r) && r->size <= n;
}

/* Copied to bytes of exactly that length, so that a sanitizer sees a step too far. */
static bool is_plain(const char *bytes, size_t n)
{
    struct plain_request r;
    char *copy = malloc(n + (n == 0));
    memcpy(copy, bytes, n);
    bool plain = read_whole(copy, n, "", &r);
    free(copy);
    return plain;
}

static void test_the_parts_of_a_plain_request(void **state)
{
    struct plain_request r;
    (void)state;
    assert_true(read_whole(usual, sizeof usual - 1, "", &r));
    assert_int_equal(r.size, sizeof usual - 1);
    assert_int_equal(r.path_size, 8);
    assert_memory_equal(r.path, "/predict", 8);
    assert_int_equal(r.body_size, 20);
    assert_memory_equal(r.body, "{\"features\":[1,2,3]}", 20);
    assert_int_equal(r.id_size, 8);
    assert_memory_equal(r.id, "order-17", 8);
}

/* ... and tracers; but not twice, which somebody must make sense of. */
static void test_what_proxies_add_is_plain(void **state)
{
    static const char *const fields[] = {
        "Via: 1.1 edge\r\n",
        "Forwarded: for=192.0.2.60;proto=http;by=203.0.113.43\r\n",
        "X-Forwarded-For: 192.0.2.60, 203.0.113.43\r\n",
        "X-Forwarded-Host: models.example\r\n",
        "X-Forwarded-Proto: https\r\n",
        "X-Real-IP: 192.0.2.60\r\n",
        "Accept-Language: de, en;q=0.5\r\n",
        "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n",
        "tracestate: rojo=00f067aa0ba902b7,congo=t61rcWkgMzE\r\n",
    };
    static const char head[] = "POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n";
    char all[1024], twice[512];
    size_t n = (size_t)snprintf(all, sizeof all, "%s", head);
    (void)state;
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        n += (size_t)snprintf(all + n, sizeof all - n, "%s", fields[i]);
        snprintf(twice, sizeof twice, "%s%s%s\r\n{}", head, fields[i], fields[i]);
        assert_false(is_plain(twice, strlen(twice)));
    }
    n += (size_t)snprintf(all + n, sizeof all - n, "\r\n{}");
    assert_true(is_plain(all, n));
}

static void test_a_kept_field(void **state)
{
    static const char text[] = "POST /predict HTTP/1.1\r\nHost: x\r\nX-User: ann b\r\n"
                               "Content-Length: 2\r\n\r\n{}";
    static const char proxied[] = "POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n"
                                  "X-Forwarded-For: 192.0.2.60\r\n\r\n{}";
    struct plain_request r;
    (void)state;
    assert_true(read_whole(text, sizeof text - 1, "x-user", &r));
    assert_int_equal(r.kept_size, 5);
    assert_memory_equal(r.kept, "ann b", 5);
    assert_false(read_whole(text, sizeof text - 1, "", &r));
    assert_false(read_whole(text, sizeof text - 1, "X-Use", &r));
    assert_true(read_whole(usual, sizeof usual - 1, "X-User", &r));
    assert_null(r.kept);
    assert_true(read_whole(usual, sizeof usual - 1, "X-Forwarded-For", &r));
    assert_null(r.kept);
    assert_true(read_whole(proxied, sizeof proxied - 1, "x-forwarded-for", &r));
    assert_int_equal(r.kept_size, 10);
    assert_memory_equal(r.kept, "192.0.2.60", 10);
}

static void test_it_ends_where_its_body_ends(void **state)
{
    struct plain_request r;
    char two[2 * sizeof usual];
    (void)state;
    snprintf(two, sizeof two, "%s%s", usual, usual);
    assert_true(read_whole(two, strlen(two), "", &r));
    assert_int_equal(r.size, sizeof usual - 1);
}

static void test_no_beginning_of_one_is_plain(void **state)
{
    (void)state;
    for (size_t n = 0; n < sizeof usual - 1; n++)
        assert_false(is_plain(usual, n));
    assert_true(is_plain(usual, sizeof usual - 1));
}

static void test_what_is_unusual_is_not_plain(void **state)
{
    static const char *const heads[] = {
        "GET /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n",
        "post /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n",
        "POST  /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n",
        "POST /predict  HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n",
        "POST /predict HTTP/1.0\r\nHost: x\r\nContent-Length: 2\r\n\r\n",
        "POST /predict HTTP/1.10\r\nHost: x\r\nContent-Length: 2\r\n\r\n",
        "POST /predict?x=1 HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n",
        "POST /predict#x HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n",
        "POST /%70redict HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n",
        "POST http://x/predict HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n",
        "POST predict HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n",
        "\r\nPOST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n",
        "POST /predict HTTP/1.1\nHost: x\nContent-Length: 2\n\n",
        "POST /predict HTTP/1.1\r\nContent-Length: 2\r\n\r\n",
        "POST /predict HTTP/1.1\r\nHost: x\r\n\r\n",
        "POST /predict HTTP/1.1\r\nHost: x\r\nHost: x\r\nContent-Length: 2\r\n\r\n",
        "POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n",
        "POST /predict HTTP/1.1\r\nHost: \r\nContent-Length: 2\r\n\r\n",
        "POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
        "POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: -2\r\n\r\n",
        "POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: +2\r\n\r\n",
        "POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 0x2\r\n\r\n",
        "POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 2 \r\n\r\n",
        "POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length:  2\r\n\r\n",
        "POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length : 2\r\n\r\n",
        "POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nX-Canary: never\r\n\r\n",
        "POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nX-User-ID: 7\r\n\r\n",
        "POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n",
        "POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nTransfer-Encoding: "
        "chunked\r\n\r\n",
        "POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nConnection: close\r\n\r\n",
        "POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nConnection: upgrade\r\n\r\n",
        "POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Type: "
        "text/plain\r\n\r\n",
        "POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Encoding: gzip\r\n\r\n",
        "POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nAccept: text/html\r\n\r\n",
        "POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nOrigin: http://x\r\n\r\n",
        "POST /predict HTTP/1.1\r\nHost: x\r\n Content-Length: 2\r\n\r\n",
        "POST /predict HTTP/1.1\r\nHost: x\x01\r\nContent-Length: 2\r\n\r\n",
        "POST /predict HTTP/1.1\r\nHost: x\xff\r\nContent-Length: 2\r\n\r\n",
        "POST /predict HTTP/1.1\r\nHost: x\ry\r\nContent-Length: 2\r\n\r\n",
        "POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 20000000\r\n\r\n",
    };
    char bytes[512];
    (void)state;
    assert_true(is_plain("POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}", 56));
    for (size_t i = 0; i < sizeof heads / sizeof heads[0]; i++) {
        int n = snprintf(bytes, sizeof bytes, "%s{}", heads[i]);
        if (is_plain(bytes, (size_t)n))
            fail_msg("is plain: %s", heads[i]);
    }
}

/* NUL is no blank and no end. */
static void test_nul_bytes(void **state)
{
    static const char bytes[] =
        "POST /predict HTTP/1.1\r\nHost: x\0y\r\nContent-Length: 2\r\n\r\n{}";
    static const char path[] = "POST /pre\0dict HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}";
    (void)state;
    assert_false(is_plain(bytes, sizeof bytes - 1));
    assert_false(is_plain(path, sizeof path - 1));
}

static void test_a_long_head_is_not_plain(void **state)
{
    char bytes[PLAIN_REQUEST_MAX_HEAD + 256];
    (void)state;
    for (int i = 0; i < 2; i++) {
        int n = PLAIN_REQUEST_MAX_HEAD - 70 + i * 70;
        int size =
            snprintf(bytes, sizeof bytes,
                     "POST /predict HTTP/1.1\r\nHost: %0*d\r\nContent-Length: 2\r\n\r\n{}", n, 1);
        assert_int_equal(is_plain(bytes, (size_t)size), i == 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_parts_of_a_plain_request),
        cmocka_unit_test(test_what_proxies_add_is_plain),
        cmocka_unit_test(test_a_kept_field),
        cmocka_unit_test(test_it_ends_where_its_body_ends),
        cmocka_unit_test(test_no_beginning_of_one_is_plain),
        cmocka_unit_test(test_what_is_unusual_is_not_plain),
        cmocka_unit_test(test_nul_bytes),
        cmocka_unit_test(test_a_long_head_is_not_plain),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
