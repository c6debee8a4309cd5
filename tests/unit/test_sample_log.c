/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The log of samples: what is in it, in which order, and what becomes of it
 * when calls end late, deployments end early and disks are full.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <event2/event.h>

#include "common/clock.h"
#include "common/fdio.h"
#include "common/log.h"
#include "common/mem.h"
#include "supervisor/chores.h"
#include "supervisor/sample_log.h"
#include "tests/support/loop.h"
#include "tests/support/scratch.h"

#define HEADER "arm,time_ms,round_trip_ms,service_ms,outcome,stalled,group_end\n"
#define MS     NS_PER_MS

static struct event_base *base;
static struct chores *chores;
static struct sample_log *samples;
static char path[SCRATCH_PATH_SIZE];

static int setup(void **state)
{
    int rc = scratch_setup(state);
    log_init("samples", LOG_LEVEL_ERROR);
    scratch_path(path, "samples.csv");
    base = event_base_new();
    chores = chores_new(base);
    samples = sample_log_new(base, chores);
    return rc;
}

/* What was handed over is on disk then. */
static void close_all(void)
{
    if (chores == NULL)
        return;
    sample_log_end(samples);
    chores_free(&chores);
    sample_log_free(&samples);
    event_base_free(base);
}

static int teardown(void **state)
{
    close_all();
    return scratch_teardown(state);
}

static char *read_log(void)
{
    char *text;
    size_t n;
    struct err e = {0};
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return mem_strdup("there is no file");
    if (fd_read_file(fd, path, 64UL * 1024 * 1024, &text, &n, &e) < 0)
        fail_msg("%s", e.text);
    close(fd);
    return text;
}

static void assert_log(const char *expected)
{
    char *text = read_log();
    assert_string_equal(text, expected);
    free(text);
}

static void end_call(uint64_t place, enum outcome outcome, int64_t round_trip_ns)
{
    const struct rule_sample sample = {.outcome = outcome,
                                       .round_trip_ns = (uint64_t)round_trip_ns,
                                       .service_ns = (uint64_t)round_trip_ns / 2,
                                       .has_service = true,
                                       .stalled = round_trip_ns == 77};
    sample_log_end_call(samples, place, &sample);
}

static void test_lines(void **state)
{
    (void)state;
    sample_log_begin(samples, path, false, 1000 * MS);
    uint64_t a = sample_log_draw(samples, ARM_STABLE, false, 1000 * MS);
    uint64_t b = sample_log_draw(samples, ARM_BASELINE, false, 1000 * MS + 1);
    uint64_t c = sample_log_draw(samples, ARM_CANARY, false, 1012 * MS + 345678);
    uint64_t d = sample_log_draw(samples, ARM_CANARY, true, 123456 * MS);
    uint64_t e = sample_log_draw(samples, ARM_STABLE, false, 123457 * MS);
    uint64_t f = sample_log_draw(samples, ARM_BASELINE, false, 123458 * MS);
    end_call(a, OUTCOME_OK, 1234567);
    end_call(b, OUTCOME_FAULT, 5);
    end_call(c, OUTCOME_TIMEOUT, 5);
    end_call(d, OUTCOME_DEATH, 5);
    end_call(e, OUTCOME_OK, 77);
    end_call(f, OUTCOME_UNASKED, 5);
    close_all();
    assert_log(HEADER "stable,0.000000,1.234567,0.617283,ok,0,0\n"
                      "baseline,0.000001,,,fault,0,0\n"
                      "canary,12.345678,,,timeout,0,0\n"
                      "canary,122456.000000,,,death,0,1\n"
                      "stable,122457.000000,0.000077,0.000038,ok,1,0\n"
                      "baseline,122458.000000,,,unasked,0,0\n");
}

/* Calls end in any order; a line waits for those before it. */
static void test_order_of_the_draws(void **state)
{
    enum { N = 5000 };
    static uint64_t places[N];
    (void)state;
    sample_log_begin(samples, path, false, 0);
    for (int i = 0; i < N; i++)
        places[i] = sample_log_draw(samples, ARM_STABLE, false, i * MS);
    for (int i = 0; i < N; i++) /* 1709 and 5000 have no common divisor: each once */
        end_call(places[i * 1709 % N], OUTCOME_OK, MS * (i * 1709 % N));
    close_all();
    char *text = read_log(), *line = text + strlen(HEADER);
    for (int i = 0; i < N; i++) {
        int time_ms, round_trip_ms;
        assert_int_equal(sscanf(line, "stable,%d.000000,%d.000000", &time_ms, &round_trip_ms), 2);
        assert_int_equal(time_ms, i);
        assert_int_equal(round_trip_ms, i);
        line = strchr(line, '\n') + 1;
    }
    assert_string_equal(line, "");
    free(text);
}

/* While the deployment goes on, within a moment, and without a write for each. */
static void test_written_soon(void **state)
{
    (void)state;
    sample_log_begin(samples, path, false, 0);
    end_call(sample_log_draw(samples, ARM_STABLE, false, 0), OUTCOME_OK, 1000000);
    struct stat st = {0};
    loop_until(base, stat(path, &st) == 0 && st.st_size > (off_t)strlen(HEADER));
    assert_log(HEADER "stable,0.000000,1.000000,0.500000,ok,0,0\n");
}

static void test_what_is_not_over_is_left_out(void **state)
{
    (void)state;
    sample_log_begin(samples, path, false, 0);
    uint64_t a = sample_log_draw(samples, ARM_STABLE, false, 0);
    uint64_t b = sample_log_draw(samples, ARM_STABLE, false, 1);
    uint64_t c = sample_log_draw(samples, ARM_STABLE, false, 2);
    end_call(a, OUTCOME_OK, 2000000);
    end_call(c, OUTCOME_OK, 2000000);
    sample_log_end(samples);
    end_call(b, OUTCOME_OK, 2000000); /* too late */
    close_all();
    assert_log(HEADER "stable,0.000000,2.000000,1.000000,ok,0,0\n");
}

static void test_each_deployment_begins_anew(void **state)
{
    (void)state;
    sample_log_begin(samples, path, false, 0);
    uint64_t old = sample_log_draw(samples, ARM_STABLE, false, 0);
    end_call(sample_log_draw(samples, ARM_STABLE, false, 1), OUTCOME_OK, 1000000);
    sample_log_begin(samples, path, false, 50 * MS);
    end_call(old, OUTCOME_OK, 1000000);
    end_call(sample_log_draw(samples, ARM_CANARY, false, 51 * MS), OUTCOME_OK, 1000000);
    sample_log_end(samples);
    sample_log_begin(samples, path, true, 60 * MS); /* this one goes on after a restart */
    end_call(sample_log_draw(samples, ARM_STABLE, false, 62 * MS), OUTCOME_OK, 1000000);
    close_all();
    assert_log(HEADER "canary,1.000000,1.000000,0.500000,ok,0,0\n" HEADER
                      "stable,2.000000,1.000000,0.500000,ok,0,0\n");
}

/* A share that is opened within a deployment begins a segment, behind the calls of the one before.
 */
static void test_segments(void **state)
{
    (void)state;
    sample_log_begin(samples, path, false, 0);
    uint64_t slow = sample_log_draw(samples, ARM_STABLE, false, 5 * MS);
    sample_log_open_share(samples, 7 * MS);
    end_call(sample_log_draw(samples, ARM_CANARY, false, 9 * MS), OUTCOME_OK, 1000000);
    end_call(sample_log_draw(samples, ARM_CANARY, false, 10 * MS), OUTCOME_OK, 1000000);
    end_call(slow, OUTCOME_OK, 1000000);
    close_all();
    assert_log(HEADER "stable,5.000000,1.000000,0.500000,ok,0,0\n" HEADER
                      "canary,2.000000,1.000000,0.500000,ok,0,0\n"
                      "canary,3.000000,1.000000,0.500000,ok,0,0\n");
}

static void test_a_torn_line(void **state)
{
    static const struct {
        const char *torn, *kept;
    } files[] = {
        {HEADER "canary,1.0,1.0,,ok,0,0\nstable,2.0", HEADER "canary,1.0,1.0,,ok,0,0\n" HEADER},
        {HEADER "canary,1.0,1.0,,ok,0,0\n", HEADER "canary,1.0,1.0,,ok,0,0\n" HEADER},
        {HEADER, HEADER HEADER},
        {"arm,time", HEADER},
        {"", HEADER},
    };
    (void)state;
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        FILE *file = fopen(path, "w");
        assert_non_null(file);
        fputs(files[i].torn, file);
        fclose(file);
        sample_log_begin(samples, path, true, 0);
        uint64_t place = sample_log_draw(samples, ARM_STABLE, false, MS);
        end_call(place, OUTCOME_OK, 1000000);
        struct stat st = {0};
        const char *line = "stable,1.000000,1.000000,0.500000,ok,0,0\n";
        off_t size = (off_t)(strlen(files[i].kept) + strlen(line));
        loop_until(base, stat(path, &st) == 0 && st.st_size == size);
        char *text = read_log();
        assert_memory_equal(text, files[i].kept, strlen(files[i].kept));
        assert_string_equal(text + strlen(files[i].kept), line);
        free(text);
    }
}

static void test_no_log(void **state)
{
    (void)state;
    assert_int_equal(sample_log_draw(samples, ARM_STABLE, false, 0), 0);
    sample_log_begin(samples, "", false, 0);
    assert_int_equal(sample_log_draw(samples, ARM_STABLE, false, 0), 0);
    end_call(0, OUTCOME_OK, 1);
    close_all();
    assert_log("there is no file");
}

static bool is_logging(void)
{
    uint64_t place = sample_log_draw(samples, ARM_STABLE, false, 0);
    end_call(place, OUTCOME_OK, 1000000);
    return place != 0;
}

/* It ends for this deployment, and the next one tries again. */
static void test_a_write_that_fails(void **state)
{
    static const char *const bad[] = {"/dev/full", "/nowhere/samples.csv"};
    (void)state;
    log_init("samples", LOG_LEVEL_ERROR);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        sample_log_begin(samples, bad[i], false, 0);
        assert_true(is_logging());
        loop_until(base, !is_logging());
    }
    sample_log_begin(samples, path, false, 0);
    end_call(sample_log_draw(samples, ARM_CANARY, false, 0), OUTCOME_OK, 1000000);
    close_all();
    assert_log(HEADER "canary,0.000000,1.000000,0.500000,ok,0,0\n");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_lines),
        TEST(test_order_of_the_draws),
        TEST(test_written_soon),
        TEST(test_what_is_not_over_is_left_out),
        TEST(test_each_deployment_begins_anew),
        TEST(test_segments),
        TEST(test_a_torn_line),
        TEST(test_no_log),
        TEST(test_a_write_that_fails),
    };
    return cmocka_run_group_tests_name("sample_log", tests, NULL, NULL);
}
