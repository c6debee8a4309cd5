/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Settings: where a value comes from, who wins, and what is said of a wrong one.
 * Every setting's bounds are in test_settings_ranges.c.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/fdio.h"
#include "common/jsonx.h"
#include "common/log.h"
#include "supervisor/settings.h"
#include "tests/support/child.h"
#include "tests/support/scratch.h"

#define SAMPLE "etc/canaryd.json"

static char path[SCRATCH_PATH_SIZE];

static int setup(void **state)
{
    int rc = scratch_setup(state);
    scratch_path(path, "canaryd.json");
    return rc;
}

static void write_file(const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(fd_write_all(fd, text, strlen(text)), 0);
    fd_close(&fd);
}

static struct settings *load(const char *file, const char *const *overrides, size_t n)
{
    struct err e = {0};
    struct settings *s = settings_load(file, overrides, n, &e);
    if (s == NULL)
        fail_msg("%s", e.text);
    return s;
}

static void test_defaults(void **state)
{
    struct settings *s = load(NULL, NULL, 0);
    (void)state;
    assert_string_equal(s->listen, "127.0.0.1:8000");
    assert_string_equal(s->model_dir, "models");
    assert_string_equal(s->stable_model, "model_v1.json");
    assert_string_equal(s->canary_model, "");
    assert_true(s->canary_percent == 10);
    assert_int_equal(s->min_samples, 36);
    assert_true(s->alpha == 0.05);
    assert_true(s->margin_ms == 0.1);
    assert_true(s->margin_ratio == 0.2);
    assert_true(s->auto_rollback);
    assert_int_equal(s->predict_deadline_ms, 2000);
    assert_int_equal(s->max_body_bytes, 262144);
    assert_string_equal(s->log_level, "info");
    settings_free(&s);
    assert_null(s);
    settings_free(&s);
}

static void test_file_with_comments(void **state)
{
    (void)state;
    write_file("// a comment\n{\n  \"canary_percent\": 12.5, /* of all */\n"
               "  \"listen\": \"[::1]:0\", // \"listen\": \"x\"\n"
               "  \"auto_rollback\": false,\n  \"min_samples\": 1e2\n}\n");
    struct settings *s = load(path, NULL, 0);
    assert_true(s->canary_percent == 12.5);
    assert_string_equal(s->listen, "[::1]:0");
    assert_false(s->auto_rollback);
    assert_int_equal(s->min_samples, 100);
    assert_int_equal(s->hang_ms, 2000); /* not in the file: the default */
    settings_free(&s);
}

/* The command line wins over the file, the last word over the one before. */
static void test_who_wins(void **state)
{
    static const char *const overrides[] = {"min-samples=50", "canary_percent=5",
                                            "canary-percent=2.5", "auto-rollback=off",
                                            "canary_model=a=b"};
    (void)state;
    write_file("{\"min_samples\": 40, \"canary_percent\": 20, \"hang_ms\": 500}");
    struct settings *s = load(path, overrides, 5);
    assert_int_equal(s->min_samples, 50);
    assert_true(s->canary_percent == 2.5);
    assert_int_equal(s->hang_ms, 500);
    assert_false(s->auto_rollback);
    assert_string_equal(s->canary_model, "a=b");
    settings_free(&s);
}

static const struct {
    const char *file; /* NULL: none */
    const char *override;
    const char *code;
    const char *says;
} refusals[] = {
    {"{\"canary_precent\": 5}", NULL, "unknown-setting",
     "unknown setting \"canary_precent\"; did you mean \"canary_percent\"?"},
    {"{\"Listen\": \"a:1\"}", NULL, "unknown-setting", "did you mean \"listen\"?"},
    {"{\"xyzzy\": 5}", NULL, "unknown-setting", "unknown setting \"xyzzy\""},
    {"{\"alpha\": 0.1, \"alpha\": 0.2}", NULL, "duplicate-key", "\"alpha\""},
    {"{\"alpha\": 0.1, \"alph\\u0061\": 0.2}", NULL, "duplicate-key", "\"alpha\""},
    {"{\"min_samples\": 29}", NULL, "bad-setting",
     "setting min_samples: \"29\" is not a whole number from 30 to 1000000000 (samples)"},
    {"{\"canary_percent\": 0}", NULL, "bad-setting",
     "setting canary_percent: \"0\" is not a number above 0 and at most 50 (%)"},
    {"{\"auto_rollback\": 1}", NULL, "bad-setting",
     "setting auto_rollback: \"1\" is not true or false"},
    {"{\"log_level\": \"loud\"}", NULL, "bad-setting", "is not error, warn, info or debug"},
    {"{\"listen\": \"8000\"}", NULL, "bad-setting", "\"8000\" is not ADDRESS:PORT"},
    {"{\"try_deadline_ms\": 3000}", NULL, "bad-setting",
     "try_deadline_ms: 3000 is above predict_deadline_ms (2000)"},
    {"{\"predict_deadline_ms\": 999}", NULL, "bad-setting", "try_deadline_ms: 1000 is above"},
    {"[]", NULL, "bad-setting", "expected an object of settings, got an array"},
    {"{", NULL, "bad-json", "byte 1"},
    {"", NULL, "bad-json", "byte 0"},
    {"{\"alpha\": 1e999}", NULL, "not-finite", "1e999"},
    {"{} /* never closed", NULL, "bad-json", NULL},
    {NULL, "port=80", "usage", "unknown option \"--port\""},
    {NULL, "min-sample=80", "usage", "did you mean \"--min-samples\"?"},
    {NULL, "min_sample=80", "usage", "did you mean \"--min-samples\"?"},
    {NULL, "min-samples", "usage", "--min-samples: expected --setting=value"},
    {NULL, "", "usage", "expected --setting=value"},
    {NULL, "=5", "usage", "unknown option \"--\""},
    {NULL, "min-samples=", "bad-setting", "setting min_samples: \"\" is not a whole number"},
    {NULL, "a_name_that_is_longer_than_any_setting_could_ever_be=1", "usage", "expected"},
    {"{}", "try_deadline_ms=2001", "bad-setting", "above predict_deadline_ms"},
};

static void test_refusals(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        struct err e = {0};
        if (refusals[i].file != NULL)
            write_file(refusals[i].file);
        struct settings *s =
            settings_load(refusals[i].file != NULL ? path : NULL, &refusals[i].override,
                          refusals[i].override != NULL ? 1 : 0, &e);
        if (s != NULL)
            fail_msg("case %zu was taken", i);
        assert_string_equal(e.code, refusals[i].code);
        if (refusals[i].says != NULL && strstr(e.text, refusals[i].says) == NULL)
            fail_msg("\"%s\" does not say \"%s\"", e.text, refusals[i].says);
        if (refusals[i].file != NULL && refusals[i].override == NULL &&
            strstr(e.text, "above predict") == NULL)
            assert_memory_equal(e.text, path, strlen(path)); /* the file is named */
    }
}

/* Who can write it could name the programs that are run. */
static void test_file_open_to_everybody(void **state)
{
    struct err e = {0};
    (void)state;
    write_file("{}");
    assert_int_equal(chmod(path, 0666), 0);
    assert_null(settings_load(path, NULL, 0, &e));
    assert_string_equal(e.code, "bad-setting");
    assert_non_null(strstr(e.text, "mode 0666"));
    assert_int_equal(chmod(path, 0664), 0); /* a group is somebody's decision */
    struct settings *s = settings_load(path, NULL, 0, &e);
    assert_non_null(s);
    settings_free(&s);
}

static void test_files_that_are_none(void **state)
{
    char dir[SCRATCH_PATH_SIZE];
    struct err e = {0};
    (void)state;
    assert_null(settings_load(path, NULL, 0, &e));
    assert_string_equal(e.code, "file-unreadable");
    assert_non_null(strstr(e.text, path));
    scratch_path(dir, "dir");
    assert_int_equal(mkdir(dir, 0700), 0);
    assert_null(settings_load(dir, NULL, 0, &e));
    assert_string_equal(e.code, "not-a-regular-file");
    assert_int_equal(mkfifo(path, 0600), 0); /* must not wait for a writer */
    assert_null(settings_load(path, NULL, 0, &e));
    assert_string_equal(e.code, "not-a-regular-file");
    unlink(path);
    write_file("");
    assert_int_equal(truncate(path, (1 << 20) + 1), 0);
    assert_null(settings_load(path, NULL, 0, &e));
    assert_string_equal(e.code, "file-too-large");
}

static int change_three(void *arg)
{
    static const char *const overrides[] = {"listen=127.0.0.1:9", "alpha=0.01", "hang-ms=9000"};
    struct settings *now = settings_load(NULL, NULL, 0, NULL);
    struct settings *wanted = settings_load(NULL, overrides, 3, NULL);
    (void)arg;
    log_init("test", LOG_LEVEL_INFO);
    settings_log_changes(now, now);
    settings_log_changes(now, wanted);
    settings_free(&now);
    settings_free(&wanted);
    return 0;
}

static void test_changes_are_told_with_their_scope(void **state)
{
    char said[2048];
    (void)state;
    assert_int_equal(child_run(change_three, NULL, said, sizeof said), 0);
    assert_non_null(strstr(said, "setting listen: \"127.0.0.1:8000\" -> \"127.0.0.1:9\", "
                                 "at the next start\n"));
    assert_non_null(strstr(said, "setting alpha: 0.05 -> 0.01, from the next deployment on\n"));
    assert_non_null(strstr(said, "setting hang_ms: 2000 -> 9000, at once\n"));
    int n_lines = 0;
    for (const char *p = said; *p != '\0'; p++)
        n_lines += *p == '\n';
    assert_int_equal(n_lines, 3);
}

static char *help_text(void)
{
    char *text = NULL;
    size_t n;
    FILE *out = open_memstream(&text, &n);
    assert_non_null(out);
    settings_print_help(out);
    fclose(out);
    return text;
}

/* What is in force can be printed, printed settings load, and --help has them all. */
static void test_json_and_help(void **state)
{
    static const char *const overrides[] = {"canary_percent=33.33", "python=", "alpha=0.1",
                                            "auto_rollback=false"};
    struct settings *s = load(NULL, overrides, 4);
    cJSON *root = settings_to_json(s);
    char *text = cJSON_Print(root);
    char *help = help_text();
    (void)state;
    write_file(text);
    struct settings *again = load(path, NULL, 0);
    cJSON *root_again = settings_to_json(again);
    assert_true(cJSON_Compare(root, root_again, true));
    assert_true(again->canary_percent == 33.33);
    for (const cJSON *item = root->child; item != NULL; item = item->next) {
        char option[64];
        snprintf(option, sizeof option, "  --%s=", item->string);
        for (char *p = option; *p != '\0'; p++)
            *p = *p == '_' ? '-' : *p;
        if (strstr(help, option) == NULL)
            fail_msg("--help does not have %s", option);
    }
    cJSON_Delete(root);
    cJSON_Delete(root_again);
    cJSON_free(text);
    free(help);
    settings_free(&again);
    settings_free(&s);
}

/* The sample holds every setting, and loads. */
static void test_the_sample_file(void **state)
{
    char *text;
    size_t n;
    (void)state;
    int fd = open(SAMPLE, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        printf("SKIP there is no " SAMPLE "\n");
        skip();
    }
    assert_int_equal(fd_read_file(fd, SAMPLE, 1 << 20, &text, &n, NULL), 0);
    fd_close(&fd);
    struct settings *s = load(SAMPLE, NULL, 0);
    cJSON *root = settings_to_json(s);
    for (const cJSON *item = root->child; item != NULL; item = item->next) {
        char key[64];
        snprintf(key, sizeof key, "\"%s\":", item->string);
        if (strstr(text, key) == NULL)
            fail_msg(SAMPLE " does not have %s", item->string);
    }
    cJSON_Delete(root);
    settings_free(&s);
    free(text);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, scratch_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_defaults),
        CASE(test_file_with_comments),
        CASE(test_who_wins),
        CASE(test_refusals),
        CASE(test_file_open_to_everybody),
        CASE(test_files_that_are_none),
        CASE(test_changes_are_told_with_their_scope),
        CASE(test_json_and_help),
        CASE(test_the_sample_file),
    };
    return cmocka_run_group_tests_name("settings", tests, NULL, NULL);
}
