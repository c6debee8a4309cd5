/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Clients that take their time, or that are too many: senders and readers that
 * drip, connections that say nothing, ten thousand of them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include <cmocka.h>

#include "common/clock.h"
#include "common/mem.h"
#include "tests/support/answer.h"
#include "tests/support/server.h"
#include "tests/support/workdir.h"

#define PATIENCE_MS 20000
#define DRIP_MS     50
#define N_IDLE      10000
#define N_CAP       20
#define N_PIPELINED 1000
#define OWN_FILES   1000 /* of this test, and what canaryd keeps for itself */

static struct http *open_to(struct server *s)
{
    struct err e = {0};
    struct http *h = http_open(s->port, &e);
    if (h == NULL)
        fail_msg("%s", e.text);
    return h;
}

/* Sends head, then drip again and again, until the server has had enough; its
 * last words are 408. Returns how long it took. */
static int64_t drip_until_closed(struct server *s, const char *head, const char *drip)
{
    struct http *h = open_to(s);
    struct http_answer a = {0};
    struct err e = {0};
    int64_t began_ns = clock_mono_ns();
    http_send(h, head, strlen(head), &e);
    while (http_is_idle(h)) {
        if (clock_mono_ns() > began_ns + PATIENCE_MS * NS_PER_MS)
            fail_msg("still fed after %d ms: %s", PATIENCE_MS, head);
        http_send(h, drip, strlen(drip), &e);
        workdir_sleep_ms(DRIP_MS);
    }
    int64_t took_ns = clock_mono_ns() - began_ns;
    if (http_receive(h, false, &a, &e) != 1)
        fail_msg("%s: no last words: %s", head, e.text);
    answer_is_problem(&a, 408, "request-timeout");
    http_answer_clear(&a);
    assert_int_equal(http_receive(h, false, &a, &e), 0);
    http_close(&h);
    return took_ns / NS_PER_MS;
}

static const char *const short_head[] = {"--header-timeout-ms=600", NULL};
static const char *const short_body[] = {"--body-timeout-ms=600", NULL};
static const char *const short_write[] = {"--write-timeout-ms=600", NULL};

static void test_slow_headers(void **state)
{
    (void)state;
    struct server *s = server_start(short_head);
    int64_t ms = drip_until_closed(s, "GET /livez HTTP/1.1\r\nHost: x\r\n", "X-A: 1\r\n");
    assert_true(ms >= 500);
    server_predict(s);
    server_stop(s);
}

static void test_slow_body(void **state)
{
    (void)state;
    struct server *s = server_start(short_body);
    int64_t ms = drip_until_closed(
        s, "POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 9999\r\n\r\n", "1");
    assert_true(ms >= 500);
    /* as chunks, and to an admin endpoint */
    drip_until_closed(s,
                      "POST /admin/deploy-canary HTTP/1.1\r\nHost: localhost\r\n"
                      "Transfer-Encoding: chunked\r\n\r\n",
                      "1\r\n \r\n");
    server_predict(s);
    server_stop(s);
}

/* A thousand requests and not one answer taken: what the sockets hold is filled,
 * then the time runs. */
static void test_slow_reader(void **state)
{
    static const char one[] = "GET /admin/status HTTP/1.1\r\nHost: localhost\r\n\r\n";
    struct err e = {0};
    struct http_answer a = {0};
    int n_answers = 0, rc;
    (void)state;
    struct server *s = server_start(short_write);
    struct http *h = open_to(s);
    for (int i = 0; i < N_PIPELINED; i++)
        http_send(h, one, sizeof one - 1, &e);
    server_predict(s);
    workdir_sleep_ms(1500); /* unread, for longer than the deadline */
    server_predict(s);
    while ((rc = http_receive(h, false, &a, &e)) == 1) {
        n_answers++;
        http_answer_clear(&a);
    }
    http_close(&h);
    print_message("closed after %d of %d answers\n", n_answers, N_PIPELINED);
    assert_true(n_answers < N_PIPELINED);
    server_stop(s);
}

static const char *const small_cap[] = {"--max-connections=20", NULL};

static void ask_keeping(struct http *h)
{
    struct http_answer a = {0};
    struct err e = {0};
    if (http_ask(h, &(struct http_request){.path = "/livez"}, &a, &e) != 0)
        fail_msg("%s", e.text);
    answer_is(&a, 200);
    http_answer_clear(&a);
}

static bool serves_a_stranger(struct server *s, void *arg)
{
    struct http_answer a = {0};
    struct err e = {0};
    (void)arg;
    struct http *h = open_to(s);
    bool is_served =
        http_ask(h, &(struct http_request){.path = "/livez"}, &a, &e) == 0 && a.status == 200;
    http_answer_clear(&a);
    http_close(&h);
    return is_served;
}

/* Who asks comes before who only might; when all are busy, the next is told. */
static void test_connections_over_cap(void **state)
{
    struct http *h[N_CAP + 5];
    struct http_answer a = {0};
    struct err e = {0};
    (void)state;
    struct server *s = server_start(small_cap);
    for (int i = 0; i < N_CAP + 5; i++) {
        h[i] = open_to(s);
        ask_keeping(h[i]);
    }
    for (int i = 0; i < 5; i++)
        assert_int_equal(http_receive(h[i], false, &a, &e), 0);
    for (int i = 5; i < N_CAP + 5; i++)
        assert_int_equal(http_send(h[i], "GET /livez HTT", 14, &e), 0);
    struct http *late = open_to(s);
    assert_int_equal(http_receive(late, false, &a, &e), 1);
    answer_is_problem(&a, 503, "too-many-connections");
    answer_header(&a, "Retry-After", NULL);
    http_answer_clear(&a);
    http_close(&late);
    for (int i = 0; i < N_CAP + 5; i++)
        http_close(&h[i]);
    server_wait_until(s, serves_a_stranger, NULL, "the others to have left", PATIENCE_MS);
    server_stop(s);
}

static int n_idle_allowed(void)
{
    struct rlimit files;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &files), 0);
    files.rlim_cur = files.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &files), 0);
    return files.rlim_cur >= N_IDLE + OWN_FILES ? N_IDLE : (int)files.rlim_cur - OWN_FILES;
}

static int by_value(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static void predict_and_tell(struct server *s, const char *when)
{
    enum { N = 300 };
    static int64_t took_ns[N];
    for (int i = 0; i < N; i++) {
        int64_t began_ns = clock_mono_ns();
        server_predict(s);
        took_ns[i] = clock_mono_ns() - began_ns;
    }
    qsort(took_ns, N, sizeof took_ns[0], by_value);
    print_message("%s: a prediction takes %.3f ms (median), %.3f ms (p99)\n", when,
                  ns_to_ms((double)took_ns[N / 2]), ns_to_ms((double)took_ns[N * 99 / 100]));
}

/* Half of them have asked something, the others have never said a word. */
static void test_ten_thousand_idle(void **state)
{
    static const char *const patient[] = {"--header-timeout-ms=60000", NULL};
    (void)state;
    int n = n_idle_allowed();
    struct server *s = server_start(patient);
    struct http **h = mem_array((size_t)n, sizeof(struct http *));
    predict_and_tell(s, "alone");
    for (int i = 0; i < n; i++) {
        h[i] = open_to(s);
        if (i % 2 == 0)
            ask_keeping(h[i]);
    }
    print_message("%d connections are open\n", n);
    predict_and_tell(s, "beside them");
    for (int i = 0; i < n; i++) {
        if (i % 500 == 0) /* nobody was thrown out for it */
            ask_keeping(h[i]);
        http_close(&h[i]);
    }
    free(h);
    server_predict(s);
    server_stop(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SERVER_TEST(test_slow_headers),      SERVER_TEST(test_slow_body),
        SERVER_TEST(test_slow_reader),       SERVER_TEST(test_connections_over_cap),
        SERVER_TEST(test_ten_thousand_idle),
    };
    return cmocka_run_group_tests_name("connections", tests, NULL, NULL);
}
