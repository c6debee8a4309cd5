/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * GET /metrics: every line is of the format, every family is declared once and
 * before its samples, and the figures are those of the status and the report.
 */
#include <regex.h>
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

#define N_REQUESTS 40

static const char sample_line[] =
    "^[a-z_]+(\\{[a-z_]+=\"[^\"\\]*\"(,[a-z_]+=\"[^\"\\]*\")*\\})? -?[0-9][0-9.e+-]*$";
static const char comment_line[] =
    "^# (HELP [a-z_]+ [A-Z0-9].*\\.|TYPE [a-z_]+ (gauge|counter)|EOF)$";

static struct server *start_with_canary(void)
{
    static const char *const args[] = {"--auto-rollback=false", NULL};
    struct server *s = server_start(args);
    answer_is(server_post(s, "/admin/deploy-canary", "{\"model_path\":\"model_v2.json\"}"), 200);
    for (int i = 0; i < N_REQUESTS; i++)
        server_predict(s);
    return s;
}

static bool matches(const char *pattern, const char *line)
{
    regex_t regex;
    assert_int_equal(regcomp(&regex, pattern, REG_EXTENDED | REG_NOSUB), 0);
    bool found = regexec(&regex, line, 0, NULL, 0) == 0;
    regfree(&regex);
    return found;
}

/* The family that was declared last must be the line's. */
static void check_lines(char *text)
{
    char declared[128] = "";
    char *rest = NULL;
    for (char *line = strtok_r(text, "\n", &rest); line != NULL;
         line = strtok_r(NULL, "\n", &rest)) {
        if (!matches(line[0] == '#' ? comment_line : sample_line, line))
            fail_msg("malformed: %s", line);
        if (strncmp(line, "# TYPE ", 7) == 0)
            sscanf(line + 7, "%127[a-z_]", declared);
        else if (line[0] != '#' && strncmp(line, declared, strlen(declared)) != 0)
            fail_msg("not of the family %s: %s", declared, line);
    }
}

static double value_of(const char *text, const char *name)
{
    char *wanted = mem_printf("\n%s ", name);
    const char *at = strstr(text, wanted);
    if (at == NULL)
        fail_msg("%s is missing", name);
    double value = strtod(at + strlen(wanted), NULL);
    free(wanted);
    return value;
}

static const struct http_answer *ask(struct server *s, const char *accept)
{
    return server_ask(s, &(struct http_request){.path = "/metrics", .headers = accept});
}

static void test_prometheus(void **state)
{
    struct server *s = start_with_canary();
    const struct http_answer *a = ask(s, NULL);
    (void)state;
    answer_is(a, 200);
    answer_header(a, "Content-Type", "text/plain; version=0.0.4; charset=utf-8");
    assert_true(value_of(a->body, "canaryd_requests_total") == N_REQUESTS);
    assert_true(value_of(a->body, "canaryd_answers_total{arm=\"canary\"}") == N_REQUESTS / 10);
    assert_true(value_of(a->body, "canaryd_workers_ready{role=\"stable\"}") == 1);
    assert_true(value_of(a->body, "canaryd_canary_percent") == 10);
    assert_true(value_of(a->body, "canaryd_samples{arm=\"canary\"}") == N_REQUESTS / 10);
    assert_true(value_of(a->body, "canaryd_guard_threshold{test=\"errors\",clock=\"\"}") > 5);
    assert_true(value_of(a->body, "canaryd_alert") == 0);
    assert_true(value_of(a->body, "canaryd_verdict{verdict=\"continue\"}") == 1);
    check_lines(a->body);
    server_stop(s);
}

static double of_arm(const char *text, const char *family, const char *arm)
{
    char *name = mem_printf("canaryd_%s{arm=\"%s\"}", family, arm);
    double value = value_of(text, name);
    free(name);
    return value;
}

/* "stable" is the arm, not the version, in every family. */
static void test_arms_are_apart(void **state)
{
    static const char *const arms[] = {"stable", "baseline", "canary"};
    struct server *s = start_with_canary();
    const struct http_answer *a = ask(s, NULL);
    double n = 0, seconds = 0;
    (void)state;
    for (int i = 0; i < 3; i++)
        assert_true(of_arm(a->body, "samples", arms[i]) ==
                    of_arm(a->body, "answers_total", arms[i]));
    for (int i = 0; i < 2; i++) {
        n += of_arm(a->body, "samples", arms[i]);
        seconds += of_arm(a->body, "samples", arms[i]) *
                   of_arm(a->body, "round_trip_mean_seconds", arms[i]);
    }
    a = server_get(s, "/admin/check-canary-health");
    assert_true(answer_number(a, "stable_sample_count") == n);
    assert_near(seconds / n * 1e3, answer_number(a, "stable_avg_latency_ms"), 1e-9,
                "the version's mean");
    server_stop(s);
}

static void test_open_metrics(void **state)
{
    struct server *s = start_with_canary();
    const struct http_answer *a =
        ask(s, "Accept: application/openmetrics-text;version=1.0.0,text/plain;q=0.5\r\n");
    static const char end[] = "\n# EOF\n";
    (void)state;
    answer_is(a, 200);
    answer_header(a, "Content-Type", "application/openmetrics-text; version=1.0.0; charset=utf-8");
    assert_string_equal(a->body + strlen(a->body) - strlen(end), end);
    assert_non_null(strstr(a->body, "# TYPE canaryd_requests counter\n"));
    assert_true(value_of(a->body, "canaryd_requests_total") == N_REQUESTS);
    check_lines(a->body);
    server_stop(s);
}

static void test_without_a_canary(void **state)
{
    struct server *s = server_start(NULL);
    const struct http_answer *a = ask(s, NULL);
    (void)state;
    answer_is(a, 200);
    assert_true(value_of(a->body, "canaryd_canary_percent") == 0);
    assert_true(value_of(a->body, "canaryd_requests_total") == 0);
    check_lines(a->body);
    server_stop(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SERVER_TEST(test_prometheus),
        SERVER_TEST(test_arms_are_apart),
        SERVER_TEST(test_open_metrics),
        SERVER_TEST(test_without_a_canary),
    };
    return cmocka_run_group_tests_name("metrics", tests, NULL, NULL);
}
