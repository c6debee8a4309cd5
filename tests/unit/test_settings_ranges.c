/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Every setting at its bounds and just outside them, from the command line and
 * from a file. A setting that is not in this table fails the test.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/fdio.h"
#include "common/jsonx.h"
#include "common/mem.h"
#include "supervisor/settings.h"
#include "tests/support/scratch.h"

enum kind { TEXT, WHOLE, REAL, SWITCH };

static const struct row {
    const char *name;
    enum kind kind;
    const char *good[5];
    const char *bad[7];
    const char *beside; /* another setting that makes the bounds possible */
} rows[] = {
    {"listen",
     TEXT,
     {"127.0.0.1:0", "[::1]:65535", "localhost:1", "0.0.0.0:08000"},
     {"", ":80", "localhost", "a:", "a:65536", "a:-1", "a:99999999999999999999"},
     NULL},
    {"admin_listen",
     TEXT,
     {"", "127.0.0.1:0", "unix:admin.sock", "unix:/run/x/admin.sock"},
     {"unix:", ":80", "localhost", "a:65536", "admin.sock"},
     NULL},
    {"admin_token_file", TEXT, {"", "/etc/canaryd/token"}, {NULL}, NULL},
    {"allowed_hosts",
     TEXT,
     {"", "a.example", "a.example,10.0.0.1,B-2_c"},
     {",", "a,", ",a", "a,,b", "a b", "a:80", "http://a"},
     NULL},
    {"user_header",
     TEXT,
     {"", "X-User-ID", "a_b-9"},
     {"a b", "a:", "host", "X-Canary", "\xc3\xa9",
      "a-name-of-more-than-sixty-three-characters-is-longer-than-any-of-them"},
     NULL},
    {"model_dir", TEXT, {"m", "/a b/\xc3\xa9"}, {""}, NULL},
    {"stable_model", TEXT, {"m.json"}, {""}, NULL},
    {"canary_model", TEXT, {"", "m.json"}, {NULL}, NULL},
    {"canary_percent", REAL, {"50", "1e-3", "33.33"}, {"0", "-1", "50.001", "1e300"}, NULL},
    {"min_samples", WHOLE, {"30", "1000000000", "3e3"}, {"29", "1000000001", "30.5", "-30"}, NULL},
    {"alpha", REAL, {"0.5", "1e-9"}, {"0", "0.500001", "-0.1", "5"}, NULL},
    {"baseline", SWITCH, {"true", "false", "on", "off"}, {"", "yes", "1"}, NULL},
    {"margin_ms", REAL, {"0", "0.25", "3600000"}, {"-0.001", "3600000.5"}, NULL},
    {"margin_ratio", REAL, {"0", "100"}, {"-0.001", "100.001"}, NULL},
    {"block_ms", REAL, {"0", "0.5", "3600000"}, {"-1", "3600001"}, NULL},
    {"service_block_ms", REAL, {"0", "0.5", "3600000"}, {"-1", "3600001"}, NULL},
    {"service_margin_ms", REAL, {"0", "0.25", "3600000"}, {"-0.001", "3600000.5"}, NULL},
    {"service_margin_ratio", REAL, {"0", "100"}, {"-0.001", "100.001"}, NULL},
    {"mean_part", REAL, {"0.35", "1e-9"}, {"0", "0.36", "1.1", "-1"}, NULL},
    {"service_mean_part", REAL, {"0.35", "1e-9"}, {"0", "0.36", "1.1", "-1"}, NULL},
    {"tail_part", REAL, {"0.25", "1e-9"}, {"0", "0.26", "1.1", "-1"}, NULL},
    {"service_tail_part", REAL, {"0.25", "1e-9"}, {"0", "0.26", "1.1", "-1"}, NULL},
    {"errors_part", REAL, {"0.2", "1e-9"}, {"0", "0.21", "1.1", "-1"}, NULL},
    {"observe_only",
     TEXT,
     {"", "mean", "errors,tail", "mean,service-mean,tail,service-tail,errors"},
     {"means", "mean,", ",mean", "mean, tail", "mean;tail", "Mean"},
     NULL},
    {"promotion_margin", REAL, {"0.01", "100"}, {"0", "-1", "100.5"}, NULL},
    {"promotion_alpha", REAL, {"0.5", "1e-9"}, {"0", "-1", "0.501"}, NULL},
    {"promotion_min_samples", WHOLE, {"30", "1000000000"}, {"29", "1000000001", "200.5"}, NULL},
    {"sample_log", TEXT, {"", "/tmp/samples.csv"}, {NULL}, NULL},
    {"auto_rollback",
     SWITCH,
     {"true", "false", "on", "off"},
     {"", "yes", "True", "1", "0", "truely"},
     NULL},
    {"slowdown_ms", REAL, {"0", "60000", "0.5"}, {"-1", "60000.1"}, NULL},
    {"warmup_requests", WHOLE, {"0", "100000"}, {"-1", "100001", "0.5"}, NULL},
    {"predict_deadline_ms", WHOLE, {"1", "3600000"}, {"0", "3600001", "1.5"}, "try_deadline_ms=1"},
    {"try_deadline_ms",
     WHOLE,
     {"1", "3600000"},
     {"0", "3600001", "1.5"},
     "predict_deadline_ms=3600000"},
    {"hang_ms", WHOLE, {"10", "3600000"}, {"9", "3600001"}, NULL},
    {"start_timeout_ms", WHOLE, {"10", "3600000"}, {"9", "3600001"}, NULL},
    {"drain_timeout_ms", WHOLE, {"0", "3600000"}, {"-1", "3600001"}, NULL},
    {"workers_per_version", WHOLE, {"1", "64"}, {"0", "65", "1.5"}, NULL},
    {"crash_limit", WHOLE, {"1", "1000"}, {"0", "1001"}, NULL},
    {"max_in_flight", WHOLE, {"1", "1000000"}, {"0", "1000001"}, NULL},
    {"max_body_bytes", WHOLE, {"1", "1048576"}, {"0", "1048577"}, NULL},
    {"max_connections", WHOLE, {"1", "1000000"}, {"0", "1000001", "1.5"}, NULL},
    {"header_timeout_ms", WHOLE, {"10", "3600000"}, {"9", "3600001"}, NULL},
    {"body_timeout_ms", WHOLE, {"10", "3600000"}, {"9", "3600001"}, NULL},
    {"write_timeout_ms", WHOLE, {"10", "3600000"}, {"9", "3600001"}, NULL},
    {"idle_timeout_ms", WHOLE, {"10", "3600000"}, {"9", "3600001", "-1"}, NULL},
    {"max_model_bytes", WHOLE, {"1", "1073741824"}, {"0", "1073741825", "1e18"}, NULL},
    {"python", TEXT, {"", "/usr/bin/python3"}, {NULL}, NULL},
    {"worker_user", TEXT, {"", "nobody", "0", "61184"}, {NULL}, NULL},
    {"worker_memory_bytes", WHOLE, {"134217728", "1099511627776"}, {"134217727", "1e13"}, NULL},
    {"allow_uncaged_pickles", SWITCH, {"true", "false"}, {"maybe"}, NULL},
    {"python_worker", TEXT, {"auto", "off"}, {"", "on", "true", "Auto"}, NULL},
    {"python_worker_program", TEXT, {"", "/w.py"}, {NULL}, NULL},
    {"worker_program", TEXT, {"", "/w"}, {NULL}, NULL},
    {"exporter_program", TEXT, {"", "/e.py"}, {NULL}, NULL},
    {"state_dir", TEXT, {"", "/s"}, {NULL}, NULL},
    {"runtime_dir", TEXT, {"", "/r"}, {NULL}, NULL},
    {"log_level", TEXT, {"error", "warn", "info", "debug"}, {"", "INFO", "trace", "0"}, NULL},
};
#define N_ROWS (sizeof rows / sizeof rows[0])

/* Of every kind, whatever its range. */
static const char *const never[] = {[TEXT] = "",
                                    [WHOLE] = "x;;1x;nan;inf;-inf;1e999;1,5;true",
                                    [REAL] = "x;;1x;nan;inf;-inf;1e999;1,5;true",
                                    [SWITCH] = "x"};
static const char *const never_json[] = {[TEXT] = "5;true;null;[];{}",
                                         [WHOLE] = "\"50\";true;null;[];{};[50]",
                                         [REAL] = "\"0.5\";true;null;[];{}",
                                         [SWITCH] = "1;0;null;[];{};\"yes\""};

static char path[SCRATCH_PATH_SIZE];

static int setup(void **state)
{
    int rc = scratch_setup(state);
    scratch_path(path, "canaryd.json");
    return rc;
}

/* Loads with row's setting from the command line; text as it stands there. */
static struct settings *from_line(const struct row *row, const char *text, struct err *e)
{
    char *override = mem_printf("%s=%s", row->name, text);
    const char *const all[] = {override, row->beside};
    struct settings *s = settings_load(NULL, all, row->beside != NULL ? 2 : 1, e);
    free(override);
    return s;
}

/* Loads with row's setting from a file; json as it stands there. */
static struct settings *from_file(const struct row *row, const char *json, struct err *e)
{
    char *text = mem_printf("{\"%s\": %s}", row->name, json);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_int_equal(fd_write_all(fd, text, strlen(text)), 0);
    fd_close(&fd);
    free(text);
    return settings_load(path, &row->beside, row->beside != NULL ? 1 : 0, e);
}

static struct settings *from_file_quoted(const struct row *row, const char *text, struct err *e)
{
    bool quotes = row->kind == TEXT || row->kind == SWITCH;
    char *json = mem_printf(quotes ? "\"%s\"" : "%s", text);
    struct settings *s = from_file(row, json, e);
    free(json);
    return s;
}

/* The value is there, and s is freed. */
static void check_value(const struct row *row, const char *text, struct settings *s,
                        const struct err *e)
{
    if (s == NULL)
        fail_msg("%s=%s: %s", row->name, text, e->text);
    cJSON *root = settings_to_json(s);
    const cJSON *item = jsonx_member(root, row->name);
    assert_non_null(item);
    if (row->kind == TEXT)
        assert_string_equal(item->valuestring, text);
    else if (row->kind == SWITCH)
        assert_int_equal(cJSON_IsTrue(item), strcmp(text, "true") == 0 || strcmp(text, "on") == 0);
    else
        assert_true(item->valuedouble == strtod(text, NULL));
    cJSON_Delete(root);
    settings_free(&s);
}

static void check_refused(const struct row *row, const char *text, const struct settings *s,
                          const struct err *e)
{
    if (s != NULL)
        fail_msg("%s=%s was taken", row->name, text);
    bool is_of_setting = strcmp(e->code, "bad-setting") == 0 && strstr(e->text, row->name) != NULL;
    bool is_no_json = strcmp(e->code, "bad-json") == 0 || strcmp(e->code, "not-finite") == 0;
    if (!is_of_setting && !is_no_json)
        fail_msg("%s=%s: %s: %s", row->name, text, e->code, e->text);
}

static void test_good_values(void **state)
{
    (void)state;
    for (const struct row *row = rows; row < rows + N_ROWS; row++)
        for (size_t i = 0; i < 5 && row->good[i] != NULL; i++) {
            struct err e = {0};
            struct settings *s = from_line(row, row->good[i], &e);
            check_value(row, row->good[i], s, &e);
            s = from_file_quoted(row, row->good[i], &e);
            check_value(row, row->good[i], s, &e);
        }
}

static void test_bad_values(void **state)
{
    (void)state;
    for (const struct row *row = rows; row < rows + N_ROWS; row++)
        for (size_t i = 0; i < 7 && row->bad[i] != NULL; i++) {
            struct err e = {0};
            check_refused(row, row->bad[i], from_line(row, row->bad[i], &e), &e);
            e = (struct err){0};
            check_refused(row, row->bad[i], from_file_quoted(row, row->bad[i], &e), &e);
        }
}

static void test_wrong_types(void **state)
{
    (void)state;
    for (const struct row *row = rows; row < rows + N_ROWS; row++) {
        char *words = mem_strdup(never[row->kind]);
        char *jsons = mem_strdup(never_json[row->kind]);
        char *rest = row->kind == TEXT ? NULL : words;
        for (char *word = strsep(&rest, ";"); word != NULL; word = strsep(&rest, ";")) {
            struct err e = {0};
            check_refused(row, word, from_line(row, word, &e), &e);
        }
        rest = jsons;
        for (char *json = strsep(&rest, ";"); json != NULL; json = strsep(&rest, ";")) {
            struct err e = {0};
            check_refused(row, json, from_file(row, json, &e), &e);
        }
        free(words);
        free(jsons);
    }
}

static void test_no_setting_is_missing_here(void **state)
{
    struct settings *s = settings_load(NULL, NULL, 0, NULL);
    cJSON *root = settings_to_json(s);
    (void)state;
    assert_int_equal(cJSON_GetArraySize(root), N_ROWS);
    for (const struct row *row = rows; row < rows + N_ROWS; row++)
        if (jsonx_member(root, row->name) == NULL)
            fail_msg("there is no setting %s", row->name);
    cJSON_Delete(root);
    settings_free(&s);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, scratch_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_no_setting_is_missing_here),
        CASE(test_good_values),
        CASE(test_bad_values),
        CASE(test_wrong_types),
    };
    return cmocka_run_group_tests_name("settings_ranges", tests, NULL, NULL);
}
