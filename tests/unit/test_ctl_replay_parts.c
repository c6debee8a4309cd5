/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * canaryctl replay: rows T and E against a second program, a log of several segments,
 * and decisions computed from what stands beside them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include <cmocka.h>

#include "ctl/member.h"
#include "tests/support/ctl_run.h"
#include "tests/support/said.h"
#include "tests/support/scratch.h"
#include "tests/support/vectors.h"

#define REFERENCE "tests/data/replay_reference.json"

static void write_stream(char path[SCRATCH_PATH_SIZE], const cJSON *stream)
{
    static const char *const arms[] = {"stable", "canary", "baseline"};
    const char *digits = vectors_text(stream, "arms");
    FILE *file = said_new_csv(path, "arm,round_trip_ms,outcome");
    const cJSON *ns = member_array(stream, "round_trip_ns")->child;
    for (; *digits != '\0'; digits++, ns = ns->next) {
        if (ns->valuedouble < 0)
            fprintf(file, "%s,,fault\n", arms[*digits - '0']);
        else
            fprintf(file, "%s,%.6f,ok\n", arms[*digits - '0'], ns->valuedouble / 1e6);
    }
    fclose(file);
}

static void check_row(const char *note, const cJSON *health, int metric, const cJSON *want,
                      const char *evidence, const char *fired_at)
{
    const cJSON *row = cJSON_GetArrayItem(member_array(health, "metrics"), metric);
    vectors_near(note, evidence, member_number_or(row, "evidence", -1e9),
                 vectors_number(want, evidence), 1e-9);
    assert_true(member_number_or(row, "fired_at", 0) == member_number_or(want, fired_at, 0));
}

/* Thresholds that are renewed, margins, failures, groups that lack an arm. */
static void test_second_program(void **state)
{
    cJSON *root = vectors_load(REFERENCE);
    const cJSON *stream;
    char path[SCRATCH_PATH_SIZE], options[100];
    int n = 0;
    (void)state;
    cJSON_ArrayForEach(stream, root) {
        const char *note = vectors_text(stream, "note");
        const cJSON *want = member_object(stream, "expected");
        write_stream(path, stream);
        snprintf(options, sizeof options, "--percent %g --margin-ms %g --margin-ratio %g",
                 vectors_number(stream, "percent"), vectors_number(stream, "margin_ns") / 1e6,
                 vectors_number(stream, "margin_ratio"));
        struct said said = said_by_replay(path, options);
        assert_int_equal(said.status, 0);
        const cJSON *health = said_health(&said);
        vectors_near(note, "blocks", vectors_number(member_object(health, "effect"), "blocks"),
                     vectors_number(want, "blocks"), 0);
        check_row(note, health, 2, want, "tail", "tail_fired_at");
        check_row(note, health, 4, want, "errors", "errors_fired_at");
        said_forget(&said);
        n++;
    }
    assert_int_equal(n, 10);
    cJSON_Delete(root);
}

static void write_rows(FILE *file, int n_rows)
{
    for (int i = 0; i < n_rows; i++)
        fprintf(file, "%s,%d,%d\r\n",
                i % 10 == 0   ? "canary"
                : i % 10 == 1 ? "baseline"
                              : "stable",
                20 * i, 10 + i % 7);
}

/* A header in the middle begins a segment, as after a restart: times count anew, and
 * what was not a whole block is dropped. */
static void test_segments(void **state)
{
    char path[SCRATCH_PATH_SIZE];
    (void)state;
    FILE *file = said_new_csv(path, "arm,time_ms,round_trip_ms\r");
    write_rows(file, 29);
    fputs("arm,time_ms,round_trip_ms\r\n", file);
    write_rows(file, 39);
    fputs("\xef\xbb\xbf"
          "arm,time_ms,round_trip_ms\r\narm,time_ms,round_trip_ms",
          file);
    fclose(file);
    struct said said = said_by_replay(path, "--block-ms 0");
    assert_int_equal(said.status, 0);
    const cJSON *effect = member_object(said_health(&said), "effect");
    assert_true(member_number_or(effect, "blocks", 0) == 2 + 3);
    assert_true(member_number_or(said_health(&said), "canary_sample_count", 0) == 3 + 4);
    said_forget(&said);
}

/* Times so late that their sum fits no number do no harm. */
static void test_segments_of_centuries(void **state)
{
    char path[SCRATCH_PATH_SIZE];
    (void)state;
    FILE *file = said_new_csv(path, "arm,time_ms,round_trip_ms");
    for (int i = 0; i < 3; i++)
        fputs("stable,9e12,1\ncanary,9e12,1\narm,time_ms,round_trip_ms\n", file);
    fclose(file);
    struct said said = said_by_replay(path, "");
    assert_int_equal(said.status, 0);
    assert_true(member_number_or(said_health(&said), "canary_sample_count", 0) == 3);
    said_forget(&said);
}

/* What an older server's journal has not: evidence follows from what the row kept. */
static const struct {
    const char *basis, *says; /* says NULL: all is well */
} bases[] = {
    {"[]", NULL},
    {"7", NULL},
    {"[{\"test\":\"mean\",\"clock\":\"service\"}]", NULL},
    {"[{\"test\":\"mean\",\"clock\":\"round_trip\",\"blocks\":60,\"first_look\":36,\"mean_ns\":3e6,"
     "\"variance_ns2\":1e14,\"vif\":1}]",
     "mean: threshold: 2.5 stands there, 3.1"},
    {"[{\"test\":\"mean\",\"clock\":\"round_trip\",\"blocks\":36,\"first_look\":36,\"mean_ns\":3e9,"
     "\"variance_ns2\":1e14,\"vif\":1}]",
     "mean: its threshold is reached, and it has not fired"},
    {"[{\"test\":\"errors\",\"clock\":null,\"blocks\":1,\"bets\":[{\"ln_wealths\":[0,0,0,0,0,0],"
     "\"vif\":1}]}]",
     "errors: evidence: 0.4 stands there, 0 follows"},
    {"[{\"test\":\"errors\",\"clock\":null,\"bets\":[{\"ln_wealths\":[0.4,0.4,0.4,0.4,0.4,0.4],"
     "\"vif\":1}]}]",
     NULL},
    {"[{\"test\":\"errors\",\"clock\":null,\"bets\":[{\"ln_wealths\":[0,0,0,0,0,0,0],\"vif\":1}]}]",
     NULL},
};

static void test_basis_of_a_decision(void **state)
{
    static const char health_text[] =
        "{\"verdict\":\"inconclusive\",\"metrics\":[{\"test\":\"mean\",\"clock\":\"round_trip\","
        "\"alpha\":0.0125,\"evidence\":0.1,\"threshold\":2.5,\"anytime_p_value\":null,"
        "\"fired_at\":null},{\"test\":\"errors\",\"clock\":null,\"alpha\":0.005,\"evidence\":0.4,"
        "\"threshold\":5.303304908059076,\"anytime_p_value\":1,\"fired_at\":null}]}";
    char path[SCRATCH_PATH_SIZE];
    (void)state;
    for (size_t i = 0; i < sizeof bases / sizeof bases[0]; i++) {
        scratch_path(path, "journal.jsonl");
        FILE *file = fopen(path, "w");
        assert_non_null(file);
        fprintf(file, "{\"health\":%s,\"basis\":%s}\n", health_text, bases[i].basis);
        fclose(file);
        struct said said = said_by_replay(path, "");
        char *text = cJSON_PrintUnformatted(said.line[0]);
        assert_int_equal(said.status, bases[i].says == NULL ? 0 : EX_DATAERR);
        if (bases[i].says != NULL)
            ctl_assert_says(text, bases[i].says);
        cJSON_free(text);
        said_forget(&said);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_second_program),
        cmocka_unit_test(test_segments),
        cmocka_unit_test(test_segments_of_centuries),
        cmocka_unit_test(test_basis_of_a_decision),
    };
    return cmocka_run_group_tests_name("ctl_replay_parts", tests, scratch_setup, scratch_teardown);
}
