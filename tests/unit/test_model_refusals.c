/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Hostile and mistaken model documents: each is refused with a reason that names
 * the place, and none makes the reader allocate, loop or read outside itself.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/mem.h"
#include "worker/model.h"

/* Two small valid documents that between them have every member. */
static const char linear[] =
    "{\"format\":\"canaryd-model\",\"version\":1,\"kind\":\"logistic-regression\","
    "\"name\":\"n\",\"output\":\"p\",\"n_features\":2,\"feature_names\":[\"a\",\"b\"],"
    "\"about\":{\"by\":\"hand\"},\"transforms\":[{\"subtract\":[1,2]},{\"divide\":[3,4]}],"
    "\"linear\":{\"coefficients\":[0,0],\"intercept\":0,\"sum\":\"sequential\"},"
    "\"link\":\"logistic\",\"probes\":{\"inputs\":[[1,2],[3,4]],\"outputs\":[0.5,0.5]}}";

static const char trees[] =
    "{\"format\":\"canaryd-model\",\"version\":1,\"kind\":\"random-forest\",\"n_features\":3,"
    "\"ensemble\":{\"compare\":\"float32\",\"init\":0,\"scale\":1,\"divide_by\":2,"
    "\"sum\":\"fused\",\"trees\":["
    "{\"feature\":[0,2,-1,-1,-1],\"threshold\":[0.5,1,0,0,0],\"left\":[1,2,-1,-1,-1],"
    "\"right\":[4,3,-1,-1,-1],\"value\":[0,0,1,2,3]},"
    "{\"feature\":[-1],\"threshold\":[0],\"left\":[-1],\"right\":[-1],\"value\":[7]}]},"
    "\"link\":\"identity\"}";

/* One change to a valid document, and what the reason must say. The first
 * column is the case's name in our list of bad inputs, where it has one. */
static const struct {
    const char *name;
    const char *document;
    const char *old; /* its first occurrence is replaced by new */
    const char *new;
    const char *says;
} cases[] = {
    {"1e999_weight", linear, "\"intercept\":0", "\"intercept\":1e999", "/linear/intercept: 1e999"},
    {"nan_weight", linear, "\"intercept\":0", "\"intercept\":NaN", "at byte"},
    {"dup_keys", linear, "\"intercept\":0", "\"coefficients\":[1,1]", "\"coefficients\""},
    {"n_features_2e9", linear, "\"n_features\":2", "\"n_features\":2000000000", "1 to 65536"},
    {"n_features_2e9", trees, "\"n_features\":3", "\"n_features\":2000000000", "/n_features"},
    {"n_features_neg", linear, "\"n_features\":2", "\"n_features\":-1", "got -1"},
    {"tree_cycle", trees, "\"left\":[1,2", "\"left\":[1,0", "/ensemble/trees/0/left/1"},
    {"tree_cycle", trees, "\"left\":[1,2", "\"left\":[0,2", "a child of node 0: a node after it"},
    {"tree_oob_child", trees, "\"right\":[4,3", "\"right\":[5,3", "/ensemble/trees/0/right/0"},
    {"tree_oob_child", trees, "\"right\":[4,3", "\"right\":[4294967296,3", "at most the tree's"},
    {"tree_feature_oob", trees, "\"feature\":[0,2", "\"feature\":[0,999", "got 999"},
    {"unknown_type", linear, "logistic-regression", "quantum", "one of logistic-regression"},
    {"string_utf8", linear, "\"name\":\"n\"", "\"name\":\"\xff\"", "UTF-8"},

    {"", linear, "{\"format\"", "[\"format\"", "at byte"},
    {"", linear, "canaryd-model", "xgboost", "/format: expected one of canaryd-model"},
    {"", linear, "\"format\":\"canaryd-model\",", "", "not a canaryd model"},
    {"", linear, "\"version\":1", "\"version\":2", "/version: expected a whole number from 1 to 1"},
    {"", linear, "\"version\":1,", "", "/version: is missing"},
    {"", linear, "\"kind\":\"logistic-regression\",", "", "/kind: is missing"},
    {"", linear, "\"kind\":\"logistic-regression\"", "\"kind\":7", "/kind: expected one of"},
    {"", linear, "\"about\"", "\"abuot\"", "the key \"abuot\" is not known here"},
    {"", linear, "\"about\"", "\"\\n\xc3\xa9\"", "the key \"???\" is not known"},
    {"", linear, "\"sum\"", "\"summ\"", "/linear: the key \"summ\" is not known"},
    {"", linear, "\"name\":\"n\"", "\"name\":\"\"", "/name: expected a string of 1 to 200 bytes"},
    {"", linear, "\"output\":\"p\"", "\"output\":\"p q\"", "/output: expected a name"},
    {"", linear, "\"output\":\"p\"", "\"output\":\"model_used\"", "already a key"},
    {"", linear, "\"output\":\"p\"", "\"output\":null", "/output: expected a string"},
    {"", linear, "\"n_features\":2", "\"n_features\":2.5", "got 2.5"},
    {"", linear, "\"n_features\":2", "\"n_features\":\"2\"", "got \"2\""},
    {"", linear, "\"n_features\":2", "\"n_features\":true", "got a boolean"},
    {"", linear, "\"n_features\":2", "\"n_features\":3", "/feature_names: expected 3 elements"},
    {"", linear, "[\"a\",\"b\"]", "[\"a\",1]", "/feature_names/1: expected a string"},
    {"", linear, "[\"a\",\"b\"]", "\"ab\"", "/feature_names: expected an array, got \"ab\""},
    {"", linear, "\"by\":\"hand\"", "\"by\":[]", "/about: \"by\": expected a string"},
    {"", linear, "{\"by\":\"hand\"}", "\"hand\"", "/about: expected an object"},
    {"", linear, "subtract", "log", "/transforms/0: the key \"log\" is not known"},
    {"", linear, "[1,2]},{", "[1,2],", "/transforms/0: expected exactly one operation"},
    {"", linear, "{\"subtract\":[1,2]}", "{}", "/transforms/0: expected exactly one operation"},
    {"", linear, "{\"subtract\":[1,2]}", "7", "/transforms/0: expected an object, got 7"},
    {"", linear, "\"subtract\":[1,2]", "\"subtract\":[1]", "/transforms/0/subtract: expected 2"},
    {"", linear, "[3,4]", "[3,0]", "/transforms/1/divide: element 1 divides by zero"},
    {"", linear, "\"coefficients\":[0,0]", "\"coefficients\":[0,\"x\"]", "/linear/coefficients/1"},
    {"", linear, "\"coefficients\":[0,0]", "\"coefficients\":[0,0,0]",
     "expected 2 elements, got 3"},
    {"", linear, "\"coefficients\":[0,0]", "\"coefficients\":{}", "expected an array"},
    {"", linear, "\"intercept\":0,", "", "/linear/intercept: is missing"},
    {"", linear, "\"sequential\"", "\"pairwise\"",
     "/linear/sum: expected one of sequential, fused"},
    {"", linear, "\"linear\":{", "\"ensemble\":{", "/ensemble: a logistic-regression has"},
    {"", linear, "\"link\":\"logistic\",", "", "/link: is missing"},
    {"", linear, "\"link\":\"logistic\"", "\"link\":\"probit\"", "got \"probit\""},
    {"", linear, "[[1,2],[3,4]]", "[[1,2],[3]]", "/probes/inputs/1: expected 2 elements"},
    {"", linear, "[[1,2],[3,4]]", "[[1,2]]", "/probes/outputs: expected 1 elements, got 2"},
    {"", linear, "[[1,2],[3,4]]", "[1,2]", "/probes/inputs/0: expected an array, got 1"},
    {"", linear, "[0.5,0.5]", "[0.5,0.25]", "/probes/outputs/1: the model disagrees"},
    {"", linear, "[0.5,0.5]", "[0.5,null]", "/probes/outputs/1: expected a number, got null"},
    {"", linear, "\"outputs\"", "\"results\"", "/probes: the key \"results\""},

    {"", trees, "random-forest", "linear-regression", "/ensemble: a linear-regression has"},
    {"", trees, "\"compare\":\"float32\",", "", "/ensemble/compare: is missing"},
    {"", trees, "float32", "float16", "one of float64, float32"},
    {"", trees, "\"divide_by\":2", "\"divide_by\":0", "divide_by is zero"},
    {"", trees, "\"scale\":1", "\"scale\":[]", "/ensemble/scale: expected a number"},
    {"", trees, "\"feature\":[-1],\"threshold\":[0],\"left\":[-1],\"right\":[-1],\"value\":[7]",
     "\"feature\":[],\"threshold\":[],\"left\":[],\"right\":[],\"value\":[]",
     "/ensemble/trees/1/feature: expected 1 to"},
    {"", trees, "\"value\":[7]", "\"value\":[7,8]", "/ensemble/trees/1/value: expected 1 elements"},
    {"", trees, "\"value\":[7]", "\"value\":[\"7\"]",
     "/ensemble/trees/1/value/0: expected a number"},
    {"", trees, "\"value\":[7]", "\"count\":[7]", "/ensemble/trees/1: the key \"count\""},
    {"", trees, ",\"value\":[7]", "", "/ensemble/trees/1/value: is missing; expected an array"},
    {"", trees, "\"threshold\":[0.5,1", "\"threshold\":[0.5,null", "/ensemble/trees/0/threshold/1"},
    {"", trees, "\"feature\":[0,2", "\"feature\":[0,-2", "got -2"},
    {"", trees, "\"feature\":[0,2", "\"feature\":[0,0.5", "got 0.5"},
    {"", trees, "\"feature\":[0,2", "\"feature\":[0,-1", "because node 1 is a leaf"},
    {"", trees, "\"right\":[4,3", "\"right\":[4,2", "node 2 has two parents"},
    {"", trees, "\"right\":[4,3", "\"right\":[4,4", "/ensemble/trees/0/right/1: node 4 has two"},
    {"", trees, "\"left\":[1,2,-1", "\"left\":[1,2,3", "because node 2 is a leaf"},
    {"", trees,
     "\"feature\":[0,2,-1,-1,-1],\"threshold\":[0.5,1,0,0,0],\"left\":[1,2,-1,-1,-1],"
     "\"right\":[4,3",
     "\"feature\":[0,-1,-1,-1,-1],\"threshold\":[0.5,1,0,0,0],\"left\":[1,-1,-1,-1,-1],"
     "\"right\":[4,-1",
     "/ensemble/trees/0: no node has node 2 as a child"},
};

/* document with the first old replaced; the caller frees it. */
static char *changed(const char *document, const char *old, const char *new)
{
    const char *at = strstr(document, old);
    if (at == NULL)
        fail_msg("\"%s\" is not in the document", old);
    return mem_printf("%.*s%s%s", (int)(at - document), document, new, at + strlen(old));
}

static void test_documents(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct err e = {0};
        char *text = changed(cases[i].document, cases[i].old, cases[i].new);
        struct model *m = model_read(text, strlen(text), &e);
        if (m != NULL)
            fail_msg("accepted: %s", text);
        assert_string_equal(e.code, "model-invalid");
        if (strstr(e.text, cases[i].says) == NULL)
            fail_msg("%s %s: \"%s\" does not say \"%s\"", cases[i].name, cases[i].new, e.text,
                     cases[i].says);
        free(text);
    }
}

static void test_the_unchanged_documents_are_read(void **state)
{
    (void)state;
    const double x[3] = {0, 2, 9};
    double y;
    struct model *m = model_read(linear, strlen(linear), NULL);
    assert_non_null(m);
    assert_int_equal(model_predict(m, x, 1, &y, NULL), 0);
    assert_true(y == 0.5);
    model_free(&m);
    m = model_read(trees, strlen(trees), NULL);
    assert_non_null(m);
    assert_int_equal(model_predict(m, x, 1, &y, NULL), 0);
    assert_true(y == (2.0 + 7.0) / 2);
    model_free(&m);
}

static void refuse_prefixes(const char *document)
{
    for (size_t n = 0; n < strlen(document); n++) {
        struct err e = {0};
        char *copy = strndup(document, n);
        assert_null(model_read(copy, n, &e));
        assert_string_equal(e.code, "model-invalid");
        free(copy);
    }
}

static void test_truncation(void **state)
{
    (void)state;
    refuse_prefixes(linear);
    refuse_prefixes(trees);
}

/* Every byte replaced by others: what is still read must still end. */
static void survive_changes(const char *document)
{
    static const char bytes[] = "019-.,:\"[]{}e \xff";
    const double x[3] = {0.1, 1.5, -2};
    size_t n = strlen(document);
    char *copy = mem_strdup(document);
    for (size_t i = 0; i < n; i++) {
        for (const char *b = bytes; *b != '\0'; b++) {
            struct err e = {0};
            double y;
            copy[i] = *b;
            struct model *m = model_read(copy, n, &e);
            if (m == NULL)
                assert_string_equal(e.code, "model-invalid");
            else if (model_n_features(m) <= 3)
                (void)model_predict(m, x, 1, &y, &e);
            model_free(&m);
        }
        copy[i] = document[i];
    }
    free(copy);
}

static void test_changed_bytes(void **state)
{
    (void)state;
    survive_changes(linear);
    survive_changes(trees);
}

/* model_native_depth_bomb */
static void test_deep_nesting(void **state)
{
    (void)state;
    size_t n = 100000;
    struct err e = {0};
    char *text = malloc(n + 1);
    assert_non_null(text);
    memset(text, '[', n);
    text[n] = '\0';
    assert_null(model_read(text, n, &e));
    assert_string_equal(e.code, "model-invalid");
    assert_non_null(strstr(e.text, "nested deeper than 32 levels"));
    free(text);
}

static void test_other_json_is_told_so(void **state)
{
    (void)state;
    static const char *const texts[] = {"7", "null", "[]", "{}",
                                        "{\"learner\":{},\"version\":[1]}"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct err e = {0};
        assert_null(model_read(texts[i], strlen(texts[i]), &e));
        assert_string_equal(e.code, "model-invalid");
        assert_non_null(strstr(e.text, "model"));
        assert_null(model_read(texts[i], strlen(texts[i]), NULL));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_unchanged_documents_are_read),
        cmocka_unit_test(test_documents),
        cmocka_unit_test(test_other_json_is_told_so),
        cmocka_unit_test(test_truncation),
        cmocka_unit_test(test_changed_bytes),
        cmocka_unit_test(test_deep_nesting),
    };
    return cmocka_run_group_tests_name("model refusals", tests, NULL, NULL);
}
