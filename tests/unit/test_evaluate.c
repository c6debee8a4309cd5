/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Rows in, outputs out: canary-worker --evaluate.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/log.h"
#include "worker/evaluate.h"

static const struct {
    const char *rows;
    int rc;
    const char *out;
} cases[] = {
    {"", 0, ""},
    {"0.5,1.2,0.8,0.3,1.1\n", 0, "0.22221935598642087\n"},
    {"\n 0.5 1.2\t0.8, 0.3 ,1.1\r\n\n0.5,1.2,0.8,0.3,1.1", 0,
     "0.22221935598642087\n0.22221935598642087\n"},
    {"0.5,1.2,0.8,0.3\n", -1, ""},
    {"0.5,1.2,0.8,0.3,1.1,7\n", -1, ""},
    {"0.5,1.2,0.8,0.3,1.1\n0.5,1.2,x,0.3,1.1\n0.5,1.2,0.8,0.3,1.1\n", -1, "0.22221935598642087\n"},
    {"0.5,1.2,0.8z,0.3,1.1\n", -1, ""},
    {"nan,1.2,0.8,0.3,1.1\n", -1, ""},
};

static void test_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *text = NULL;
        size_t size = 0;
        FILE *in = tmpfile();
        FILE *out = open_memstream(&text, &size);
        assert_non_null(in);
        assert_non_null(out);
        assert_true(fputs(cases[i].rows, in) >= 0);
        rewind(in);
        assert_int_equal(evaluate_file("models/model_v1.json", in, out), cases[i].rc);
        fclose(out);
        fclose(in);
        assert_string_equal(text, cases[i].out);
        free(text);
    }
}

static void test_files_that_are_no_models(void **state)
{
    (void)state;
    assert_int_equal(evaluate_file("models/none.json", stdin, stdout), -1);
    assert_int_equal(evaluate_file("models/export.py", stdin, stdout), -1);
    assert_int_equal(evaluate_file("models", stdin, stdout), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_files_that_are_no_models),
    };
    log_init("test_evaluate", LOG_LEVEL_ERROR);
    return cmocka_run_group_tests_name("evaluate", tests, NULL, NULL);
}
