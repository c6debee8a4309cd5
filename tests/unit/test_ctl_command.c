/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * canaryctl's commands against a scripted server: what is printed where, and the
 * exit code.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include <cmocka.h>

#include "ctl/command.h"
#include "tests/support/ctl_run.h"
#include "tests/support/fake_canaryd.h"

static void test_commands(void **state)
{
    const struct fake_plan plan = {.min_samples = 1};
    static const struct {
        const char *line;
        int status;
        const char *says; /* in out when status is 0, else in trouble */
    } steps[] = {
        {"status", 0, "canaryd 0.1.0"},
        {"status", 0, "up 2 h 4 min"},
        {"status", 0, "model_v1.json"},
        {"status --json", 0, "{\"version\":\"0.1.0\","},
        {"rollback", 1, "409 no-canary: there is no canary to roll back"},
        {"promote", 1, "What to do"},
        {"deploy models/model_v2.json --percent 10", 0, "Canary model deployed successfully"},
        {"deploy models/model_v2.json", 1, "deploy --replace"},
        {"deploy models/model_v2.json", 1, "#/percent: too much"},
        {"deploy models/model_v2.json --replace --json", 0, "{\"status\":\"success\""},
        {"status", 0, "10 % of the requests"},
        {"health", 0, "Canary performance is acceptable."},
        {"health", 0, "p = 0.234 (one-sided), t = 2.31, df = 24.1"},
        {"health", 0, "-0.900 to +12.700 ms"},
        {"health", 0, "+10.600 ms  (+69.7 %)"},
        {"slowdown", 0, "Slowdown simulation enabled"},
        {"status", 0, "ON: the canary is delayed"},
        {"slowdown", 0, "Slowdown simulation disabled"},
        {"promote", 0, "model_v2.json"},
    };
    (void)state;
    struct fake *fake = fake_start(&plan);
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        struct ctl_run o = ctl_run(fake, steps[i].line);
        assert_int_equal(o.status, steps[i].status);
        ctl_assert_says(o.status == 0 ? o.out : o.trouble, steps[i].says);
        assert_null(strchr(o.out, '\033')); /* no terminal, no colour */
        ctl_run_clear(&o);
    }
    ctl_assert_state(fake, false, false, "model_v2.json");
    fake_stop(&fake);
}

/* A server that isn't one, or none at all. */
static void test_no_server(void **state)
{
    const struct fake_plan plan = {0};
    (void)state;
    struct fake *fake = fake_start(&plan);
    struct ctl_run o = ctl_run(fake, "health");
    assert_int_equal(o.status, 0);
    ctl_run_clear(&o);
    char *argv[] = {(char[]){"canaryctl"}, (char[]){"status"}, (char[]){"--url"}, NULL};
    char url[64], *text = NULL;
    size_t n;
    FILE *trouble = open_memstream(&text, &n);
    snprintf(url, sizeof url, "http://127.0.0.1:%d", fake_port(fake));
    argv[3] = url;
    fake_stop(&fake);
    assert_int_equal(command_main(4, argv, trouble, trouble), EX_UNAVAILABLE);
    fclose(trouble);
    ctl_assert_says(text, "no canaryd answers at http://127.0.0.1:");
    ctl_assert_says(text, "make run");
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_commands),
        cmocka_unit_test(test_no_server),
    };
    unsetenv("CANARYD_TOKEN_FILE");
    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests_name("ctl_command", tests, NULL, NULL);
}
