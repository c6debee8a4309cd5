/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The state that survives the supervisor: what is printed is read back, and
 * nothing that was not printed so is believed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sha2.h>

#include "common/mem.h"
#include "supervisor/state.h"

static struct saved_state *example(void)
{
    struct saved_state *s = mem_alloc(sizeof *s);
    *s = (struct saved_state){
        .stable = {.path = mem_strdup("models/model_v1.json")},
        .canary = {.path = mem_strdup("m/\xc3\xa9 \"2\".joblib")},
        .stable_setting = mem_strdup("model_v1.json"),
        .canary_setting = mem_strdup(""),
        .deployment = UINT64_C(0xfedcba9876543210),
        .percent = 100.0 / 3,
        .canary_start_ns = INT64_C(1754252160123456789),
        .slowdown = true,
        .rolled_back_by = mem_strdup("judge"),
        .report = cJSON_CreateObject(),
    };
    memset(s->stable.sha256, 'a', SHA256_TEXT_SIZE - 1);
    memset(s->stable.served_sha256, 'b', SHA256_TEXT_SIZE - 1);
    memset(s->canary.sha256, 'c', SHA256_TEXT_SIZE - 1);
    memset(s->canary.served_sha256, '0', SHA256_TEXT_SIZE - 1);
    s->canary.runtime = RUNTIME_PYTHON;
    cJSON_AddNumberToObject(s->report, "p_value", 3.1513271605768837e-06);
    return s;
}

static char *print_example(void)
{
    struct saved_state *s = example();
    char *text = state_print(s);
    saved_state_free(&s);
    return text;
}

static void test_round_trip(void **state)
{
    struct err e = {0};
    struct saved_state *want = example();
    char *text = print_example();
    (void)state;
    struct saved_state *got = state_parse(text, strlen(text), &e);
    if (got == NULL)
        fail_msg("%s", e.text);
    assert_string_equal(got->stable.path, want->stable.path);
    assert_string_equal(got->canary.path, want->canary.path);
    assert_string_equal(got->canary.sha256, want->canary.sha256);
    assert_string_equal(got->canary.served_sha256, want->canary.served_sha256);
    assert_int_equal(got->stable.runtime, RUNTIME_NATIVE);
    assert_int_equal(got->canary.runtime, RUNTIME_PYTHON);
    assert_string_equal(got->stable_setting, want->stable_setting);
    assert_true(got->deployment == want->deployment);
    assert_true(got->percent == want->percent);
    assert_true(got->canary_start_ns == want->canary_start_ns);
    assert_true(got->slowdown);
    assert_false(got->percent_by_settings);
    assert_string_equal(got->rolled_back_by, "judge");
    assert_true(cJSON_Compare(got->report, want->report, true));
    char *again = state_print(got);
    assert_string_equal(again, text);
    cJSON_free(again);
    cJSON_free(text);
    saved_state_free(&got);
    saved_state_free(&want);
}

static void test_no_canary(void **state)
{
    struct saved_state *s = example();
    struct err e = {0};
    (void)state;
    free(s->canary.path);
    s->canary.path = NULL;
    s->percent = 0;
    free(s->rolled_back_by);
    s->rolled_back_by = NULL;
    char *text = state_print(s);
    saved_state_free(&s);
    s = state_parse(text, strlen(text), &e);
    assert_non_null(s);
    assert_null(s->canary.path);
    assert_null(s->rolled_back_by);
    saved_state_free(&s);
    cJSON_free(text);
}

/* Cut anywhere, it is damaged; no prefix is taken for the whole. */
static void test_truncation(void **state)
{
    char *text = print_example();
    (void)state;
    for (size_t n = 0; n < strlen(text); n++) {
        struct err e = {0};
        char *cut = strndup(text, n);
        assert_null(state_parse(cut, n, &e));
        assert_string_equal(e.code, "state-damaged");
        free(cut);
    }
    cJSON_free(text);
}

/* Any byte changed is either blank space or damage. */
static void test_changed_bytes(void **state)
{
    char *text = print_example();
    size_t n = strlen(text);
    (void)state;
    for (size_t i = 0; i < n; i++) {
        char old = text[i];
        struct err e = {0};
        if (old == ' ' || old == '\t' || old == '\n')
            continue;
        text[i] = old == '1' ? '0' : '1';
        struct saved_state *s = state_parse(text, n, &e);
        if (s != NULL)
            fail_msg("byte %zu changed from '%c' was not noticed", i, old);
        text[i] = old;
    }
    cJSON_free(text);
}

static void test_versions(void **state)
{
    static const struct {
        const char *text;
        const char *code;
    } cases[] = {
        {"{\"canaryd_state\": 2, \"anything\": []}", "state-newer"},
        {"{\"canaryd_state\": 999}", "state-newer"},
        {"{\"canaryd_state\": 0}", "state-damaged"},
        {"{\"canaryd_state\": \"1\"}", "state-damaged"},
        {"{\"canaryd_state\": 1}", "state-damaged"},
        {"{}", "state-damaged"},
        {"[]", "state-damaged"},
        {"null", "state-damaged"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct err e = {0};
        assert_null(state_parse(cases[i].text, strlen(cases[i].text), &e));
        assert_string_equal(e.code, cases[i].code);
    }
}

/* The example with another runtime of its canary, and the right checksum. */
static char *print_with_runtime(cJSON *runtime)
{
    char sum[SHA256_TEXT_SIZE];
    char *text = print_example();
    cJSON *root = cJSON_Parse(text);
    cJSON *state = cJSON_GetObjectItem(root, "state");
    cJSON_free(text);
    cJSON_DeleteItemFromObject(cJSON_GetObjectItem(state, "canary"), "runtime");
    if (runtime != NULL)
        cJSON_AddItemToObject(cJSON_GetObjectItem(state, "canary"), "runtime", runtime);
    text = cJSON_PrintUnformatted(state);
    SHA256Data((const uint8_t *)text, strlen(text), sum);
    cJSON_free(text);
    cJSON_ReplaceItemInObject(root, "sha256", cJSON_CreateString(sum));
    text = cJSON_Print(root);
    cJSON_Delete(root);
    return text;
}

/* States of the time before there were runtimes do not say one. */
static void test_runtimes(void **state)
{
    const struct {
        cJSON *said;
        bool is_right;
        enum runtime runtime;
    } cases[] = {
        {NULL, true, RUNTIME_NATIVE},
        {cJSON_CreateString("native"), true, RUNTIME_NATIVE},
        {cJSON_CreateString("python"), true, RUNTIME_PYTHON},
        {cJSON_CreateString("Python"), false, RUNTIME_NATIVE},
        {cJSON_CreateString(""), false, RUNTIME_NATIVE},
        {cJSON_CreateNumber(1), false, RUNTIME_NATIVE},
        {cJSON_CreateNull(), false, RUNTIME_NATIVE},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct err e = {0};
        char *text = print_with_runtime(cases[i].said);
        struct saved_state *s = state_parse(text, strlen(text), &e);
        assert_int_equal(s != NULL, cases[i].is_right);
        if (s != NULL)
            assert_int_equal(s->canary.runtime, cases[i].runtime);
        else
            assert_string_equal(e.code, "state-damaged");
        saved_state_free(&s);
        cJSON_free(text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip), cmocka_unit_test(test_no_canary),
        cmocka_unit_test(test_truncation), cmocka_unit_test(test_changed_bytes),
        cmocka_unit_test(test_versions),   cmocka_unit_test(test_runtimes),
    };
    return cmocka_run_group_tests_name("state", tests, NULL, NULL);
}
