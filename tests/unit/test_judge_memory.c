/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What the judge keeps on the board and takes up again after a crash, and whose
 * tickets count: with a real board and a real rule.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/log.h"
#include "supervisor/judge.h"
#include "supervisor/settings.h"
#include "tests/support/board_fixture.h"
#include "tests/support/scratch.h"

static struct {
    struct settings *settings;
    struct board *board;
    struct judge *judge;
    int n_verdicts;
    int64_t now_ns;
} x;

static void on_bad(void *arg)
{
    (void)arg;
    x.n_verdicts++;
}

static void begin_life(void)
{
    const struct judge_listener listener = {.bad = on_bad};
    x.board = board_fixture_create();
    x.judge = judge_new(x.settings, x.board, NULL, &listener);
}

static int setup(void **state)
{
    int rc = board_fixture_setup(state);
    log_init("judge", LOG_LEVEL_ERROR);
    x.settings = settings_load(NULL, NULL, 0, NULL);
    x.settings->block_ms = x.settings->service_block_ms = 0;
    x.n_verdicts = 0;
    begin_life();
    return rc;
}

static int teardown(void **state)
{
    judge_free(&x.judge);
    board_free(&x.board);
    settings_free(&x.settings);
    return scratch_teardown(state);
}

/* The supervisor is killed, and its successor finds the board. */
static void crash(void)
{
    judge_free(&x.judge);
    board_free(&x.board);
    struct board *last = board_fixture_reader();
    begin_life();
    judge_remember(x.judge, last);
    board_free(&last);
}

static void begin(uint64_t deployment, enum arm reference)
{
    judge_begin(x.judge, deployment);
    judge_open_share(x.judge, reference, ++x.now_ns);
}

static struct judge_ticket draw(enum arm arm)
{
    return judge_draw(x.judge, arm, arm == ARM_CANARY, ++x.now_ns);
}

static void end_call(const struct judge_ticket *ticket, double ms)
{
    const struct rule_sample sample = {.outcome = OUTCOME_OK,
                                       .round_trip_ns = (uint64_t)llround(ms * 1e6),
                                       .service_ns = 1000,
                                       .has_service = true};
    judge_end_call(x.judge, ticket, &sample);
}

static void feed(int n, enum arm reference, double reference_ms, double canary_ms)
{
    for (int i = 0; i < n; i++) {
        struct judge_ticket a = draw(reference), b = draw(ARM_CANARY);
        end_call(&a, reference_ms * (1 + i % 7 * 0.02));
        end_call(&b, canary_ms * (1 + i % 5 * 0.02));
    }
}

static void assert_same_health(const cJSON *before)
{
    cJSON *now = judge_health(x.judge);
    if (!cJSON_Compare(before, now, true)) {
        char *a = cJSON_PrintUnformatted(before), *b = cJSON_PrintUnformatted(now);
        fail_msg("%s\nis not\n%s", b, a);
    }
    cJSON_Delete(now);
}

static double evidence(const cJSON *health)
{
    const cJSON *first = cJSON_GetObjectItem(health, "metrics")->child;
    return cJSON_GetObjectItem(first, "evidence")->valuedouble;
}

/* Counts, moments, and each row's evidence; and as if nothing had happened it goes on. */
static void test_evidence_goes_on(void **state)
{
    (void)state;
    begin(7, ARM_BASELINE);
    feed(60, ARM_BASELINE, 1, 1.33); /* a hair more than the margin */
    cJSON *before = judge_health(x.judge);
    assert_true(evidence(before) > 0);
    for (int i = 0; i < 3; i++) {
        for (int k = 0; k <= i; k++)
            crash(); /* also before the canary is out again */
        begin(7, ARM_BASELINE);
        assert_same_health(before);
    }
    assert_int_equal(x.n_verdicts, 0);
    feed(200, ARM_BASELINE, 1, 5);
    assert_int_equal(x.n_verdicts, 1);
    cJSON_Delete(before);
}

/* The alert that nobody had acted on yet: the next call tells it again. */
static void test_a_verdict_goes_on(void **state)
{
    (void)state;
    begin(7, ARM_BASELINE);
    feed(100, ARM_BASELINE, 1, 10);
    assert_int_equal(x.n_verdicts, 1);
    crash();
    begin(7, ARM_BASELINE);
    assert_true(judge_has_fired(x.judge));
    assert_int_equal(x.n_verdicts, 1);
    feed(2, ARM_BASELINE, 1, 1);
    assert_int_equal(x.n_verdicts, 2);
}

static double n_canary(void)
{
    cJSON *j = judge_health(x.judge);
    double n = cJSON_GetObjectItem(j, "canary_sample_count")->valuedouble;
    cJSON_Delete(j);
    return n;
}

static void test_another_deployment_begins_anew(void **state)
{
    (void)state;
    begin(7, ARM_BASELINE);
    feed(60, ARM_BASELINE, 1, 10);
    crash();
    begin(8, ARM_BASELINE);
    assert_false(judge_has_fired(x.judge));
    assert_true(n_canary() == 0);
    feed(5, ARM_BASELINE, 1, 1);
    crash(); /* counts of 8, and the evidence of its five blocks */
    begin(7, ARM_BASELINE);
    assert_true(n_canary() == 0);
}

/* The counts are written with every call, so a block that was open is the loss. */
static void test_counts_without_evidence(void **state)
{
    (void)state;
    begin(7, ARM_BASELINE);
    feed(60, ARM_BASELINE, 1, 10);
    judge_end(x.judge);
    begin(8, ARM_BASELINE);
    struct judge_ticket open = draw(ARM_CANARY);
    end_call(&open, 1); /* no block is whole: the memo of evidence is still of 7 */
    crash();
    begin(8, ARM_BASELINE);
    assert_true(n_canary() == 1);
    assert_false(judge_has_fired(x.judge));
}

static void test_damaged_memory(void **state)
{
    static const char wild[64] = "no rule has written this";
    (void)state;
    begin(7, ARM_BASELINE);
    feed(60, ARM_BASELINE, 1, 10);
    judge_free(&x.judge);
    board_memo_write(x.board, BOARD_MEMO_COUNTS, 7, wild, sizeof wild);
    board_free(&x.board);
    struct board *last = board_fixture_reader();
    begin_life();
    judge_remember(x.judge, last);
    board_free(&last);
    begin(7, ARM_BASELINE);
    assert_true(n_canary() == 0);
}

/* --- Tickets ----------------------------------------------------------------*/

/* What was asked in one deployment says nothing about the next. */
static void test_tickets_of_another_deployment(void **state)
{
    (void)state;
    begin(1, ARM_STABLE);
    struct judge_ticket late[40];
    for (int i = 0; i < 40; i++)
        late[i] = draw(i % 2 == 0 ? ARM_STABLE : ARM_CANARY);
    judge_end(x.judge);
    end_call(&late[1], 1000); /* there is none */
    begin(2, ARM_STABLE);
    feed(3, ARM_STABLE, 1, 1);
    for (int i = 2; i < 40; i++)
        end_call(&late[i], 1000);
    assert_true(n_canary() == 3);
}

/* A new share drops the blocks that are open; their calls are samples all the same. */
static void test_tickets_of_another_share(void **state)
{
    (void)state;
    begin(1, ARM_STABLE);
    struct judge_ticket a = draw(ARM_STABLE), b = draw(ARM_CANARY);
    judge_open_share(x.judge, ARM_BASELINE, ++x.now_ns);
    end_call(&a, 1);
    end_call(&b, 1);
    assert_true(n_canary() == 1);
    feed(60, ARM_BASELINE, 1, 10);
    assert_int_equal(x.n_verdicts, 1);
}

/* Whoever is not the reference is told, and proves nothing. */
static void test_only_the_reference_is_compared(void **state)
{
    (void)state;
    begin(1, ARM_BASELINE);
    feed(200, ARM_STABLE, 1, 10);
    assert_true(n_canary() == 200);
    assert_int_equal(x.n_verdicts, 0);
    cJSON *j = judge_health(x.judge);
    assert_true(
        cJSON_IsNull(cJSON_GetObjectItem(cJSON_GetObjectItem(j, "metrics")->child, "evidence")));
    cJSON_Delete(j);
}

/* --- Settings ---------------------------------------------------------------*/

static void test_observed_rows_never_alert(void **state)
{
    (void)state;
    free(x.settings->observe_only);
    x.settings->observe_only = strdup("mean,service-mean,tail,service-tail,errors");
    begin(1, ARM_BASELINE);
    feed(200, ARM_BASELINE, 1, 10);
    assert_int_equal(x.n_verdicts, 0);
    cJSON *j = judge_health(x.judge);
    const cJSON *mean = cJSON_GetObjectItem(j, "metrics")->child;
    assert_true(cJSON_IsNumber(cJSON_GetObjectItem(mean, "fired_at"))); /* it is told */
    assert_false(cJSON_IsTrue(cJSON_GetObjectItem(j, "alert_triggered")));
    cJSON_Delete(j);
}

static void test_parts_are_settings(void **state)
{
    (void)state;
    x.settings->alpha = 0.1;
    x.settings->mean_part = 0.5;
    x.settings->service_mean_part = 0.05;
    judge_end(x.judge); /* they count from the next rule on */
    cJSON *j = judge_health(x.judge);
    const cJSON *mean = cJSON_GetObjectItem(j, "metrics")->child;
    assert_true(fabs(cJSON_GetObjectItem(mean, "alpha")->valuedouble - 0.05) < 1e-12);
    assert_true(fabs(cJSON_GetObjectItem(mean->next, "alpha")->valuedouble - 0.005) < 1e-12);
    cJSON_Delete(j);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_evidence_goes_on),
        TEST(test_a_verdict_goes_on),
        TEST(test_another_deployment_begins_anew),
        TEST(test_counts_without_evidence),
        TEST(test_damaged_memory),
        TEST(test_tickets_of_another_deployment),
        TEST(test_tickets_of_another_share),
        TEST(test_only_the_reference_is_compared),
        TEST(test_observed_rows_never_alert),
        TEST(test_parts_are_settings),
    };
    return cmocka_run_group_tests_name("judge_memory", tests, NULL, NULL);
}
