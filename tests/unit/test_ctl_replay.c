/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * canaryctl replay: the reference streams come to their verdicts at their
 * requests, from a file and through a pipe, and options ask "what if".
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/fdio.h"
#include "common/jsonx.h"
#include "common/rng.h"
#include "ctl/member.h"
#include "tests/support/ctl_run.h"
#include "tests/support/said.h"
#include "tests/support/scratch.h"
#include "tests/support/vectors.h"

#define BARE      "--margin-ms 0 --margin-ratio 0 --service-margin-ms 0 --service-margin-ratio 0"
#define MEAN_ONLY "--observe-only service-mean,tail,service-tail,errors"

/* The line that tells of that verdict, or NULL. */
static const cJSON *told(const struct said *said, const char *verdict)
{
    for (int i = 0; i < said->n - 1; i++) {
        if (strcmp(member_text(said->line[i], "verdict", ""), verdict) == 0)
            return said->line[i];
    }
    return NULL;
}

static double request_of(const struct said *said, const char *verdict)
{
    return member_number_or(told(said, verdict), "request", -1);
}

/* A reference stream as the file that a server would have logged. */
static void write_stream(char path[SCRATCH_PATH_SIZE], const cJSON *stream)
{
    static const char *const arms[] = {"stable", "canary", "baseline"};
    const char *digits = vectors_text(stream, "arms");
    const cJSON *time = member_array(stream, "time_ms")->child;
    const cJSON *latency = member_array(stream, "latency_ms")->child;
    FILE *file = said_new_csv(path, "time_ms,arm,round_trip_ms");
    for (; *digits != '\0'; digits++, time = time->next, latency = latency->next)
        fprintf(file, "%.17g,%s,%.17g\n", time->valuedouble, arms[*digits - '0'],
                latency->valuedouble);
    fclose(file);
}

/* Half of alpha is M's, as in the vectors. */
#define AS_VECTORS "--block-ms 10 --mean-part 0.5 --service-mean-part 0.01 " BARE " " MEAN_ONLY

static void check_stream(const cJSON *stream)
{
    char path[SCRATCH_PATH_SIZE];
    double fires;
    bool does_fire = member_number(stream, "first_reject_request", &fires);
    write_stream(path, stream);
    struct said said = said_by_replay(path, AS_VECTORS);
    assert_int_equal(said.status, 0);
    vectors_near(vectors_text(stream, "id"), "rolled back at", request_of(&said, "rollback"),
                 does_fire ? fires : -1, 0);
    const cJSON *line = told(&said, "rollback");
    if (does_fire) {
        assert_string_equal(member_text(line, "test", ""), "mean");
        assert_string_equal(member_text(line, "clock", ""), "round_trip");
        assert_true(member_number_or(line, "alpha", 0) == 0.025);
        assert_true(member_number_or(line, "fired_at", 0) == fires);
    }
    assert_int_equal(member_true(said_health(&said), "alert_triggered"), does_fire);
    assert_string_equal(member_text(said_health(&said), "verdict", ""),
                        does_fire ? "rollback" : "inconclusive");
    said_forget(&said);
}

static void test_reference_streams(void **state)
{
    cJSON *root = vectors_load("tests/data/guard_vectors.json");
    const cJSON *stream;
    int n = 0;
    (void)state;
    cJSON_ArrayForEach(stream, member_array(root, "streams")) {
        check_stream(stream);
        n++;
    }
    assert_int_equal(n, 9);
    cJSON_Delete(root);
}

/* n groups of ten with a baseline; the canary takes extra_ms more. */
static void write_groups(char path[SCRATCH_PATH_SIZE], int n, double extra_ms, bool has_time)
{
    struct rng rng;
    FILE *file =
        said_new_csv(path, has_time ? "arm,round_trip_ms,time_ms" : "arm,round_trip_ms,service_ms");
    rng_seed(&rng, 3);
    for (int i = 0; i < 10 * n; i++) {
        const char *arm = i % 10 == 2 ? "canary" : i % 10 == 7 ? "baseline" : "stable";
        double ms = 8 + rng_below(&rng, 4000) / 1000. + (i % 10 == 2 ? extra_ms : 0);
        fprintf(file, "%s,%.3f,%.3f\n", arm, ms, has_time ? i + 1. : ms / 2);
    }
    fclose(file);
}

/* Without time_ms a block is a group, and block-ms has no say. */
static void test_no_time(void **state)
{
    char path[SCRATCH_PATH_SIZE];
    (void)state;
    write_groups(path, 60, 10, false);
    struct said said = said_by_replay(path, "--block-ms 1e5 --service-block-ms 1e5");
    assert_true(request_of(&said, "rollback") == 360);
    assert_true(member_number_or(said_health(&said), "canary_sample_count", 0) == 60);
    assert_true(member_number_or(said_health(&said), "stable_sample_count", 0) == 540);
    said_forget(&said);
}

/* A group each 10 ms: four of them fill a block of 40 ms; a verdict takes twelve blocks. */
static void test_blocks_by_time(void **state)
{
    char path[SCRATCH_PATH_SIZE];
    (void)state;
    write_groups(path, 60, 10, true);
    struct said said = said_by_replay(path, "--block-ms 40");
    assert_true(request_of(&said, "rollback") == 480);
    said_forget(&said);
    said = said_by_replay(path, "--block-ms 1e5");
    assert_null(told(&said, "rollback"));
    assert_string_equal(member_text(said_health(&said), "verdict", ""), "continue");
    said_forget(&said);
}

static const struct {
    const char *options;
    bool fires;
} what_ifs[] = {
    {"", true},
    {"--margin-ms 12", false},
    {"--margin-ratio 3", false},
    {"--min-samples 500", false},
    {"--alpha 1e-200", false},
    {"--observe-only mean,tail", false},
    {"--observe-only tail", true},
    {"--percent 1", false}, /* groups of a hundred: 6 blocks */
    {"--baseline off", true},
    {"--baseline on", true},
};

static void test_what_if(void **state)
{
    char path[SCRATCH_PATH_SIZE];
    (void)state;
    write_groups(path, 60, 10, true);
    for (size_t i = 0; i < sizeof what_ifs / sizeof what_ifs[0]; i++) {
        char options[200];
        snprintf(options, sizeof options, "%s%s--block-ms 10", what_ifs[i].options,
                 what_ifs[i].options[0] != '\0' ? " " : "");
        struct said said = said_by_replay(path, options);
        if ((told(&said, "rollback") != NULL) != what_ifs[i].fires)
            fail_msg("%s: %s", options, what_ifs[i].fires ? "no rollback" : "rolled back");
        said_forget(&said);
    }
}

/* Service times alone can be guilty. */
static void test_service_clock(void **state)
{
    char path[SCRATCH_PATH_SIZE];
    (void)state;
    FILE *file = said_new_csv(path, "arm,service_ms,round_trip_ms");
    for (int i = 0; i < 1000; i++)
        fprintf(file, "%s,%.3f,10\n",
                i % 10 == 0   ? "canary"
                : i % 10 == 1 ? "baseline"
                              : "stable",
                (i % 10 == 0 ? 3 : 1) + (i / 10) % 7 * .01);
    fclose(file);
    struct said said = said_by_replay(path, "");
    assert_string_equal(member_text(told(&said, "rollback"), "clock", ""), "service");
    said_forget(&said);
    said = said_by_replay(path, "--service-margin-ratio 2.5");
    assert_null(told(&said, "rollback"));
    said_forget(&said);
}

/* What stdin is while the test runs. */
static int with_stdin(int fd, struct said *said, const char *options)
{
    int saved = dup(STDIN_FILENO);
    assert_true(saved >= 0 && dup2(fd, STDIN_FILENO) >= 0);
    *said = said_by_replay("-", options);
    assert_true(dup2(saved, STDIN_FILENO) >= 0);
    return close(saved);
}

/* A pipe can't be read twice, and is not: it gives what the file gives. */
static void test_pipe(void **state)
{
    char path[SCRATCH_PATH_SIZE], *text = NULL;
    size_t n;
    int ends[2], fd;
    (void)state;
    write_groups(path, 60, 10, true);
    struct said file = said_by_replay(path, ""), piped;
    FILE *in = fopen(path, "r");
    fd = fileno(in);
    assert_int_equal(fd_read_file(fd, path, 1 << 20, &text, &n, NULL), 0);
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(fd_write_all(ends[1], text, n), 0);
    fd_close(&ends[1]);
    with_stdin(ends[0], &piped, "");
    assert_int_equal(piped.status, 0);
    assert_int_equal(piped.n, file.n);
    for (int i = 0; i < file.n; i++)
        assert_true(cJSON_Compare(piped.line[i], file.line[i], true));
    said_forget(&piped);
    with_stdin(fd, &piped, "--baseline off"); /* seekable, and one pass only */
    assert_int_equal(piped.status, 0);
    fd_close(&ends[0]);
    fclose(in);
    free(text);
    said_forget(&file);
    said_forget(&piped);
}

/* Eleven blocks in which only the canary fails; its latencies may be empty. */
static void test_errors(void **state)
{
    char path[SCRATCH_PATH_SIZE];
    (void)state;
    FILE *file = said_new_csv(path, "arm,outcome,round_trip_ms,service_ms");
    for (int i = 0; i < 200; i++)
        fprintf(file, "%s\n",
                i % 10 == 4   ? "canary,timeout,,"
                : i % 10 == 5 ? "baseline,ok,2,1"
                              : "stable,ok,2,1");
    fclose(file);
    struct said said = said_by_replay(path, "");
    assert_true(request_of(&said, "rollback") == 110);
    assert_string_equal(member_text(told(&said, "rollback"), "test", ""), "errors");
    assert_true(cJSON_IsNull(jsonx_member(told(&said, "rollback"), "clock")));
    said_forget(&said);
}

/* What stands before a bad line is told; then where it is bad. */
static void test_bad_line(void **state)
{
    char path[SCRATCH_PATH_SIZE];
    (void)state;
    write_groups(path, 60, 10, true);
    FILE *file = fopen(path, "a");
    fprintf(file, "canary,12,x\n");
    fclose(file);
    struct said said = said_by_replay(path, "--baseline on");
    assert_int_equal(said.status, EX_DATAERR);
    assert_non_null(told(&said, "continue"));
    assert_non_null(strstr(said.trouble, "samples.csv: line 602: time_ms: expected milliseconds"));
    assert_null(jsonx_member(said_health(&said), "metrics"));
    said_forget(&said);
}

/* A journal with one decision: that health report. */
static void write_journal(char path[SCRATCH_PATH_SIZE], const cJSON *report)
{
    char *text = cJSON_PrintUnformatted(report);
    scratch_path(path, "journal.jsonl");
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fprintf(file,
            "{\"time\":\"t1\",\"event\":\"deployed\",\"percent\":10}\n{\"time\":\"t2\",\"ev\n");
    fprintf(file, "{\"time\":\"t3\",\"event\":\"rolled-back\",\"health\":%s}", text);
    cJSON_free(text);
    fclose(file);
}

static struct said replay_journal_of(const cJSON *report)
{
    char path[SCRATCH_PATH_SIZE];
    write_journal(path, report);
    return said_by_replay(path, "");
}

/* Sets a number of the report, or of its metric of that index. */
static void tamper(cJSON *report, int metric, const char *name, double value)
{
    cJSON *object =
        metric < 0 ? report : cJSON_GetArrayItem(cJSON_GetObjectItem(report, "metrics"), metric);
    assert_true(cJSON_ReplaceItemInObject(object, name, cJSON_CreateNumber(value)));
}

static void test_journal(void **state)
{
    char path[SCRATCH_PATH_SIZE];
    (void)state;
    write_groups(path, 60, 10, true);
    struct said csv = said_by_replay(path, "--block-ms 10");
    struct said said = replay_journal_of(said_health(&csv));
    assert_int_equal(said.status, 0);
    assert_int_equal(said.n, 3);
    assert_non_null(member_text(said.line[0], "unreadable", NULL));
    assert_true(member_number_or(said.line[1], "line", 0) == 3);
    assert_string_equal(member_text(said.line[1], "verdict", ""), "rollback");
    assert_string_equal(member_text(said.line[1], "time", ""), "t3");
    assert_true(member_true(said.line[1], "agrees"));
    assert_true(member_number_or(said.line[2], "decisions", 0) == 1);
    assert_true(member_number_or(said.line[2], "agree", 0) == 1);
    said_forget(&said);
    said_forget(&csv);
}

static const struct {
    int metric;
    const char *name;
    double value;
    const char *says;
} tampered[] = {
    {-1, "p_value", 0.04, "p_value: 0.04 stands there"},
    {-1, "canary_avg_latency_ms", 11, "t_statistic: "},
    {0, "evidence", 1, "verdict: mean fired, with evidence 1 below its threshold"},
    {2, "threshold", 4, "tail: threshold: 4 stands there, 4.9003"},
    {4, "anytime_p_value", 0.5, "errors: anytime_p_value: 0.5 stands there, 1 follows"},
};

static void test_tampered_journal(void **state)
{
    char path[SCRATCH_PATH_SIZE];
    (void)state;
    write_groups(path, 60, 10, true);
    struct said csv = said_by_replay(path, "--block-ms 10");
    for (size_t i = 0; i < sizeof tampered / sizeof tampered[0]; i++) {
        cJSON *report = cJSON_Duplicate(said_health(&csv), true);
        tamper(report, tampered[i].metric, tampered[i].name, tampered[i].value);
        struct said said = replay_journal_of(report);
        assert_int_equal(said.status, EX_DATAERR);
        ctl_assert_says(said.trouble, "1 of 1 decisions do not follow");
        char *text = cJSON_PrintUnformatted(said.line[1]);
        ctl_assert_says(text, tampered[i].says);
        cJSON_free(text);
        cJSON_Delete(report);
        said_forget(&said);
    }
    said_forget(&csv);
}

static void test_refusals(void **state)
{
    static const struct {
        const char *file, *options;
        int status;
        const char *says;
    } refused[] = {
        {"/nonexistent/f", "", EX_NOINPUT, "/nonexistent/f: No such file"},
        {"/dev/null", "", EX_DATAERR, "/dev/null: the file is empty"},
        {"/", "", EX_IOERR, "/: Is a directory"},
        {"f", "--mean-part 0.9", EX_USAGE, "parts of alpha are 1.55 together: at most 1"},
        {"f", "--observe-only mean,median", EX_USAGE, "got 'mean,median'"},
        {"f", "--baseline maybe", EX_USAGE, "auto, on or off, got 'maybe'"},
        {"f", "--alpha 0", EX_USAGE, "above 0 and at most 0.5, got '0'"},
        {"f", "--json", EX_USAGE, "--json does not go with 'replay'"},
        {"j.jsonl", "--alpha 0.01", EX_USAGE, "a journal holds no samples"},
        {"j.jsonl", "", EX_NOINPUT, "j.jsonl: No such file"},
        {"", "", EX_USAGE, "replay' needs a FILE"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        struct said said = said_by_replay(refused[i].file, refused[i].options);
        assert_int_equal(said.status, refused[i].status);
        ctl_assert_says(said.trouble, refused[i].says);
        assert_int_equal(said.n, 0);
        said_forget(&said);
    }
}

/* Nothing but a header is no samples, and no mistake. */
static void test_nothing(void **state)
{
    char path[SCRATCH_PATH_SIZE];
    (void)state;
    fclose(said_new_csv(path, "arm,round_trip_ms"));
    struct said said = said_by_replay(path, "");
    assert_int_equal(said.status, 0);
    assert_int_equal(said.n, 1);
    assert_string_equal(member_text(said_health(&said), "verdict", ""), "none");
    said_forget(&said);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reference_streams),
        cmocka_unit_test(test_no_time),
        cmocka_unit_test(test_blocks_by_time),
        cmocka_unit_test(test_what_if),
        cmocka_unit_test(test_service_clock),
        cmocka_unit_test(test_pipe),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_bad_line),
        cmocka_unit_test(test_journal),
        cmocka_unit_test(test_tampered_journal),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_nothing),
    };
    return cmocka_run_group_tests_name("ctl_replay", tests, scratch_setup, scratch_teardown);
}
