/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The real server's log of samples: every draw of a deployment in its place,
 * and a disk that takes nothing is no reason to answer less.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/mem.h"
#include "tests/support/answer.h"
#include "tests/support/ctl_run.h"
#include "tests/support/server.h"
#include "tests/support/status.h"
#include "tests/support/traffic.h"

#define HEADER "arm,time_ms,round_trip_ms,service_ms,outcome,stalled,group_end\n"

static void deploy(struct server *s)
{
    answer_is(server_post(s, "/admin/deploy-canary", "{\"model_path\":\"model_v2.json\"}"), 200);
    status_wait_baseline(s);
}

static void launch(struct server *s, const char *path)
{
    char *option = mem_printf("--sample-log=%s", path);
    server_launch(s, (const char *const[]){"--auto-rollback=false", option, NULL});
    server_wait_ready(s);
    free(option);
}

/* path NULL: samples.csv in its directory. */
static struct server *start_with(const char *path)
{
    struct server *s = server_prepare();
    launch(s, path != NULL ? path : server_path(s, "samples.csv"));
    return s;
}

struct reading {
    int n[3]; /* stable, baseline, canary */
    int n_not_ok;
    double last_time_ms, canary_ms; /* sum of the canary's round trips */
    int in_group[3];                /* of the ten draws at hand */
};

static void read_line(struct reading *r, const char *line, int i)
{
    static const char *const arms[] = {"stable", "baseline", "canary"};
    static const int places[] = {8, 1, 1};
    char arm[16], outcome[16];
    double time_ms, round_trip_ms, service_ms;
    int stalled, group_end;
    if (sscanf(line, "%15[^,],%lf,%lf,%lf,%15[^,],%d,%d", arm, &time_ms, &round_trip_ms,
               &service_ms, outcome, &stalled, &group_end) != 7)
        fail_msg("line %d: %.80s", i, line);
    assert_true(time_ms >= r->last_time_ms && service_ms <= round_trip_ms && service_ms > 0);
    r->last_time_ms = time_ms;
    r->n_not_ok += strcmp(outcome, "ok") != 0;
    for (int k = 0; k < 3; k++)
        if (strcmp(arm, arms[k]) == 0)
            r->in_group[k]++;
    if (strcmp(arm, "canary") == 0)
        r->canary_ms += round_trip_ms;
    if (i % 10 != 9)
        return;
    for (int k = 0; k < 3; k++) {
        assert_int_equal(r->in_group[k], places[k]); /* in the order of the draws */
        r->n[k] += r->in_group[k];
        r->in_group[k] = 0;
    }
}

static struct reading read_log(const char *path, int n)
{
    struct reading r = {0};
    char line[200];
    int i = 0;
    FILE *f = fopen(path, "re");
    assert_non_null(f);
    assert_non_null(fgets(line, sizeof line, f));
    assert_string_equal(line, HEADER);
    for (; fgets(line, sizeof line, f) != NULL; i++)
        read_line(&r, line, i);
    fclose(f);
    assert_int_equal(i, n);
    return r;
}

/* What the log says is what the report says. */
static void test_every_draw(void **state)
{
    (void)state;
    struct server *s = start_with(NULL);
    const char *path = server_path(s, "samples.csv");
    deploy(s);
    for (int i = 0; i < 300; i++)
        server_predict(s);
    const struct http_answer *a = server_get(s, "/admin/check-canary-health");
    double canary_ms = answer_number(a, "canary_avg_latency_ms");
    answer_is(server_post(s, "/admin/rollback-canary", NULL), 200);
    for (int i = 0; i < 20; i++)
        server_predict(s); /* of no deployment */
    server_stop(s);
    struct reading r = read_log(path, 300);
    assert_int_equal(r.n[0], 240);
    assert_int_equal(r.n[1], 30);
    assert_int_equal(r.n[2], 30);
    assert_int_equal(r.n_not_ok, 0);
    assert_near(r.canary_ms / r.n[2], canary_ms, 1e-6, "the canary's mean");
}

/* In any order of the answers. */
static void test_many_at_once(void **state)
{
    (void)state;
    struct server *s = start_with(NULL);
    const char *path = server_path(s, "samples.csv");
    deploy(s);
    struct traffic *t = traffic_start(s->port, 16);
    traffic_wait(t, 3000);
    struct traffic_report report = traffic_stop(&t);
    traffic_expect_clean(&report);
    server_stop(s);
    read_log(path, (int)report.n_ok);
}

/* The last line of a replay: its health report. */
static cJSON *replay(const char *path)
{
    char *line = mem_printf("replay %s --percent 10", path);
    struct ctl_run r = ctl_run_alone(line);
    free(line);
    char *end = strrchr(r.out, '\n');
    *end = '\0';
    const char *last = strrchr(r.out, '\n');
    cJSON *health = cJSON_Parse(last != NULL ? last + 1 : r.out);
    assert_non_null(health);
    ctl_run_clear(&r);
    return health;
}

static void compare_members(const cJSON *live, const cJSON *again)
{
    static const char *const same[] = {
        "p_value", "stable_sample_count", "canary_sample_count", "baseline_sample_count",
        "verdict", "verdict_test",        "verdict_clock",       "metrics",
        "effect",  "service_effect"};
    for (size_t i = 0; i < sizeof same / sizeof same[0]; i++)
        if (!cJSON_Compare(cJSON_GetObjectItemCaseSensitive(live, same[i]),
                           cJSON_GetObjectItemCaseSensitive(again, same[i]), true))
            fail_msg("%s: %s\nis not\n%s", same[i], cJSON_PrintUnformatted(live),
                     cJSON_PrintUnformatted(again));
}

/* Ends the server, whose log must say what its last health report did. */
static void replay_and_compare(struct server *s, const struct http_answer *health)
{
    cJSON *live = cJSON_Duplicate(health->json, true);
    server_stop(s);
    cJSON *again = replay(server_path(s, "samples.csv"));
    compare_members(live, again);
    cJSON_Delete(live);
    cJSON_Delete(again);
}

/* What is replayed is what was judged, to the last digit: blocks, evidence, and the draw at
 * which it fired. */
static void test_a_replay_finds_the_same(void **state)
{
    (void)state;
    struct server *s = start_with(NULL);
    deploy(s);
    struct traffic *t = traffic_start(s->port, 4);
    traffic_wait(t, 2000);
    answer_is(server_post(s, "/admin/toggle-slowdown", NULL), 200);
    traffic_wait(t, 2000);
    struct traffic_report report = traffic_stop(&t);
    traffic_expect_clean(&report);
    const struct http_answer *a = server_get(s, "/admin/check-canary-health");
    assert_true(answer_bool(a, "alert_triggered"));
    replay_and_compare(s, a);
}

struct wanted_lines {
    const char *path;
    int n;
};

static bool has_lines(struct server *s, void *arg)
{
    const struct wanted_lines *wanted = arg;
    int n = 0;
    (void)s;
    FILE *f = fopen(wanted->path, "re");
    for (int c; f != NULL && (c = getc(f)) != EOF;)
        n += c == '\n';
    if (f != NULL)
        fclose(f);
    return n >= wanted->n;
}

static void predict(struct server *s, int n)
{
    for (int i = 0; i < n; i++)
        server_predict(s);
}

/* canaryd is killed in the middle of a deployment and comes back into it: the log of
 * both lives replays, and to the same. */
static void test_a_log_of_two_lives(void **state)
{
    (void)state;
    struct server *s = start_with(NULL);
    const char *path = server_path(s, "samples.csv");
    deploy(s);
    predict(s, 333);
    server_wait_until(s, has_lines, &(struct wanted_lines){path, 1 + 333}, "the log is written",
                      10000);
    server_signal(s, SIGKILL);
    assert_int_equal(server_wait_exit(s, 5000), 128 + SIGKILL);
    launch(s, path);
    status_wait_baseline(s);
    predict(s, 444);
    const struct http_answer *a = server_get(s, "/admin/check-canary-health");
    replay_and_compare(s, a);
}

/* Users and the lot in one line: groups end where the log says, not at every tenth. */
static void test_a_replay_of_users(void **state)
{
    const struct http_answer *a;
    int n = 0;
    (void)state;
    struct server *s = start_with(NULL);
    deploy(s);
    do {
        char user[40];
        snprintf(user, sizeof user, "X-User-ID: user-%d\r\n", n * 7 % 41);
        const struct http_request r = {.method = "POST",
                                       .path = "/predict",
                                       .headers = n % 3 == 0 ? NULL : user,
                                       .body = GOOD_FEATURES};
        answer_is(server_ask(s, &r), 200);
        a = ++n % 300 == 0 ? server_get(s, "/admin/check-canary-health") : NULL;
    } while (a == NULL || answer_number(a, "effect.blocks") < 3);
    assert_int_equal((int)answer_number(a, "by_user_count"), n / 3 * 2);
    replay_and_compare(s, a);
}

static int count(const char *text, const char *what)
{
    int n = 0;
    for (const char *at = text; (at = strstr(at, what)) != NULL; at++)
        n++;
    return n;
}

static void test_no_room(void **state)
{
    (void)state;
    struct server *s = start_with("/dev/full");
    deploy(s);
    struct traffic *t = traffic_start(s->port, 8);
    traffic_wait(t, 1000);
    server_wait_log(s, "sample_log: /dev/full: No space left on device");
    traffic_wait(t, 1000);
    struct traffic_report report = traffic_stop(&t);
    traffic_expect_clean(&report);
    assert_int_equal(count(server_log(s), "sample_log: /dev/full"), 1);
    server_stop(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SERVER_TEST(test_every_draw),
        SERVER_TEST(test_many_at_once),
        SERVER_TEST(test_a_replay_finds_the_same),
        SERVER_TEST(test_a_log_of_two_lives),
        SERVER_TEST(test_a_replay_of_users),
        SERVER_TEST(test_no_room),
    };
    return cmocka_run_group_tests_name("sample_log", tests, NULL, NULL);
}
