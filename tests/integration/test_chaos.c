/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Ten seconds of tests/chaos, and five of its crashes, with another seed each
 * time (CHAOS_SEED repeats one). `make chaos S=600` runs it for longer.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "common/mem.h"

/* Runs it and shows all that it says. Returns its exit status; *passed is
 * whether it also said so. */
static int run_chaos(const char *arguments, bool *passed)
{
    char line[1024];
    const char *build = getenv("CANARYD_BUILD"), *seed = getenv("CHAOS_SEED");
    char *command = mem_printf("%s/tests/chaos/chaos %s%s%s 2>&1", build != NULL ? build : "build",
                               arguments, seed != NULL ? " --seed " : "", seed != NULL ? seed : "");
    FILE *f = popen(command, "re"); /* no word of it comes from outside the test */
    assert_non_null(f);
    *passed = false;
    while (fgets(line, sizeof line, f) != NULL) {
        print_message("%s", line);
        *passed = *passed || strcmp(line, "chaos: passed\n") == 0;
    }
    int status = pclose(f);
    free(command);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void test_ten_seconds(void **state)
{
    bool passed;
    (void)state;
    assert_int_equal(run_chaos("--seconds 10 --rate 1000", &passed), 0);
    assert_true(passed);
}

static void test_five_seconds_of_crashes(void **state)
{
    bool passed;
    (void)state;
    assert_int_equal(run_chaos("--crash --seconds 5 --rate 1000", &passed), 0);
    assert_true(passed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ten_seconds),
        cmocka_unit_test(test_five_seconds_of_crashes),
    };
    return cmocka_run_group_tests_name("chaos", tests, NULL, NULL);
}
