/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Models in the native format answer as their authors' runtime did, to the last
 * bit. Runs in the repository's root: it reads models/ and tests/data/.
 */
#include <fcntl.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/fdio.h"
#include "common/jsonx.h"
#include "common/mem.h"
#include "worker/model.h"

#define LINEAR(transforms, linear)                                                                 \
    "{\"format\":\"canaryd-model\",\"version\":1,\"kind\":\"linear-regression\",\"n_features\":2," \
    "\"transforms\":[" transforms "],\"linear\":{" linear "},\"link\":\"identity\"}"

#define STUMP(compare, more)                                                                       \
    "{\"format\":\"canaryd-model\",\"version\":1,\"kind\":\"decision-tree\",\"n_features\":1,"     \
    "\"ensemble\":{\"compare\":\"" compare "\",\"trees\":[{\"feature\":[0,-1,-1],"                 \
    "\"threshold\":[0.1,0,0],\"left\":[1,-1,-1],\"right\":[2,-1,-1],\"value\":[0,10,20]}]" more    \
    "},\"link\":\"identity\"}"

static char *read_whole(const char *path, size_t *n)
{
    struct err e = {0};
    char *text = NULL;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        fail_msg("%s cannot be opened", path);
    if (fd_read_file(fd, path, 1 << 24, &text, n, &e) < 0)
        fail_msg("%s", e.text);
    fd_close(&fd);
    return text;
}

static struct model *read_text(const char *text)
{
    struct err e = {0};
    struct model *m = model_read(text, strlen(text), &e);
    if (m == NULL)
        fail_msg("refused: %s", e.text);
    return m;
}

static struct model *read_path(const char *path)
{
    size_t n;
    char *text = read_whole(path, &n);
    struct model *m = read_text(text);
    free(text);
    return m;
}

static void assert_same_bits(double got, double expected)
{
    uint64_t bits[2];
    memcpy(&bits[0], &got, sizeof got);
    memcpy(&bits[1], &expected, sizeof expected);
    if (bits[0] != bits[1])
        fail_msg("expected %.17g, got %.17g", expected, got);
}

/* The answer of the model in text for one row. */
static double answer(const char *text, const double *row)
{
    struct model *m = read_text(text);
    struct err e = {0};
    double y;
    if (model_predict(m, row, 1, &y, &e) < 0)
        fail_msg("%s", e.text);
    model_free(&m);
    return y;
}

static void check_golden(const char *model_path, const char *golden_path)
{
    size_t n;
    char *text = read_whole(golden_path, &n);
    cJSON *golden = jsonx_parse(text, n, NULL);
    struct model *m = read_path(model_path);
    const cJSON *output = jsonx_member(golden, "outputs")->child;
    size_t n_rows = 0;
    for (const cJSON *row = jsonx_member(golden, "inputs")->child; row != NULL; row = row->next) {
        double x[5];
        double y;
        assert_int_equal(cJSON_GetArraySize(row), 5);
        for (int i = 0; i < 5; i++)
            x[i] = cJSON_GetArrayItem(row, i)->valuedouble;
        assert_int_equal(model_predict(m, x, 1, &y, NULL), 0);
        assert_same_bits(y, output->valuedouble);
        output = output->next;
        n_rows++;
    }
    assert_int_equal(n_rows, 301);
    cJSON_Delete(golden);
    free(text);
    model_free(&m);
}

static void test_golden_rows_agree_to_the_bit(void **state)
{
    (void)state;
    check_golden("models/model_v1.json", "tests/data/golden_v1.json");
    check_golden("models/model_v2.json", "tests/data/golden_v2.json");
}

static void test_shipped_models(void **state)
{
    (void)state;
    const double rows[] = {0.5, 1.2, 0.8, 0.3, 1.1, 0.5, 1.2, 0.8, 0.3, 1.1};
    double y[2];
    struct model *v1 = read_path("models/model_v1.json");
    struct model *v2 = read_path("models/model_v2.json");
    assert_string_equal(model_kind(v1), "logistic-regression");
    assert_string_equal(model_kind(v2), "gradient-boosting");
    assert_string_equal(model_output_name(v1), "churn_probability");
    assert_int_equal(model_n_features(v1), 5);
    assert_int_equal(model_n_features(v2), 5);
    assert_int_equal(model_predict(v1, rows, 2, y, NULL), 0);
    assert_true(fabs(y[0] - 0.2222) < 5e-5);
    assert_same_bits(y[1], y[0]);
    assert_int_equal(model_predict(v2, rows, 2, y, NULL), 0);
    assert_true(fabs(y[0] - 0.1308) < 5e-5);
    assert_same_bits(y[1], y[0]);
    model_free(&v1);
    model_free(&v2);
    assert_null(v1);
}

static void test_the_output_has_a_default_name(void **state)
{
    (void)state;
    struct model *m = read_text(LINEAR("", "\"coefficients\":[1,2],\"intercept\":3"));
    assert_string_equal(model_output_name(m), "churn_probability");
    model_free(&m);
}

static void test_transforms_run_in_their_order(void **state)
{
    (void)state;
    const double x[] = {10, -10};
#define PLAIN "\"coefficients\":[1,100],\"intercept\":0"
    assert_same_bits(answer(LINEAR("{\"add\":[1,2]}", PLAIN), x), 11 - 800);
    assert_same_bits(answer(LINEAR("{\"subtract\":[1,2]}", PLAIN), x), 9 - 1200);
    assert_same_bits(answer(LINEAR("{\"multiply\":[2,3]}", PLAIN), x), 20 - 3000);
    assert_same_bits(answer(LINEAR("{\"divide\":[2,-5]}", PLAIN), x), 5 + 200);
    assert_same_bits(answer(LINEAR("{\"at_least\":[11,-11]}", PLAIN), x), 11 - 1000);
    assert_same_bits(answer(LINEAR("{\"at_most\":[9,0]}", PLAIN), x), 9 - 1000);
    assert_same_bits(answer(LINEAR("{\"add\":[1,1]},{\"multiply\":[2,2]}", PLAIN), x), 22 - 1800);
    assert_same_bits(answer(LINEAR("{\"multiply\":[2,2]},{\"add\":[1,1]}", PLAIN), x), 21 - 1900);
#undef PLAIN
}

/* 0.1 * 0.1 rounds up: a fused sum sees the product before that. */
static void test_sums_are_rounded_as_the_document_says(void **state)
{
    (void)state;
    const double x[] = {1, 0.1};
#define TENTH "\"coefficients\":[-0.01,0.1],\"intercept\":0"
    double twice = 0.1 * 0.1 - 0.01;
    double once = fma(0.1, 0.1, -0.01);
    assert_true(twice != once);
    assert_same_bits(answer(LINEAR("", TENTH), x), twice);
    assert_same_bits(answer(LINEAR("", TENTH ",\"sum\":\"sequential\""), x), twice);
    assert_same_bits(answer(LINEAR("", TENTH ",\"sum\":\"fused\""), x), once);
#undef TENTH
}

/* 0.1 as a 32-bit float is above 0.1. */
static void test_comparing_as_32_or_64_bits(void **state)
{
    (void)state;
    const double tenth = 0.1;
    assert_same_bits(answer(STUMP("float64", ""), &tenth), 10);
    assert_same_bits(answer(STUMP("float32", ""), &tenth), 20);
}

static void test_an_ensemble_scales_adds_and_divides(void **state)
{
    (void)state;
    const double zero = 0;
    assert_same_bits(answer(STUMP("float32", ",\"init\":1,\"scale\":0.1,\"divide_by\":3"), &zero),
                     (1 + 0.1 * 10) / 3);
    assert_same_bits(
        answer(STUMP("float32", ",\"init\":-1,\"scale\":0.1,\"sum\":\"fused\""), &zero),
        fma(0.1, 10, -1));
}

static void test_what_is_not_finite_is_an_error(void **state)
{
    (void)state;
    const char *linear = LINEAR("", "\"coefficients\":[1e308,1],\"intercept\":0");
    const char *stump = STUMP("float32", "");
    static const struct {
        double x[2];
        const char *says; /* NULL: answered */
    } cases[] = {
        {{0, 1e308}, NULL},
        {{NAN, 0}, "input 0 is NaN"},
        {{0, -INFINITY}, "input 1 is infinite"},
        {{1e10, 0}, "the output is infinite"},
    };
    struct err e = {0};
    double y[2];
    struct model *m = read_text(linear);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int rc = model_predict(m, cases[i].x, 1, y, &e);
        assert_int_equal(rc, cases[i].says == NULL ? 0 : -1);
        if (cases[i].says == NULL)
            continue;
        assert_string_equal(e.code, "not-finite");
        assert_non_null(strstr(e.text, cases[i].says));
    }
    model_free(&m);
    m = read_text(stump);
    const double big[2] = {1e38, 1e300};
    assert_int_equal(model_predict(m, big, 2, y, &e), -1);
    assert_non_null(strstr(e.text, "row 1: input 0 (1e+300) is too large"));
    model_free(&m);
}

static void test_what_is_not_finite_is_found_wherever_it_stands(void **state)
{
    enum { N = 11 };
    char expected[40];
    struct err e = {0};
    double y;
    (void)state;
    struct model *m = read_text("{\"format\":\"canaryd-model\",\"version\":1,"
                                "\"kind\":\"linear-regression\",\"n_features\":11,\"link\":"
                                "\"identity\",\"linear\":{\"coefficients\":[1,1,1,1,1,1,1,1,1,1,1],"
                                "\"intercept\":0,\"sum\":\"sequential\"}}");
    for (size_t bad = 0; bad <= N; bad++) { /* N: none is */
        double x[N] = {0};
        if (bad < N)
            x[bad] = bad % 2 == 0 ? INFINITY : NAN;
        assert_int_equal(model_predict(m, x, 1, &y, &e), bad < N ? -1 : 0);
        snprintf(expected, sizeof expected, "input %zu is", bad);
        if (bad < N)
            assert_non_null(strstr(e.text, expected));
    }
    model_free(&m);
}

/* The shipped document with one digit of one probe changed. */
static void test_a_probe_that_disagrees_is_named(void **state)
{
    (void)state;
    size_t n;
    char *text = read_whole("models/model_v1.json", &n);
    struct err e = {0};
    char *outputs = strstr(text, "\"outputs\": [");
    assert_non_null(outputs);
    char *comma = strchr(strchr(outputs, ',') + 1, ',');
    comma[-1] = comma[-1] == '1' ? '6' : '1';
    assert_null(model_read(text, n, &e));
    assert_string_equal(e.code, "model-invalid");
    assert_string_equal(e.pointer, "/probes/outputs/1");
    assert_non_null(strstr(e.text, "expected 0."));
    assert_non_null(strstr(e.text, "got 0."));
    free(text);
}

static void test_a_minus_zero_is_not_a_zero(void **state)
{
    (void)state;
    struct err e = {0};
    const char *text =
        "{\"format\":\"canaryd-model\",\"version\":1,\"kind\":\"linear-regression\","
        "\"n_features\":1,\"linear\":{\"coefficients\":[1],\"intercept\":0},\"link\":\"identity\","
        "\"probes\":{\"inputs\":[[0]],\"outputs\":[-0.0]}}";
    assert_null(model_read(text, strlen(text), &e));
    assert_non_null(strstr(e.text, "expected -0, got 0"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shipped_models),
        cmocka_unit_test(test_golden_rows_agree_to_the_bit),
        cmocka_unit_test(test_the_output_has_a_default_name),
        cmocka_unit_test(test_transforms_run_in_their_order),
        cmocka_unit_test(test_sums_are_rounded_as_the_document_says),
        cmocka_unit_test(test_comparing_as_32_or_64_bits),
        cmocka_unit_test(test_an_ensemble_scales_adds_and_divides),
        cmocka_unit_test(test_what_is_not_finite_is_an_error),
        cmocka_unit_test(test_what_is_not_finite_is_found_wherever_it_stands),
        cmocka_unit_test(test_a_probe_that_disagrees_is_named),
        cmocka_unit_test(test_a_minus_zero_is_not_a_zero),
    };
    return cmocka_run_group_tests_name("model", tests, NULL, NULL);
}
