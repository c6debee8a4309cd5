/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Samples in CSV: what is read, to the nanosecond, and what is refused in which
 * words. Everything comes through a pipe.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/clock.h"
#include "common/fdio.h"
#include "common/mem.h"
#include "ctl/line_reader.h"
#include "ctl/sample_file.h"

/* A descriptor that gives those bytes and then ends: at most a pipe's worth. */
static int fd_of(const char *text, size_t n)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(fd_write_all(ends[1], text, n), 0);
    fd_close(&ends[1]);
    return ends[0];
}

enum { MAX_ROWS = 8 };

struct reading {
    struct sample_row rows[MAX_ROWS];
    int n;
    bool has_time;
    struct err e; /* code NULL: read to the end */
};

static struct reading read_bytes(const char *text, size_t n)
{
    struct reading r = {0};
    int fd = fd_of(text, n), rc = -1;
    struct sample_file *f = sample_file_open(fd, "f.csv", &r.e);
    if (f != NULL) {
        r.has_time = sample_file_has_time(f);
        while (r.n < MAX_ROWS && (rc = sample_file_next(f, &r.rows[r.n], &r.e)) == 1)
            r.n++;
        assert_int_equal(rc, r.e.code == NULL ? 0 : -1);
    }
    sample_file_free(&f);
    fd_close(&fd);
    return r;
}

static struct reading read_text(const char *text)
{
    return read_bytes(text, strlen(text));
}

static struct reading read_well(const char *text, int n)
{
    struct reading r = read_text(text);
    if (r.e.code != NULL)
        fail_msg("refused: %s", r.e.text);
    assert_int_equal(r.n, n);
    return r;
}

static void test_all_columns(void **state)
{
    (void)state;
    struct reading r = read_well("time_ms,arm,round_trip_ms,service_ms,outcome,stalled\n"
                                 "0.5,stable,12.25,11,ok,0\n"
                                 "0.5,baseline,0,0.000001,ok,1\n"
                                 "7,canary,3.5,,timeout,0\n"
                                 "8,canary,,,death,0\n",
                                 4);
    assert_true(r.has_time);
    assert_int_equal(r.rows[0].time_ns, 500000);
    assert_int_equal(r.rows[0].arm, ARM_STABLE);
    assert_int_equal(r.rows[0].round_trip_ns, 12250000);
    assert_int_equal(r.rows[0].service_ns, 11000000);
    assert_true(r.rows[0].has_service && r.rows[0].has_round_trip);
    assert_int_equal(r.rows[1].arm, ARM_BASELINE);
    assert_int_equal(r.rows[1].service_ns, 1);
    assert_true(r.rows[1].has_round_trip);
    assert_true(r.rows[1].stalled && !r.rows[0].stalled);
    assert_int_equal(r.rows[2].outcome, OUTCOME_TIMEOUT);
    assert_false(r.rows[2].has_service);
    assert_int_equal(r.rows[3].outcome, OUTCOME_DEATH);
    assert_false(r.rows[3].has_round_trip);
}

static void test_least_columns(void **state)
{
    (void)state;
    struct reading r = read_well("round_trip_ms,arm\n5,canary\n", 1);
    assert_false(r.has_time);
    assert_int_equal(r.rows[0].arm, ARM_CANARY);
    assert_int_equal(r.rows[0].outcome, OUTCOME_OK);
    assert_int_equal(r.rows[0].round_trip_ns, 5000000);
    assert_int_equal(r.rows[0].time_ns, 0);
    assert_false(r.rows[0].has_service);
    assert_false(r.rows[0].stalled);
}

/* What spreadsheets and R write: a mark, CR LF, quotes, no last line feed. */
static void test_dialects(void **state)
{
    (void)state;
    struct reading r = read_well("\xef\xbb\xbf\"arm\",\"round_trip_ms\",\"service_ms\"\r\n"
                                 "\"canary\",1.5,\"2\"\r\n"
                                 "stable,\"2.5\",",
                                 2);
    assert_int_equal(r.rows[0].arm, ARM_CANARY);
    assert_int_equal(r.rows[0].service_ns, 2000000);
    assert_int_equal(r.rows[1].round_trip_ns, 2500000);
    assert_false(r.rows[1].has_service);
    read_well("arm,round_trip_ms", 0);
    read_well("arm,round_trip_ms\r\n", 0);
    read_well("arm,round_trip_ms\r\nstable,5\r\n\r\n\n", 1); /* an editor's last line */
}

static const struct {
    const char *text;
    uint64_t ns;
} numbers[] = {
    {"0", 0},
    {"0.0000004", 0},
    {"0.0000005", 1},
    {"0.00000049999999999999999999", 0},
    {"1.2345678", 1234568},
    {"12.345678499", 12345678},
    {"0.9999999", 1000000},
    {"5.", 5000000},
    {".5", 500000},
    {"007", 7000000},
    {"1e-05", 10},
    {"2.5E+2", 250000000},
    {"1000000000", UINT64_C(1000000000000000)},
    {"999999999.9999999", UINT64_C(1000000000000000)},
};

static void test_numbers(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        char text[128];
        snprintf(text, sizeof text, "arm,round_trip_ms\nstable,%s\n", numbers[i].text);
        struct reading r = read_well(text, 1);
        if (r.rows[0].round_trip_ns != numbers[i].ns)
            fail_msg("%s: %llu ns", numbers[i].text, (unsigned long long)r.rows[0].round_trip_ns);
    }
    struct reading r = read_well("time_ms,arm,round_trip_ms\n1763897000123.456789,stable,1\n", 1);
    assert_true(r.rows[0].time_ns == INT64_C(1763897000123456789));
}

static const struct {
    const char *text, *says;
} refused[] = {
    {"", "f.csv: the file is empty; its first line names the columns"},
    {"arm\n", "line 1: the column 'round_trip_ms' is missing"},
    {"round_trip_ms\n", "line 1: the column 'arm' is missing"},
    {"arm,round_trip_ms,arm\n", "line 1: column 'arm' is there twice"},
    {"arm,round_trip_ms,servce_ms\n", "there is no column 'servce_ms'; did you mean 'service_ms'?"},
    {"arm,round_trip_ms,\n", "there is no column ''"},
    {"\n", "there is no column ''"},
    {"stable,5\n", "there is no column 'stable'"},
    {"arm,round_trip_ms\nstable,5\n\r\nstable,5\n", "f.csv: line 3: the line is empty"},
    {"arm,round_trip_ms\nstabel,5\n",
     "line 2: arm: expected stable, baseline or canary, got 'stabel'"},
    {"arm,round_trip_ms\nStable,5\n", "got 'Stable'"},
    {"arm,round_trip_ms\n stable,5\n", "got ' stable'"},
    {"arm,round_trip_ms\nstable\n", "line 2: expected 2 cells, got 1"},
    {"arm,round_trip_ms\nstable,5\nstable,5,6\n", "line 3: expected 2 cells, got at least 3"},
    {"arm,round_trip_ms\nstable,abc\n",
     "line 2: round_trip_ms: expected milliseconds from 0 to 1e9, got 'abc'"},
    {"arm,round_trip_ms\nstable,-1\n", "got '-1'"},
    {"arm,round_trip_ms\nstable,nan\n", "got 'nan'"},
    {"arm,round_trip_ms\nstable,inf\n", "got 'inf'"},
    {"arm,round_trip_ms\nstable,1e999\n", "got '1e999'"},
    {"arm,round_trip_ms\nstable,0x10\n", "got '0x10'"},
    {"arm,round_trip_ms\nstable,1000000000.1\n", "got '1000000000.1'"},
    {"arm,round_trip_ms\nstable,99999999999999999999\n", "got '99999999999999999999'"},
    {"arm,round_trip_ms\nstable,1.5.2\n", "got '1.5.2'"},
    {"arm,round_trip_ms\nstable,5 \n", "got '5 '"},
    {"arm,round_trip_ms\nstable,.\n", "got '.'"},
    {"arm,round_trip_ms\nstable,\n", "line 2: round_trip_ms: expected milliseconds"},
    {"arm,round_trip_ms,outcome\nstable,,ok\n", "from 0 to 1e9 where the outcome is ok, got ''"},
    {"arm,round_trip_ms,stalled\nstable,1,yes\n", "stalled: expected 0 or 1, got 'yes'"},
    {"arm,round_trip_ms,service_ms\nstable,5,x\n", "line 2: service_ms: expected milliseconds"},
    {"arm,round_trip_ms,time_ms\nstable,5,\n", "line 2: time_ms: expected milliseconds from 0"},
    {"arm,round_trip_ms,time_ms\nstable,5,9e12\nstable,5,9000000000000.1\n", "line 3: time_ms"},
    {"arm,round_trip_ms,time_ms\nstable,5,7\nstable,5,6.9\n",
     "line 3: time_ms: expected a time not before the row above, got '6.9'"},
    {"arm,round_trip_ms,outcome\nstable,5,OK\n",
     "line 2: outcome: expected ok, fault, timeout, death or unasked, got 'OK'"},
};

static void test_refusals(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        struct reading r = read_text(refused[i].text);
        if (r.e.code == NULL)
            fail_msg("accepted: %s", refused[i].text);
        assert_string_equal(r.e.code, "bad-samples");
        if (strstr(r.e.text, refused[i].says) == NULL)
            fail_msg("\"%s\" does not say \"%s\"", r.e.text, refused[i].says);
    }
}

/* A NUL does not end a name, and does not make one equal. */
static void test_zero_bytes(void **state)
{
    static const char text[] = "arm,round_trip_ms\nstable\0abcdefghijklmnopqrstuvwxyz,5\n";
    static const char number[] = "arm,round_trip_ms\nstable,5\0\n";
    (void)state;
    struct reading r = read_bytes(text, sizeof text - 1);
    assert_non_null(strstr(r.e.text, "line 2: arm: expected stable"));
    r = read_bytes(number, sizeof number - 1);
    assert_non_null(strstr(r.e.text, "line 2: round_trip_ms"));
}

static void test_io_error(void **state)
{
    struct err e = {0};
    (void)state;
    assert_null(sample_file_open(-1, "gone.csv", &e));
    assert_string_equal(e.code, "io");
    assert_non_null(strstr(e.text, "gone.csv: "));
}

/* Lines across the ends of the buffer come out whole. */
static void test_many_lines(void **state)
{
    FILE *file = tmpfile();
    struct sample_row row;
    int n_rows = 50000, rc;
    (void)state;
    fprintf(file, "arm,round_trip_ms\n");
    for (int i = 0; i < n_rows; i++)
        fprintf(file, "%s,%d.%06d\n", i % 10 == 0 ? "canary" : "stable", i, i);
    rewind(file);
    struct sample_file *f = sample_file_open(fileno(file), "many", NULL);
    for (int i = 0; i < n_rows; i++) {
        assert_int_equal(sample_file_next(f, &row, NULL), 1);
        assert_int_equal(row.round_trip_ns, (uint64_t)i * 1000001);
        assert_int_equal(row.arm, i % 10 == 0 ? ARM_CANARY : ARM_STABLE);
    }
    rc = sample_file_next(f, &row, NULL);
    assert_int_equal(rc, 0);
    sample_file_free(&f);
    fclose(file);
}

static void test_long_line(void **state)
{
    FILE *file = tmpfile();
    struct err e = {0};
    struct sample_row row;
    (void)state;
    fprintf(file, "arm,round_trip_ms\nstable,");
    for (size_t i = 0; i < LINE_READER_BYTES; i++)
        putc('1', file);
    rewind(file);
    struct sample_file *f = sample_file_open(fileno(file), "long", &e);
    assert_int_equal(sample_file_next(f, &row, &e), -1);
    assert_string_equal(e.text, "long: line 2: the line is too long");
    sample_file_free(&f);
    fclose(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_columns), cmocka_unit_test(test_least_columns),
        cmocka_unit_test(test_dialects),    cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_refusals),    cmocka_unit_test(test_zero_bytes),
        cmocka_unit_test(test_io_error),    cmocka_unit_test(test_many_lines),
        cmocka_unit_test(test_long_line),
    };
    return cmocka_run_group_tests_name("ctl_samples", tests, NULL, NULL);
}
