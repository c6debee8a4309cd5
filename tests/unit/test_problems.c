/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The table of errors: every code once and with its status, none missing that
 * the sources use, and bodies as RFC 9457 wants them.
 */
#include <glob.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/jsonx.h"
#include "common/log.h"
#include "supervisor/problems.h"

static const struct {
    int status;
    const char *code;
} expected[] = {
    /* 400: bytes or syntax */
    {400, "malformed-request"},
    {400, "bad-json"},
    {400, "too-deep"},
    {400, "duplicate-key"},
    {400, "empty-body"},
    {400, "bad-header"},
    {400, "missing-model-path"},
    {400, "path-outside-model-dir"},
    {400, "not-a-regular-file"},
    {401, "token-missing"},
    {401, "token-wrong"},
    {403, "admin-closed"},
    {403, "wrong-host"},
    {403, "cross-site"},
    {403, "peer-not-allowed"},
    {403, "model-unreadable"},
    {404, "not-found"},
    {404, "model-not-found"},
    {405, "method-not-allowed"},
    {408, "request-timeout"},
    /* 409: state */
    {409, "canary-active"},
    {409, "canary-loading"},
    {409, "canary-not-ready"},
    {409, "no-canary"},
    {409, "alert-stands"},
    {409, "incompatible-inputs"},
    {409, "superseded"},
    {409, "promotion-pending"},
    {413, "body-too-large"},
    {413, "model-too-large"},
    {415, "unsupported-media-type"},
    {429, "too-many-failures"},
    /* 422: meaning */
    {422, "not-an-object"},
    {422, "missing-features"},
    {422, "wrong-type"},
    {422, "wrong-length"},
    {422, "not-finite"},
    {422, "number-too-long"},
    {422, "out-of-range"},
    {422, "unknown-key"},
    {422, "model-invalid"},
    {422, "sha256-mismatch"},
    {422, "unsafe-directory"},
    {422, "python-missing"},
    {422, "cage-missing"},
    {502, "model-fault"},
    {502, "poison-request"},
    {503, "spawn-failed"},
    {503, "overloaded"},
    {503, "too-many-connections"},
    {503, "unavailable"},
    {503, "not-ready"},
    {504, "deadline"},
    {504, "worker-start-timeout"},
    {505, "unsupported-version"},
    {507, "state-not-saved"},
};
#define N_EXPECTED (sizeof expected / sizeof expected[0])

static void test_statuses(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_EXPECTED; i++) {
        const struct problem *p = problem_find(expected[i].code);
        if (strcmp(p->code, expected[i].code) != 0 || p->status != expected[i].status)
            fail_msg("%s: %s, %d", expected[i].code, p->code, p->status);
        assert_true(p->title[0] != '\0');
        assert_string_not_equal(status_reason(p->status), "Unknown");
    }
}

static void test_codes_and_titles_are_unique(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_EXPECTED; i++)
        for (size_t k = 0; k < i; k++) {
            assert_string_not_equal(expected[i].code, expected[k].code);
            assert_ptr_not_equal(problem_find(expected[i].code), problem_find(expected[k].code));
            assert_string_not_equal(problem_find(expected[i].code)->title,
                                    problem_find(expected[k].code)->title);
        }
}

/* --- The sources ------------------------------------------------------------*/

/* These stay inside: command line, start, configuration, statistics, frames. */
static const char *const inner[] = {
    "usage",           "bad-setting",   "bad-token-file",  "unknown-setting",
    "file-unreadable", "cannot-create", "already-running", "cannot-listen",
    "address-in-use",  "cancelled",     "bad-frame",       "too-few-samples",
    "file-too-large",  "no-worker",     "state-newer",     "state-damaged",
};

static char *read_source(const char *path)
{
    size_t size = 256 * 1024;
    char *text = calloc(size, 1);
    FILE *f = fopen(path, "re");
    if (f == NULL)
        fail_msg("%s is not there: tests run in the root of the sources", path);
    assert_true(fread(text, 1, size - 1, f) < size - 1);
    fclose(f);
    return text;
}

static bool is_known(const char *code)
{
    for (size_t i = 0; i < sizeof inner / sizeof inner[0]; i++)
        if (strcmp(inner[i], code) == 0)
            return true;
    for (size_t i = 0; i < N_EXPECTED; i++)
        if (strcmp(expected[i].code, code) == 0)
            return true;
    return false;
}

/* The code is the second argument of err_set and its kin. Returns how many. */
static int check_calls(const char *path, const char *text, const char *function)
{
    char code[64];
    int n = 0;
    for (const char *at = strstr(text, function); at != NULL; at = strstr(at + 1, function)) {
        if (sscanf(at + strlen(function), "%*[^,;\"],%*[ \n]\"%63[a-z0-9-]\"", code) != 1)
            continue;
        n++;
        if (!is_known(code))
            fail_msg("%s: the code \"%s\" has no row in the table of problems", path, code);
    }
    return n;
}

static int check_sources(const char *pattern)
{
    glob_t found;
    int n = 0;
    assert_int_equal(glob(pattern, 0, NULL, &found), 0);
    for (size_t i = 0; i < found.gl_pathc; i++) {
        char *text = read_source(found.gl_pathv[i]);
        n += check_calls(found.gl_pathv[i], text, "err_set(");
        n += check_calls(found.gl_pathv[i], text, "err_set_at(");
        n += check_calls(found.gl_pathv[i], text, "err_set_errno(");
        free(text);
    }
    globfree(&found);
    return n;
}

static void test_no_code_is_missing(void **state)
{
    (void)state;
    assert_true(check_sources("supervisor/*.c") > 60);
    assert_true(check_sources("common/*.c") > 3);
}

/* A row that is added without its line above would go untested. */
static void test_table_has_no_other_rows(void **state)
{
    char *text = read_source("supervisor/problems.c");
    char code[64];
    int status;
    size_t n = 0;
    (void)state;
    for (const char *at = strchr(text, '{'); at != NULL; at = strchr(at + 1, '{'))
        if (sscanf(at, "{\"%63[a-z0-9-]\", %d, \"", code, &status) == 2 &&
            strcmp(code, "unexpected") != 0)
            n++;
    assert_int_equal(n, N_EXPECTED);
    free(text);
}

static void test_unknown_code(void **state)
{
    (void)state;
    assert_int_equal(problem_find("no-such-code")->status, 502); /* never 500 */
    assert_string_equal(problem_find("no-such-code")->code, "unexpected");
}

/* --- Bodies -----------------------------------------------------------------*/

static cJSON *body_of(const struct err *e)
{
    struct err why = {0};
    char *body = problem_to_json(problem_find(e->code), e, "urn:request:req_1");
    cJSON *j = jsonx_parse(body, strlen(body), &why); /* strict: UTF-8 too */
    if (j == NULL)
        fail_msg("%s: %s", body, why.text);
    free(body);
    return j;
}

static const char *text_of(const cJSON *j, const char *name)
{
    const cJSON *item = jsonx_member(j, name);
    if (!cJSON_IsString(item))
        fail_msg("there is no text \"%s\"", name);
    return item->valuestring;
}

static void test_body(void **state)
{
    struct err e;
    (void)state;
    err_set(&e, "no-canary", "no canary is deployed");
    cJSON *j = body_of(&e);
    assert_string_equal(text_of(j, "type"), "urn:canaryd:problem:no-canary");
    assert_string_equal(text_of(j, "title"), "No canary");
    assert_int_equal(jsonx_member(j, "status")->valueint, 409);
    assert_string_equal(text_of(j, "detail"), "no canary is deployed");
    assert_string_equal(text_of(j, "instance"), "urn:request:req_1");
    assert_string_equal(text_of(j, "code"), "no-canary");
    assert_null(jsonx_member(j, "errors"));
    cJSON_Delete(j);
}

static void test_body_with_pointer(void **state)
{
    struct err e;
    (void)state;
    err_set_at(&e, "wrong-type", "/features/3", "features[3]: expected a number, got null");
    cJSON *j = body_of(&e);
    const cJSON *errors = jsonx_member(j, "errors");
    assert_int_equal(cJSON_GetArraySize(errors), 1);
    assert_string_equal(text_of(errors->child, "pointer"), "#/features/3");
    assert_string_equal(text_of(errors->child, "detail"),
                        "features[3]: expected a number, got null");
    cJSON_Delete(j);
}

static const struct {
    const char *text;
    const char *cleaned;
} texts[] = {
    {"plain \"quoted\" \\ back", "plain \"quoted\" \\ back"},
    {"gr\xc3\xbc\xc3\x9f dich", "gr\xc3\xbc\xc3\x9f dich"},
    {"bad \xff\xfe here", "bad ?? here"},
    {"cut \xe2\x82", "cut ??"},
    {"overlong \xc0\xaf", "overlong ??"},
    {"surrogate \xed\xa0\x80", "surrogate ???"},
    {"tab\there \x01", "tab\there \x01"},
};

static void test_text_from_outside(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct err e;
        char pointer[80], wanted[80];
        snprintf(pointer, sizeof pointer, "/%s", texts[i].text);
        snprintf(wanted, sizeof wanted, "#/%s", texts[i].cleaned);
        err_set_at(&e, "unknown-key", pointer, "%s", texts[i].text);
        cJSON *j = body_of(&e);
        assert_string_equal(text_of(j, "detail"), texts[i].cleaned);
        assert_string_equal(text_of(jsonx_member(j, "errors")->child, "pointer"), wanted);
        cJSON_Delete(j);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_statuses),
        cmocka_unit_test(test_codes_and_titles_are_unique),
        cmocka_unit_test(test_table_has_no_other_rows),
        cmocka_unit_test(test_no_code_is_missing),
        cmocka_unit_test(test_unknown_code),
        cmocka_unit_test(test_body),
        cmocka_unit_test(test_body_with_pointer),
        cmocka_unit_test(test_text_from_outside),
    };
    log_init("test_problems", LOG_LEVEL_ERROR);
    return cmocka_run_group_tests_name("problems", tests, NULL, NULL);
}
