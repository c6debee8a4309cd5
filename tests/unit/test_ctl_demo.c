/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * canaryctl's demo against a scripted server: what is printed, the exit code, and
 * the state that the server is left in.
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

#include "tests/support/ctl_run.h"
#include "tests/support/fake_canaryd.h"

struct demo_case {
    const char *name;
    struct fake_plan plan;
    const char *line;
    int status;
    const char *says[4];
    bool slow, canary; /* how the server is left */
    const char *stable;
};

static const struct demo_case demo_cases[] = {
    {"deploy",
     {0},
     "demo --pause-ms 0 --workflow deploy",
     0,
     {"Step 9 of 9", "canary 20 (mean 10.050 ms)", "rolled back by us",
      "Everything happened as it should."},
     false,
     false,
     "model_v1.json"},
    {"deploy, rolled back by the judge",
     {.auto_rollback = true},
     "demo --pause-ms 0 --workflow deploy",
     0,
     {"the canary is out already", "by the judge", "had rolled it back by itself"},
     false,
     false,
     "model_v1.json"},
    {"promote",
     {0},
     "demo --pause-ms 0 --workflow promote",
     0,
     {"Step 5 of 5", "200 of 200 sent: stable 180 (mean 0.050 ms), canary 20 (mean 0.050 ms)",
      "model_v1.json was stable, model_v2.json is"},
     false,
     false,
     "model_v2.json"},
    {"full",
     {.auto_rollback = true},
     "demo --pause-ms 0 --model models/model_v2.json --features 1,2,3",
     0,
     {"Step 9 of 9", "Step 5 of 5", "{\"model_path\":\"models/model_v2.json\"}"},
     false,
     false,
     "model_v2.json"},
    {"the slowdown was on",
     {.slowdown_at_start = true},
     "demo --pause-ms 0",
     0,
     {"the simulated slowness is on: off with it"},
     false,
     false,
     "model_v2.json"},
    {"a canary was out",
     {.canary_at_start = true},
     "demo --pause-ms 0",
     1,
     {"a canary is out already (model_v2.json)", "--replace"},
     false,
     true,
     "model_v1.json"},
    {"a canary was out and is replaced",
     {.canary_at_start = true},
     "demo --pause-ms 0 --replace --workflow deploy",
     0,
     {"the demo takes its place", "\"replace\":true"},
     false,
     false,
     "model_v1.json"},
    {"too few requests",
     {0},
     "demo --pause-ms 0 --requests 50 --workflow deploy",
     1,
     {"it can't stand with 10 of 36 samples", "--requests 200", "rolled back by us"},
     false,
     false,
     "model_v1.json"},
    {"the alert needs a batch more",
     {.slow_samples = 30},
     "demo --pause-ms 0 --workflow deploy",
     0,
     {"no alert yet", "as much traffic once more", "the alert stands, as expected"},
     false,
     false,
     "model_v1.json"},
    {"never an alert",
     {.never_alerts = true},
     "demo --pause-ms 0 --workflow deploy",
     1,
     {"as much traffic once more", "no alert after 60 samples"},
     false,
     false,
     "model_v1.json"},
    {"a false alarm",
     {.false_alarm = true},
     "demo --pause-ms 0",
     1,
     {"an alert stands, though", "Cleaning up", "1. an alert stands"},
     false,
     false,
     "model_v1.json"},
    {"the canary stays",
     {.canary_stays = true},
     "demo --pause-ms 0 --workflow deploy",
     1,
     {"2 of 20 predictions came from a canary that should be gone",
      "the server still names a canary"},
     false,
     true,
     "model_v1.json"},
    {"the promotion does not happen",
     {.promotion_lies = true},
     "demo --pause-ms 0 --workflow promote",
     1,
     {"stable is model_v1.json; it should be model_v2.json"},
     false,
     false,
     "model_v1.json"},
    {"no Python",
     {.no_python = true},
     "demo --pause-ms 0",
     1,
     {"the model needs Python 3 with scikit-learn", "--model models/model_v2.json",
      "POST /admin/deploy-canary was refused: 422"},
     false,
     false,
     "model_v1.json"},
    {"some predictions fail",
     {.fail_every = 50},
     "demo --pause-ms 0 --workflow promote",
     1,
     {"not answered 4", "4 of 200 predictions were not answered; the first: 503 overloaded"},
     false,
     false,
     "model_v2.json"},
};

static void test_demo(void **state)
{
    const struct demo_case *c = *state;
    struct fake *fake = fake_start(&c->plan);
    struct ctl_run o = ctl_run(fake, c->line);
    if (o.status != c->status)
        fail_msg("exit code %d instead of %d:\n%s%s", o.status, c->status, o.out, o.trouble);
    for (size_t i = 0; i < sizeof c->says / sizeof c->says[0] && c->says[i] != NULL; i++)
        ctl_assert_says(o.out, c->says[i]);
    ctl_assert_state(fake, c->slow, c->canary, c->stable);
    ctl_run_clear(&o);
    fake_stop(&fake);
}

static void test_demo_loses_its_server(void **state)
{
    const struct fake_plan plan = {.dies_at_rollback = true};
    (void)state;
    struct fake *fake = fake_start(&plan);
    struct ctl_run o = ctl_run(fake, "demo --pause-ms 0");
    assert_int_equal(o.status, EX_UNAVAILABLE);
    ctl_assert_says(o.out, "no canaryd answers at");
    ctl_run_clear(&o);
    fake_stop(&fake);
}

/* The signal is there before the demo begins: it takes it up at its first pause. */
static void test_demo_is_interrupted(void **state)
{
    const struct fake_plan plan = {0};
    sigset_t set, before;
    (void)state;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigprocmask(SIG_BLOCK, &set, &before);
    struct fake *fake = fake_start(&plan);
    raise(SIGINT);
    struct ctl_run o = ctl_run(fake, "demo");
    assert_int_equal(o.status, 1);
    ctl_assert_says(o.out, "ended early by signal 2");
    ctl_assert_says(o.out, "Cleaning up");
    ctl_assert_state(fake, false, false, "model_v1.json");
    ctl_run_clear(&o);
    fake_stop(&fake);
    sigprocmask(SIG_SETMASK, &before, NULL);
}

int main(void)
{
    enum { N_CASES = sizeof demo_cases / sizeof demo_cases[0], N_FIXED = 2 };
    struct CMUnitTest tests[N_FIXED + N_CASES] = {
        cmocka_unit_test(test_demo_loses_its_server),
        cmocka_unit_test(test_demo_is_interrupted),
    };
    static struct demo_case cases[N_CASES];
    memcpy(cases, demo_cases, sizeof cases);
    for (size_t i = 0; i < N_CASES; i++)
        tests[N_FIXED + i] = (struct CMUnitTest){
            .name = cases[i].name, .test_func = test_demo, .initial_state = &cases[i]};
    unsetenv("CANARYD_TOKEN_FILE");
    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests_name("ctl_demo", tests, NULL, NULL);
}
