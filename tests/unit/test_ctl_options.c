/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * canaryctl's command line: what it takes, and how it says no. No server is
 * asked here.
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

#include "ctl/command.h"
#include "ctl/number.h"
#include "ctl/options.h"
#include "judge/rule_settings.h"

#define SHA "0123456789abcdef0123456789ABCDEF0123456789abcdef0123456789abcdef"

enum { MAX_ARGS = 16 };

/* Splits a line at single blanks, as a shell would; line is overwritten. */
static int split(char *line, char **argv)
{
    int argc = 0;
    argv[argc++] = (char[]){"canaryctl"};
    for (char *word = strsep(&line, " "); word != NULL && argc < MAX_ARGS;
         word = strsep(&line, " "))
        argv[argc++] = word;
    return argc;
}

static int parse(const char *text, struct options *o, struct err *e)
{
    static char line[1024]; /* the options point into it */
    char *argv[MAX_ARGS];
    snprintf(line, sizeof line, "%s", text);
    return options_parse(split(line, argv), argv, o, e);
}

static int clear_environment(void **state)
{
    (void)state;
    unsetenv("CANARYD_URL");
    unsetenv("CANARYD_TOKEN_FILE");
    return 0;
}

static void test_defaults(void **state)
{
    struct options o;
    (void)state;
    assert_int_equal(parse("demo", &o, NULL), 0);
    assert_string_equal(o.url, "http://localhost:8000");
    assert_null(o.token_file);
    assert_int_equal(o.requests, 200);
    assert_int_equal(o.pause_ms, 10);
    assert_int_equal(o.workflow, WORKFLOW_FULL);
    assert_string_equal(o.model, "models/model_v2.joblib");
    assert_int_equal(o.n_features, 5);
    assert_true(o.features[1] == 1.2);
    assert_int_equal(o.given, 0);
}

static void test_every_option(void **state)
{
    struct options o;
    struct err e = {0};
    (void)state;
    assert_int_equal(parse("--url http://a:1 --percent=12.5 deploy m.json --sha256 " SHA
                           " --replace --json --token-file f",
                           &o, &e),
                     0);
    assert_string_equal(o.url, "http://a:1");
    assert_true(o.percent == 12.5);
    assert_string_equal(o.sha256, SHA);
    assert_string_equal(o.token_file, "f");
    assert_int_equal(o.n_words, 2);
    assert_string_equal(o.words[0], "deploy");
    assert_string_equal(o.words[1], "m.json");
    assert_true(options_given(&o, OPTION_REPLACE));
    assert_true(options_given(&o, OPTION_JSON));
    assert_false(options_given(&o, OPTION_FORCE));
    assert_int_equal(parse("demo --requests 7 --workflow=promote --model m --pause-ms 0 "
                           "--features=1,-2.5e-3,0 --force",
                           &o, &e),
                     0);
    assert_int_equal(o.requests, 7);
    assert_int_equal(o.pause_ms, 0);
    assert_int_equal(o.workflow, WORKFLOW_PROMOTE);
    assert_int_equal(o.n_features, 3);
    assert_true(o.features[1] == -2.5e-3);
    assert_int_equal(parse("deploy -- --odd-name", &o, &e), 0);
    assert_string_equal(o.words[1], "--odd-name");
    assert_int_equal(parse("help demo", &o, &e), 0);
    assert_true(options_given(&o, OPTION_HELP));
    assert_string_equal(o.words[0], "demo");
}

/* What replay's help calls a default is the judge's. */
static void test_defaults_of_replay(void **state)
{
    struct rule_settings rule = rule_default_settings();
    const struct rule_clock_settings *service = &rule.clock[RULE_SERVICE];
    const struct rule_clock_settings *round_trip = &rule.clock[RULE_ROUND_TRIP];
    const struct {
        enum option_id id;
        double value;
    } defaults[] = {
        {OPTION_ALPHA, rule.alpha},
        {OPTION_MIN_SAMPLES, (double)rule.min_samples},
        {OPTION_BLOCK_MS, (double)round_trip->block_ns / 1e6},
        {OPTION_MARGIN_MS, round_trip->margin.absolute_ns / 1e6},
        {OPTION_MARGIN_RATIO, round_trip->margin.ratio},
        {OPTION_SERVICE_BLOCK_MS, (double)service->block_ns / 1e6},
        {OPTION_SERVICE_MARGIN_MS, service->margin.absolute_ns / 1e6},
        {OPTION_SERVICE_MARGIN_RATIO, service->margin.ratio},
        {OPTION_MEAN_PART, rule.row[ROW_MEAN].part},
        {OPTION_SERVICE_MEAN_PART, rule.row[ROW_SERVICE_MEAN].part},
        {OPTION_TAIL_PART, rule.row[ROW_TAIL].part},
        {OPTION_SERVICE_TAIL_PART, rule.row[ROW_SERVICE_TAIL].part},
        {OPTION_ERRORS_PART, rule.row[ROW_ERRORS].part},
        {OPTION_PROMOTION_MARGIN, rule.promotion_margin},
        {OPTION_PROMOTION_ALPHA, rule.promotion_alpha},
        {OPTION_PROMOTION_MIN_SAMPLES, (double)rule.promotion_min_samples},
    };
    struct options o;
    (void)state;
    assert_int_equal(parse("replay f", &o, NULL), 0);
    for (size_t i = 0; i < sizeof defaults / sizeof defaults[0]; i++) {
        if (o.number[defaults[i].id] != defaults[i].value)
            fail_msg("--%s: %g, not %g", options_name(defaults[i].id), o.number[defaults[i].id],
                     defaults[i].value);
    }
    assert_true(o.percent == 10);
    assert_int_equal(o.baseline, BASELINE_AUTO);
}

static const struct {
    const char *line;
    const char *says;
} refused[] = {
    {"deploy m --percent=abc", "--percent: expected a number above 0 and at most 50, got 'abc'"},
    {"deploy m --percent 0", "got '0'"},
    {"deploy m --percent 50.1", "got '50.1'"},
    {"deploy m --percent=", "got ''"},
    {"deploy m --percent 1e999", "at most 50"},
    {"deploy m --percent 0x10", "at most 50"},
    {"deploy m --percent nan", "at most 50"},
    {"deploy m --percent 10%", "got '10%'"},
    {"deploy m --percent", "--percent needs a value: a number"},
    {"deploy m --percent --json", "--percent needs a value"},
    {"deploy m --percent 5 --percent 6", "--percent is there twice"},
    {"deploy m --sha256 abc", "64 hexadecimal digits"},
    {"deploy m --replace=yes", "--replace takes no value, got 'yes'"},
    {"demo --requests 0", "from 1 to 10000000"},
    {"demo --requests 2.5", "whole number"},
    {"demo --requests 99999999999999999999", "whole number"},
    {"demo --workflow fast", "full, deploy or promote, got 'fast'"},
    {"demo --features 1,,2", "commas"},
    {"demo --features 1,2,", "commas"},
    {"demo --features 1;2", "commas"},
    {"demo --features inf", "commas"},
    {"demo --pause-ms -1", "from 0 to 10000"},
    {"demo --model=", "a path"},
    {"status --url localhost", "http://HOST:PORT or unix:PATH, got 'localhost'"},
    {"status --precent 5", "there is no option --precent; did you mean --percent?"},
    {"status --xyzzy", "there is no option --xyzzy"},
    {"status -x", "two dashes"},
    {"a b c d e", "'e' is one word too many"},
};

static void test_refusals(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        struct options o = {.requests = -7};
        struct err e = {0};
        if (parse(refused[i].line, &o, &e) == 0)
            fail_msg("%s: accepted", refused[i].line);
        if (strstr(e.text, refused[i].says) == NULL)
            fail_msg("%s: \"%s\" does not say \"%s\"", refused[i].line, e.text, refused[i].says);
        assert_int_equal(o.requests, -7);
    }
}

static void test_url_from_environment(void **state)
{
    struct options o;
    struct err e = {0};
    (void)state;
    setenv("CANARYD_URL", "http://env:9", 1);
    setenv("CANARYD_TOKEN_FILE", "t", 1);
    assert_int_equal(parse("status", &o, &e), 0);
    assert_string_equal(o.url, "http://env:9");
    assert_string_equal(o.token_file, "t");
    assert_int_equal(parse("status --url http://b:1", &o, &e), 0);
    assert_string_equal(o.url, "http://b:1");
    setenv("CANARYD_URL", "nonsense", 1);
    assert_int_equal(parse("status", &o, &e), -1);
    assert_non_null(strstr(e.text, "$CANARYD_URL"));
    clear_environment(state);
}

static const struct {
    const char *line; /* NULL: no words at all */
    int status;
    const char *out;     /* part of what is printed, or NULL: nothing is */
    const char *trouble; /* likewise */
} lines[] = {
    {"--version", 0, "canaryctl " CANARYD_VERSION "\n", NULL},
    {"--help", 0, "usage: canaryctl [--url URL] COMMAND", NULL},
    {"help", 0, "  rollback ", NULL},
    {"deploy --help", 0, "canaryctl deploy models/model_v2.json --percent 20", NULL},
    {"help deploy", 0, "--sha256 HEX", NULL},
    {"--help demo", 0, "--workflow W", NULL},
    {NULL, EX_USAGE, NULL, "usage: canaryctl"},
    {"statsu", EX_USAGE, NULL, "there is no command 'statsu'; did you mean 'status'?"},
    {"rolback", EX_USAGE, NULL, "did you mean 'rollback'?"},
    {"qwertz", EX_USAGE, NULL, "there is no command 'qwertz'\n"},
    {"status --percent 5", EX_USAGE, NULL, "--percent does not go with 'status'"},
    {"deploy", EX_USAGE, NULL, "'deploy' needs a MODEL_PATH"},
    {"deploy a b", EX_USAGE, NULL, "'b' is one word too many"},
    {"status now", EX_USAGE, NULL, "'now' is one word too many"},
    {"status --token-file /nonexistent", EX_USAGE, NULL, "No such file"},
    {"status --token-file /dev/null", EX_USAGE, NULL, "not a regular file"},
};

static void test_whole_lines(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        char line[256], *argv[MAX_ARGS] = {(char[]){"canaryctl"}};
        char *out_text = NULL, *trouble_text = NULL;
        size_t n, m;
        FILE *out = open_memstream(&out_text, &n), *trouble = open_memstream(&trouble_text, &m);
        snprintf(line, sizeof line, "%s", lines[i].line == NULL ? "" : lines[i].line);
        int argc = lines[i].line == NULL ? 1 : split(line, argv);
        assert_int_equal(command_main(argc, argv, out, trouble), lines[i].status);
        fclose(out);
        fclose(trouble);
        if (lines[i].out == NULL)
            assert_string_equal(out_text, "");
        else if (strstr(out_text, lines[i].out) == NULL)
            fail_msg("%s: printed \"%s\"", line, out_text);
        if (lines[i].trouble == NULL)
            assert_string_equal(trouble_text, "");
        else if (strstr(trouble_text, lines[i].trouble) == NULL)
            fail_msg("%s: complained \"%s\"", line, trouble_text);
        free(out_text);
        free(trouble_text);
    }
}

/* A full disk must not look like success. */
static void test_lost_output(void **state)
{
    char *argv[] = {(char[]){"canaryctl"}, (char[]){"--help"}};
    FILE *full = fopen("/dev/full", "w");
    char *text = NULL;
    size_t n;
    FILE *trouble = open_memstream(&text, &n);
    (void)state;
    assert_non_null(full);
    assert_int_equal(command_main(2, argv, full, trouble), EX_IOERR);
    fclose(full);
    fclose(trouble);
    assert_non_null(strstr(text, "could not be written"));
    free(text);
}

static void test_number_lists(void **state)
{
    double values[3] = {0};
    (void)state;
    assert_int_equal(number_read_list("1,2.5,-3e2", values, 3), 3);
    assert_true(values[2] == -300);
    assert_int_equal(number_read_list("1,2,3,4", values, 3), 0);
    assert_int_equal(number_read_list("", values, 3), 0);
    assert_int_equal(number_read_list(" 1", values, 3), 0);
    assert_int_equal(number_read_list("1e999", values, 3), 0);
    assert_int_equal(number_read_list("1-2", values, 3), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),     cmocka_unit_test(test_every_option),
        cmocka_unit_test(test_refusals),     cmocka_unit_test(test_url_from_environment),
        cmocka_unit_test(test_whole_lines),  cmocka_unit_test(test_lost_output),
        cmocka_unit_test(test_number_lists), cmocka_unit_test(test_defaults_of_replay),
    };
    return cmocka_run_group_tests_name("ctl_options", tests, clear_environment, NULL);
}
