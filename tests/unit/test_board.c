/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The board's rows: what is written is read, lives follow each other, damage is
 * survived. Its file: test_board_file.c; a reader beside a busy writer:
 * test_board_race.c.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include <cmocka.h>

#include "proto/board.h"
#include "tests/support/board_fixture.h"
#include "tests/support/scratch.h"

static struct board_snapshot snapshot; /* 18 kB: rather not on the stack */

static const struct board_row_info stable = {
    .pid = 4711, .clock = BOARD_SERVICE, .role = "stable", .version = "model_v1.json"};

static void test_what_is_written_is_read(void **state)
{
    struct board *writer = board_fixture_create();
    struct board *reader = board_fixture_reader();
    struct board_sample samples[4];
    (void)state;
    board_fixture_read_row(reader, 0, &snapshot);
    assert_int_equal(snapshot.state, BOARD_FREE);
    assert_int_equal(board_read_samples(reader, 0, 0, samples, 4), 0);
    int row = board_row_open(writer, &stable);
    board_add(writer, row, 1000, 100, BOARD_OK);
    board_add(writer, row, -5, 120, BOARD_OK);
    board_add(writer, row, INT64_MAX, UINT64_MAX, BOARD_TIMEOUT);
    board_fixture_read_row(reader, row, &snapshot);
    assert_int_equal(snapshot.state, BOARD_OPEN);
    assert_int_equal(snapshot.clock, BOARD_SERVICE);
    assert_int_equal(snapshot.pid, 4711);
    assert_true(snapshot.opened_ns > 0);
    assert_string_equal(snapshot.role, "stable");
    assert_string_equal(snapshot.version, "model_v1.json");
    assert_int_equal(snapshot.n_outcome[BOARD_OK], 2);
    assert_int_equal(snapshot.n_outcome[BOARD_TIMEOUT], 1);
    assert_int_equal(snapshot.moments.n, 2);
    assert_true(snapshot.moments.mean == 110 && snapshot.moments.m2 == 200);
    assert_int_equal(snapshot.histogram.n, 2);
    assert_int_equal(snapshot.histogram.count[120], 1);
    assert_int_equal(board_read_samples(reader, row, 0, samples, 4), 3);
    assert_int_equal(samples[1].sequence, 2);
    assert_int_equal(samples[1].start_ns, -5);
    assert_true(samples[2].start_ns == INT64_MAX && samples[2].latency_ns == UINT64_MAX);
    assert_int_equal(samples[2].outcome, BOARD_TIMEOUT);
    board_free(&reader);
    assert_null(reader);
    board_free(&writer);
}

static void test_ring_keeps_the_last(void **state)
{
    static struct board_sample samples[2 * BOARD_RING];
    struct board *board = board_fixture_create();
    int row = board_row_open(board, &stable);
    (void)state;
    for (int64_t i = 1; i <= 3000; i++)
        board_add(board, row, i, (uint64_t)i, BOARD_OK);
    assert_int_equal(board_read_samples(board, row, 0, samples, 2 * BOARD_RING), BOARD_RING);
    for (size_t i = 0; i < BOARD_RING; i++) {
        assert_int_equal(samples[i].sequence, 3000 - BOARD_RING + 1 + i);
        assert_int_equal(samples[i].latency_ns, samples[i].sequence);
    }
    assert_int_equal(board_read_samples(board, row, 2990, samples, 2 * BOARD_RING), 10);
    assert_int_equal(board_read_samples(board, row, 2990, samples, 3), 3);
    assert_int_equal(samples[2].sequence, 2993);
    assert_int_equal(board_read_samples(board, row, 3000, samples, 3), 0);
    assert_int_equal(board_read_samples(board, row, UINT64_MAX, samples, 3), 0);
    board_free(&board);
}

/* A row that has gone on for long: nothing is cut to 32 bits. */
static void test_counters_beyond_32_bits(void **state)
{
    const uint64_t many = (UINT64_C(1) << 32) + 2;
    const double mean = 100;
    const size_t row = offsetof(struct board_layout, row);
    struct board_sample samples[4];
    struct board *board = board_fixture_create();
    (void)state;
    assert_int_equal(board_row_open(board, &stable), 0);
    board_fixture_poke(row + offsetof(struct board_row, last_sequence), &many, 8);
    board_fixture_poke(row + offsetof(struct board_row, n_outcome[BOARD_OK]), &many, 8);
    board_fixture_poke(row + offsetof(struct board_row, n), &many, 8);
    board_fixture_poke(row + offsetof(struct board_row, mean), &mean, 8);
    board_fixture_poke(row + offsetof(struct board_row, count[100]), &many, 8);
    for (int i = 0; i < 3; i++)
        board_add(board, 0, i, 100, BOARD_OK);
    board_fixture_read_row(board, 0, &snapshot);
    assert_true(snapshot.last_sequence == many + 3);
    assert_true(snapshot.n_outcome[BOARD_OK] == many + 3);
    assert_true(snapshot.moments.n == many + 3 && snapshot.moments.mean == 100);
    assert_true(snapshot.histogram.n == many + 3 && snapshot.histogram.count[100] == many + 3);
    assert_int_equal(board_read_samples(board, 0, many, samples, 4), 3);
    assert_true(samples[2].sequence == many + 3);
    board_free(&board);
}

static void test_rows_are_reused_oldest_first(void **state)
{
    struct board_row_info info = stable;
    struct board_sample samples[4];
    struct board *board = board_fixture_create();
    (void)state;
    for (int i = 0; i < BOARD_MAX_ROWS; i++)
        assert_int_equal(board_row_open(board, &info), i);
    assert_int_equal(board_row_open(board, &info), -1);
    board_add(board, 5, 1, 100, BOARD_OK);
    board_row_close(board, 5);
    board_row_close(board, 3);
    board_fixture_read_row(board, 5, &snapshot);
    assert_int_equal(snapshot.state, BOARD_CLOSED);
    assert_int_equal(snapshot.moments.n, 1);
    info.version = "model_v2.json";
    assert_int_equal(board_row_open(board, &info), 5);
    assert_int_equal(board_row_open(board, &info), 3);
    assert_int_equal(board_row_open(board, &info), -1);
    board_fixture_read_row(board, 5, &snapshot);
    assert_string_equal(snapshot.version, "model_v2.json");
    assert_int_equal(snapshot.moments.n + snapshot.histogram.n + snapshot.n_outcome[BOARD_OK], 0);
    assert_int_equal(board_read_samples(board, 5, 0, samples, 4), 0);
    board_add(board, 5, 2, 200, BOARD_OK);
    assert_int_equal(board_read_samples(board, 5, 0, samples, 4), 1);
    assert_int_equal(samples[0].sequence, 2);
    board_free(&board);
}

/* As many processes as there may be, and readers who came before them. */
static void test_it_grows(void **state)
{
    struct board *board = board_fixture_create();
    struct board *reader = board_fixture_reader();
    (void)state;
    assert_int_equal(board_n_rows(reader), BOARD_STEP_ROWS);
    for (int i = 0; i < BOARD_MAX_ROWS; i++) {
        struct board_row_info info = stable;
        info.pid = 1000 + i;
        assert_int_equal(board_row_open(board, &info), i);
        board_add(board, i, i, 100 + (unsigned)i, BOARD_OK);
    }
    struct board *late = board_fixture_reader();
    assert_int_equal(board_n_rows(reader), BOARD_MAX_ROWS);
    assert_int_equal(board_n_rows(late), BOARD_MAX_ROWS);
    for (int i = 0; i < BOARD_MAX_ROWS; i++) {
        board_fixture_read_row(i % 2 == 0 ? reader : late, i, &snapshot);
        assert_int_equal(snapshot.state, BOARD_OPEN);
        assert_int_equal(snapshot.pid, 1000 + i);
        assert_true(snapshot.moments.mean == 100 + i);
    }
    board_free(&late);
    board_free(&reader);
    board_free(&board);
}

/* Then there are no more rows, and what is there goes on. */
static void test_no_room_to_grow(void **state)
{
    struct rlimit all, little;
    struct board *board = board_fixture_create();
    (void)state;
    for (int i = 0; i < BOARD_STEP_ROWS; i++)
        board_row_open(board, &stable);
    void (*before)(int) = signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &all), 0);
    little = all;
    little.rlim_cur = BOARD_BYTES(BOARD_STEP_ROWS);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &little), 0);
    assert_int_equal(board_row_open(board, &stable), -1);
    setrlimit(RLIMIT_FSIZE, &all);
    signal(SIGXFSZ, before);
    assert_int_equal(board_n_rows(board), BOARD_STEP_ROWS);
    board_add(board, 7, 1, 100, BOARD_OK);
    board_fixture_read_row(board, 7, &snapshot);
    assert_int_equal(snapshot.moments.n, 1);
    assert_int_equal(board_row_open(board, &stable), BOARD_STEP_ROWS); /* now there is room */
    board_free(&board);
}

static void test_long_labels_are_cut(void **state)
{
    char name[200];
    struct board_row_info info = {.role = name, .version = name};
    struct board *board = board_fixture_create();
    (void)state;
    memset(name, 'x', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    board_fixture_read_row(board, board_row_open(board, &info), &snapshot);
    assert_int_equal(strlen(snapshot.role), BOARD_ROLE_SIZE - 1);
    assert_int_equal(strlen(snapshot.version), BOARD_VERSION_SIZE - 1);
    board_free(&board);
}

/* What a board's fields may hold if its writer is broken: nothing is indexed by
 * them, and no reader hangs. */
static void test_damaged_rows(void **state)
{
    const size_t row = offsetof(struct board_layout, row);
    const uint64_t odd = 1;
    const uint64_t even = 2;
    const uint64_t wild = 99;
    const uint64_t all = UINT64_MAX;
    struct board *writer = board_fixture_create();
    struct board *reader = board_fixture_reader();
    struct board_sample samples[4];
    struct err e = {0};
    (void)state;
    board_fixture_poke(row + offsetof(struct board_row, lock), &odd, 8);
    assert_int_equal(board_read_row(reader, 0, &snapshot, &e), -1);
    assert_string_equal(e.code, "board-busy");
    board_fixture_poke(row + offsetof(struct board_row, lock), &even, 8);
    board_fixture_poke(row + offsetof(struct board_row, state), &wild, 8);
    assert_int_equal(board_read_row(reader, 0, &snapshot, &e), -1);
    assert_string_equal(e.code, "board-damaged");
    board_fixture_poke(row + offsetof(struct board_row, last_sequence), &all, 8);
    assert_int_equal(board_read_samples(reader, 0, 0, samples, 4), 0);
    board_fixture_poke(row + offsetof(struct board_row, ring) +
                           (BOARD_RING - 1) * sizeof(struct board_slot),
                       &all, 8);
    assert_int_equal(board_read_samples(reader, 0, 0, samples, 4), 1);
    assert_true(samples[0].sequence == UINT64_MAX);
    board_free(&reader);
    board_free(&writer);
}

/* --- The memo ---------------------------------------------------------------*/

static size_t read_memo(uint64_t *tag, char *bytes, size_t size)
{
    struct board *reader = board_fixture_reader();
    size_t n = board_memo_read(reader, BOARD_MEMO_COUNTS, tag, bytes, size);
    board_free(&reader);
    return n;
}

static void test_memo(void **state)
{
    char bytes[64];
    uint64_t tag = 0;
    struct board *board = board_fixture_create();
    (void)state;
    assert_int_equal(read_memo(&tag, bytes, sizeof bytes), 0);
    for (uint64_t i = 1; i <= 5; i++) {
        char text[16];
        snprintf(text, sizeof text, "memo %d, whole", (int)i);
        board_memo_write(board, BOARD_MEMO_COUNTS, i, text, strlen(text) + 1);
        assert_int_equal(read_memo(&tag, bytes, sizeof bytes), strlen(text) + 1);
        assert_int_equal(tag, i);
        assert_string_equal(bytes, text);
    }
    assert_int_equal(read_memo(&tag, bytes, 4), 0); /* no room: none */
    board_free(&board);
}

/* One is written a thousand times as often as the other, and must not replace it. */
static void test_memos_of_two_kinds(void **state)
{
    static char much[BOARD_MEMO_BYTES], read[BOARD_MEMO_BYTES];
    char bytes[64];
    uint64_t tag = 0;
    struct board *board = board_fixture_create();
    (void)state;
    for (size_t i = 0; i < sizeof much; i++)
        much[i] = (char)(i * 7 % 251);
    board_memo_write(board, BOARD_MEMO_EVIDENCE, 7, much, sizeof much);
    for (uint64_t i = 1; i <= 1000; i++)
        board_memo_write(board, BOARD_MEMO_COUNTS, i, "counts", 7);
    assert_int_equal(read_memo(&tag, bytes, sizeof bytes), 7);
    assert_int_equal(tag, 1000);
    struct board *reader = board_fixture_reader();
    assert_int_equal(board_memo_read(reader, BOARD_MEMO_EVIDENCE, &tag, read, sizeof read),
                     sizeof much);
    assert_int_equal(tag, 7);
    assert_memory_equal(read, much, sizeof much);
    board_free(&reader);
    board_free(&board);
}

/* A writer that died inside board_memo_write leaves the memo before. */
static void test_torn_memo(void **state)
{
    const size_t memo = offsetof(struct board_layout, memo);
    const uint64_t wild = 12345;
    const uint64_t zero = 0;
    char bytes[64];
    uint64_t tag = 0;
    struct board *board = board_fixture_create();
    (void)state;
    board_memo_write(board, BOARD_MEMO_COUNTS, 1, "first", 6);  /* into memo 0 */
    board_memo_write(board, BOARD_MEMO_COUNTS, 2, "second", 7); /* into memo 1 */
    board_fixture_poke(memo + sizeof(struct board_memo) + offsetof(struct board_memo, word), &wild,
                       8);
    assert_int_equal(read_memo(&tag, bytes, sizeof bytes), 6);
    assert_int_equal(tag, 1);
    assert_string_equal(bytes, "first");
    board_fixture_poke(memo + offsetof(struct board_memo, sequence), &zero, 8);
    assert_int_equal(read_memo(&tag, bytes, sizeof bytes), 0);
    board_fixture_poke(memo + offsetof(struct board_memo, sequence), &wild, 8);
    board_fixture_poke(memo + offsetof(struct board_memo, n_bytes), &wild, 8);
    assert_int_equal(read_memo(&tag, bytes, sizeof bytes), 0);
    board_free(&board);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, board_fixture_setup, scratch_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_what_is_written_is_read),
        CASE(test_ring_keeps_the_last),
        CASE(test_counters_beyond_32_bits),
        CASE(test_rows_are_reused_oldest_first),
        CASE(test_it_grows),
        CASE(test_no_room_to_grow),
        CASE(test_long_labels_are_cut),
        CASE(test_damaged_rows),
        CASE(test_memo),
        CASE(test_memos_of_two_kinds),
        CASE(test_torn_memo),
    };
    return cmocka_run_group_tests_name("board", tests, NULL, NULL);
}
