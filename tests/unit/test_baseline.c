/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The baseline: when it comes and goes, what it answers, and that a deployment
 * never notices its trouble. With real processes, good and evil.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "supervisor/modelref.h"
#include "supervisor/proc.h"
#include "supervisor/settings.h"
#include "tests/support/house.h"
#include "tests/support/script.h"

#define MAX_ASKED 200

static struct asked asked[MAX_ASKED];

static int setup(void **state)
{
    int rc = house_setup(state);
    struct house *h = *state;
    h->settings->baseline = true;
    h->settings->auto_rollback = false; /* verdicts are not the matter here */
    return rc;
}

static int setup_routing(void **state)
{
    int rc = setup(state);
    struct house *h = *state;
    h->without_rollout = true;
    return rc;
}

/* --- What it answers --------------------------------------------------------*/

static void open_house(struct house *h, const char *stable, const char *baseline,
                       const char *canary)
{
    house_start_evil(h, ROLE_STABLE, stable);
    house_start_evil(h, ROLE_BASELINE, baseline);
    house_start_evil(h, ROLE_CANARY, canary);
    router_set_share(h->router, 10, true);
}

static void count_answers(const struct asked *a, int n, int by[N_ARMS])
{
    memset(by, 0, N_ARMS * sizeof *by);
    for (int i = 0; i < n; i++) {
        if (a[i].code[0] != '\0')
            fail_msg("%s", a[i].text);
        by[a[i].arm]++;
    }
}

static void test_split(void **state)
{
    struct house *h = *state;
    int by[N_ARMS];
    open_house(h, "ready", "ready", "ready");
    house_ask_all(h, asked, 200, ROUTING_BY_LOT);
    count_answers(asked, 200, by);
    assert_int_equal(by[ARM_STABLE], 160);
    assert_int_equal(by[ARM_BASELINE], 20);
    assert_int_equal(by[ARM_CANARY], 20);
    assert_int_equal(h->n_samples[ARM_BASELINE], 20);
    assert_string_equal(arm_name(ARM_BASELINE), "baseline");
    assert_string_equal(arm_user_name(ARM_BASELINE), "stable");
    assert_int_equal(router_counts(h->router)->n_answered[ARM_BASELINE], 20);
    assert_int_equal(router_counts(h->router)->n_fallbacks, 0);
}

static void test_never_the_canary_is_stable(void **state)
{
    struct house *h = *state;
    int by[N_ARMS];
    open_house(h, "ready", "ready", "ready");
    house_ask_all(h, asked, 50, ROUTING_TO_STABLE);
    count_answers(asked, 50, by);
    assert_int_equal(by[ARM_STABLE], 50);
}

/* Who answers when the arm that was drawn, and the one after it, fail. */
static const struct {
    const char *stable, *baseline, *canary;
    int by[N_ARMS]; /* of ten */
} fallbacks[] = {
    {"ready", "ready", "ready fault", {9, 1, 0}},
    {"ready", "ready fault", "ready", {9, 0, 1}},
    {"ready fault", "ready", "ready", {0, 9, 1}},
    {"ready fault", "ready", "ready fault", {0, 10, 0}},
    {"ready fault", "ready fault", "ready", {0, 0, 10}},
    {"ready", "ready fault", "ready fault", {10, 0, 0}},
};

static void test_fallbacks(void **state)
{
    struct house *h = *state;
    for (size_t i = 0; i < sizeof fallbacks / sizeof fallbacks[0]; i++) {
        int by[N_ARMS];
        open_house(h, fallbacks[i].stable, fallbacks[i].baseline, fallbacks[i].canary);
        house_ask_all(h, asked, 10, ROUTING_BY_LOT);
        count_answers(asked, 10, by);
        for (int arm = 0; arm < N_ARMS; arm++)
            if (by[arm] != fallbacks[i].by[arm])
                fail_msg("case %zu: %d of ten by %s, expected %d", i, by[arm],
                         arm_name((enum arm)arm), fallbacks[i].by[arm]);
        for (enum role role = ROLE_STABLE; role <= ROLE_CANARY; role++)
            fleet_kill(h->fleet, role, "the next one comes");
    }
}

/* Killed, stopped dead or not there: stable answers for it. */
static void test_an_ill_baseline_loses_nothing(void **state)
{
    static const char *const scripts[] = {"ready hang", "ready die", "ready double"};
    struct house *h = *state;
    int by[N_ARMS];
    h->settings->try_deadline_ms = 40;
    for (size_t i = 0; i < sizeof scripts / sizeof scripts[0]; i++) {
        open_house(h, "ready", scripts[i], "ready");
        house_ask_all(h, asked, 100, ROUTING_BY_LOT);
        count_answers(asked, 100, by);
        assert_int_equal(by[ARM_BASELINE], 0);
        assert_int_equal(by[ARM_STABLE] + by[ARM_CANARY], 100);
        for (enum role role = ROLE_STABLE; role <= ROLE_CANARY; role++)
            fleet_kill(h->fleet, role, "the next one comes");
    }
    house_start_evil(h, ROLE_STABLE, "ready");
    house_start_evil(h, ROLE_CANARY, "ready");
    house_ask_all(h, asked, 100, ROUTING_BY_LOT); /* there is none */
    count_answers(asked, 100, by);
    assert_int_equal(by[ARM_STABLE], 90);
}

/* It is the stable model: what kills it would kill stable. */
static void test_its_deaths_convict(void **state)
{
    struct house *h = *state;
    struct asked a;
    open_house(h, "ready die", "ready die", "ready die");
    house_ask(h, &a, ROUTING_TO_STABLE);
    house_await(h, &a, 1);
    assert_string_equal(a.code, "poison-request");
    assert_true(router_counts(h->router)->n_retried <= 3);
}

/* --- When it comes and goes -------------------------------------------------*/

struct ordered {
    int n_done;
    char code[40];
};

static void on_deployed(void *arg, const struct err *why)
{
    struct ordered *o = arg;
    o->n_done++;
    snprintf(o->code, sizeof o->code, "%s", why != NULL ? why->code : "");
}

static void order(struct house *h, struct ordered *o, const char *path, double percent)
{
    const struct deploy_request request = {
        .path = path, .percent = percent, .replace = true, .by = BY_REST};
    struct err e = {0};
    *o = (struct ordered){0};
    if (rollout_deploy(h->rollout, &request, on_deployed, o, &e) < 0)
        fail_msg("%s", e.text);
}

static void deploy(struct house *h, const char *path, double percent)
{
    struct ordered o;
    order(h, &o, path, percent);
    loop_until(h->base, o.n_done > 0);
    assert_string_equal(o.code, "");
}

static void serve(struct house *h)
{
    house_serve(h);
    evil_write("canary.json", "ready");
}

static void await_baseline(struct house *h)
{
    loop_until(h->base, fleet_ready(h->fleet, ROLE_BASELINE) != NULL);
    assert_ptr_equal(fleet_model(h->fleet, ROLE_BASELINE), fleet_model(h->fleet, ROLE_STABLE));
}

static void assert_none(const struct house *h)
{
    assert_null(fleet_model(h->fleet, ROLE_BASELINE));
    assert_null(fleet_model(h->fleet, ROLE_NEXT_BASELINE));
}

static void test_comes_with_the_canary(void **state)
{
    struct house *h = *state;
    struct ordered o;
    const char *by;
    struct err e;
    serve(h);
    assert_none(h);
    order(h, &o, "canary.json", 0);
    loop_until(h->base, fleet_model(h->fleet, ROLE_CANDIDATE) != NULL);
    assert_non_null(fleet_model(h->fleet, ROLE_NEXT_BASELINE)); /* beside it, from the start */
    assert_null(fleet_model(h->fleet, ROLE_BASELINE));
    loop_until(h->base, o.n_done > 0);
    assert_null(fleet_model(h->fleet, ROLE_NEXT_BASELINE));
    await_baseline(h);
    assert_string_equal(proc_role(fleet_ready(h->fleet, ROLE_BASELINE)), "baseline");
    assert_int_equal(rollout_rollback(h->rollout, &by, &e), 0);
    assert_none(h);
    loop_until(h->base, fleet_n_procs(h->fleet) == 1);
}

static void test_goes_with_a_promotion(void **state)
{
    struct house *h = *state;
    struct promotion p;
    struct err e;
    serve(h);
    deploy(h, "canary.json", 10);
    await_baseline(h);
    assert_int_equal(house_promote(h, false, &p, &e), 0);
    assert_none(h);
    assert_string_equal(fleet_model(h->fleet, ROLE_STABLE)->name, "canary.json");
    loop_until(h->base, fleet_n_procs(h->fleet) == 1);
    evil_write("next.json", "ready"); /* the next one compares with what is stable now */
    deploy(h, "next.json", 10);
    await_baseline(h);
}

static void test_each_canary_has_its_own(void **state)
{
    struct house *h = *state;
    struct ordered o;
    serve(h);
    deploy(h, "canary.json", 10);
    await_baseline(h);
    pid_t old = proc_pid(fleet_ready(h->fleet, ROLE_BASELINE));
    evil_write("next.json", "ready");
    order(h, &o, "next.json", 10);
    loop_until(h->base, fleet_model(h->fleet, ROLE_NEXT_BASELINE) != NULL);
    assert_int_equal(proc_pid(fleet_ready(h->fleet, ROLE_BASELINE)), old);
    loop_until(h->base, o.n_done > 0);
    await_baseline(h);
    assert_int_not_equal(proc_pid(fleet_ready(h->fleet, ROLE_BASELINE)), old);
    loop_until(h->base, fleet_n_procs(h->fleet) == 3);
}

static void test_goes_with_a_candidate_that_fails(void **state)
{
    struct house *h = *state;
    struct ordered o;
    serve(h);
    evil_write("bad.json", "refuse exit=65");
    order(h, &o, "bad.json", 10);
    loop_until(h->base, o.n_done > 0);
    assert_string_equal(o.code, "model-invalid");
    assert_none(h);
    evil_write("narrow.json", "ready=4");
    order(h, &o, "narrow.json", 10);
    loop_until(h->base, o.n_done > 0);
    assert_string_equal(o.code, "incompatible-inputs");
    assert_none(h);
    deploy(h, "canary.json", 10);
    await_baseline(h);
    order(h, &o, "bad.json", 10); /* and the canary that is out keeps its own */
    loop_until(h->base, o.n_done > 0);
    assert_null(fleet_model(h->fleet, ROLE_NEXT_BASELINE));
    assert_non_null(fleet_ready(h->fleet, ROLE_BASELINE));
    loop_until(h->base, fleet_n_procs(h->fleet) == 3);
}

/* At 50 % stable itself has as much traffic as the canary. */
static void test_follows_the_share(void **state)
{
    static const struct {
        double percent;
        bool on, baseline;
    } steps[] = {{50, true, false},  {20, true, true}, {49.9, true, true},
                 {20, false, false}, {20, true, true}, {50, true, false}};
    struct house *h = *state;
    serve(h);
    deploy(h, "canary.json", 0);
    await_baseline(h);
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        h->settings->canary_percent = steps[i].percent;
        h->settings->baseline = steps[i].on;
        rollout_set_settings(h->rollout, h->settings);
        assert_true(rollout_percent(h->rollout) == steps[i].percent);
        if (steps[i].baseline)
            await_baseline(h);
        else
            assert_none(h);
        house_ask_all(h, asked, 100, ROUTING_BY_LOT);
        int by[N_ARMS];
        count_answers(asked, 100, by);
        assert_int_equal(by[ARM_BASELINE] > 0, steps[i].baseline);
    }
    assert_int_equal(house_n_events(h, "share-changed"), 5);
}

static void test_half_of_the_traffic_needs_none(void **state)
{
    struct house *h = *state;
    serve(h);
    deploy(h, "canary.json", 50);
    assert_none(h);
    loop_until(h->base, fleet_n_procs(h->fleet) == 2);
}

/* A worker of its own for the stable model alone: the script in trouble.json. */
static void take_troublesome_program(struct house *h)
{
    char trouble[SCRATCH_PATH_SIZE], path[SCRATCH_PATH_SIZE], body[EVIL_PATH_SIZE + 400];
    scratch_path(trouble, "trouble.json");
    snprintf(body, sizeof body, "if [ \"$1\" = stable.json ]; then exec 4<%s; fi\nexec %s \"$@\"",
             trouble, h->program);
    script_write(path, "worker.sh", body);
    snprintf(h->program, sizeof h->program, "%s", path);
}

static const char *const troubles[] = {"refuse exit=65", "exit=1", "sleep", "version", "stop"};

/* The deployment is answered and stands, and so do its end and the users' answers. */
static void test_trouble_never_hurts_the_deployment(void **state)
{
    struct house *h = *state;
    const char *by;
    struct err e;
    serve(h);
    take_troublesome_program(h);
    for (size_t i = 0; i < sizeof troubles / sizeof troubles[0]; i++) {
        int by_arm[N_ARMS];
        evil_write("trouble.json", troubles[i]);
        deploy(h, "canary.json", 10);
        house_ask_all(h, asked, 100, ROUTING_BY_LOT);
        count_answers(asked, 100, by_arm);
        assert_int_equal(by_arm[ARM_BASELINE], 0);
        assert_int_equal(by_arm[ARM_CANARY], 10);
        assert_null(fleet_ready(h->fleet, ROLE_BASELINE));
        assert_non_null(fleet_model(h->fleet, ROLE_BASELINE));
        assert_int_equal(rollout_rollback(h->rollout, &by, &e), 0);
        assert_none(h);
    }
    assert_int_equal(house_n_events(h, "deployed"), sizeof troubles / sizeof troubles[0]);
    assert_int_equal(h->n_hopeless + h->n_failed[ROLE_BASELINE], 0);
}

/* ... and once the trouble has passed, there is one. */
static void test_it_comes_when_the_trouble_has_passed(void **state)
{
    struct house *h = *state;
    serve(h);
    take_troublesome_program(h);
    evil_write("trouble.json", "exit=1");
    deploy(h, "canary.json", 10);
    loop_until(h->base, fleet_n_restarts(h->fleet, ROLE_BASELINE) >= 2);
    evil_write("trouble.json", "ready");
    await_baseline(h);
    assert_int_equal(kill(proc_pid(fleet_ready(h->fleet, ROLE_BASELINE)), SIGKILL), 0);
    loop_until(h->base, fleet_ready(h->fleet, ROLE_BASELINE) == NULL);
    await_baseline(h);
    assert_int_equal(rollout_state(h->rollout), ROLLOUT_CANARY);
}

#define TEST(f)         cmocka_unit_test_setup_teardown(f, setup, house_teardown)
#define TEST_ROUTING(f) cmocka_unit_test_setup_teardown(f, setup_routing, house_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_ROUTING(test_split),
        TEST_ROUTING(test_never_the_canary_is_stable),
        TEST_ROUTING(test_fallbacks),
        TEST_ROUTING(test_an_ill_baseline_loses_nothing),
        TEST_ROUTING(test_its_deaths_convict),
        TEST(test_comes_with_the_canary),
        TEST(test_goes_with_a_promotion),
        TEST(test_each_canary_has_its_own),
        TEST(test_goes_with_a_candidate_that_fails),
        TEST(test_follows_the_share),
        TEST(test_half_of_the_traffic_needs_none),
        TEST(test_trouble_never_hurts_the_deployment),
        TEST(test_it_comes_when_the_trouble_has_passed),
    };
    return cmocka_run_group_tests_name("baseline", tests, NULL, NULL);
}
