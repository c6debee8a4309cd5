/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Strict JSON: what RFC 8259 allows passes, what cJSON would let slip does not.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/jsonx.h"

static const struct {
    const char *text;
    size_t n;         /* 0: strlen */
    const char *code; /* NULL: accepted */
    const char *pointer;
    const char *says; /* part of the sentence */
} cases[] = {
    {"{\"features\":[1,-2.5e-3,0]}", 0, NULL, NULL, NULL},
    {" [ ] ", 0, NULL, NULL, NULL},
    {"\"\\ud83d\\ude00 \xc3\xa9\"", 0, NULL, NULL, NULL},
    {"1e-999", 0, NULL, NULL, NULL},
    {"123456789012345678901234567890", 0, NULL, NULL, NULL},
    {"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]", 0, NULL, NULL, NULL},
    {"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]", 0, "too-deep", NULL,
     "32"},
    {"", 0, "bad-json", NULL, "byte 0"},
    {"[1,2", 0, "bad-json", NULL, "byte 4"},
    {"{} x", 0, "bad-json", NULL, "byte 3"},
    {"{}\0x", 4, "bad-json", NULL, "byte 2"},
    {"{\x01\"a\":1}", 0, "bad-json", NULL, "0x01"},
    {"[1,]", 0, "bad-json", NULL, "expected a value, got ']'"},
    {"[01]", 0, "bad-json", NULL, NULL},
    {"[5.]", 0, "bad-json", NULL, "decimal point"},
    {"[+1]", 0, "bad-json", NULL, NULL},
    {"[-]", 0, "bad-json", NULL, "a digit"},
    {"[1.2.3]", 0, "bad-json", NULL, NULL},
    {"[1e]", 0, "bad-json", NULL, "exponent"},
    {"[NaN]", 0, "bad-json", NULL, NULL},
    {"[Infinity]", 0, "bad-json", NULL, NULL},
    {"{'a':1}", 0, "bad-json", NULL, NULL},
    {"[1,/*c*/2]", 0, "bad-json", NULL, NULL},
    {"\"\\ud800\"", 0, "bad-json", NULL, "low surrogate"},
    {"\"\\udc00\"", 0, "bad-json", NULL, "high surrogate"},
    {"\"a\\u0000b\"", 0, "bad-json", NULL, "NUL"},
    {"\"a\nb\"", 0, "bad-json", NULL, "control"},
    {"\"\xff\"", 0, "bad-json", NULL, "UTF-8"},
    {"\"\xc0\xaf\"", 0, "bad-json", NULL, "UTF-8"},
    {"\"\xed\xa0\x80\"", 0, "bad-json", NULL, "UTF-8"},
    {"\"\\x\"", 0, "bad-json", NULL, "escape"},
    {"\"\\\0\"", 4, "bad-json", NULL, "escape"},
    {"{\"a\":1,\"b\":2,\"\\u0061\":3}", 0, "duplicate-key", NULL, "\"a\""},
    {"[{\"b\":{}},{\"x\":1,\"x\":2}]", 0, "duplicate-key", NULL, "\"x\""},
    {"{\"features\":[1,1e999]}", 0, "not-finite", "/features/1", "1e999"},
    {"{\"a/b\":{\"c~d\":[[],[-1e400]]}}", 0, "not-finite", "/a~1b/c~0d/1/0", NULL},
    {"[0.00000000000000000000000000000000000000000000000000000000000001]", 0, "number-too-long",
     "/0", "62"},
};

static void test_documents(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct err e = {0};
        size_t n = cases[i].n != 0 ? cases[i].n : strlen(cases[i].text);
        cJSON *root = jsonx_parse(cases[i].text, n, &e);
        if (cases[i].code == NULL) {
            if (root == NULL)
                fail_msg("%s: refused: %s", cases[i].text, e.text);
            cJSON_Delete(root);
            continue;
        }
        if (root != NULL)
            fail_msg("%s: accepted", cases[i].text);
        assert_string_equal(e.code, cases[i].code);
        if (cases[i].pointer != NULL)
            assert_string_equal(e.pointer, cases[i].pointer);
        if (cases[i].says != NULL && strstr(e.text, cases[i].says) == NULL)
            fail_msg("%s: \"%s\" does not say \"%s\"", cases[i].text, e.text, cases[i].says);
    }
}

/* Every proper prefix of a document is refused, none crashes the scan. */
static void test_truncation(void **state)
{
    (void)state;
    const char *text = "{\"k\\u00e9\":[1.5e+3,true,false,null,\"\xe2\x82\xac\",{\"x\":{}}]}";
    for (size_t n = 0; n < strlen(text); n++) {
        char *copy = strndup(text, n);
        assert_int_equal(jsonx_check(copy, n, NULL), -1);
        free(copy);
    }
    assert_int_equal(jsonx_check(text, strlen(text), NULL), 0);
}

static void test_deep_nesting_is_cheap(void **state)
{
    (void)state;
    size_t n = 100000;
    char *text = malloc(n + 1);
    struct err e = {0};
    assert_non_null(text);
    memset(text, '[', n);
    text[n] = '\0';
    assert_null(jsonx_parse(text, n, &e));
    assert_string_equal(e.code, "too-deep");
    free(text);
}

static void test_comments(void **state)
{
    (void)state;
    char text[] = "{ // a comment\n \"u\": \"http://x/*y*/\", /* \" */ \"n\": 1 }";
    jsonx_blank_comments(text, strlen(text));
    cJSON *root = jsonx_parse(text, strlen(text), NULL);
    assert_non_null(root);
    assert_string_equal(jsonx_member(root, "u")->valuestring, "http://x/*y*/");
    assert_null(jsonx_member(root, "N"));
    cJSON_Delete(root);
    char open[] = "{} /* never closed";
    jsonx_blank_comments(open, strlen(open));
    assert_int_equal(jsonx_check(open, strlen(open), NULL), -1);
}

static void test_whole_numbers(void **state)
{
    (void)state;
    const char *text = "[3, 3.5, -1, \"3\", 1e18]";
    cJSON *root = jsonx_parse(text, strlen(text), NULL);
    int64_t value = 0;
    assert_true(jsonx_as_int(cJSON_GetArrayItem(root, 0), 0, 10, &value));
    assert_int_equal(value, 3);
    for (int i = 1; i < 5; i++)
        assert_false(jsonx_as_int(cJSON_GetArrayItem(root, i), 0, 10, &value));
    assert_false(jsonx_as_int(NULL, 0, 10, &value));
    cJSON_Delete(root);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_documents),
        cmocka_unit_test(test_truncation),
        cmocka_unit_test(test_deep_nesting_is_cheap),
        cmocka_unit_test(test_comments),
        cmocka_unit_test(test_whole_numbers),
    };
    return cmocka_run_group_tests_name("jsonx", tests, NULL, NULL);
}
