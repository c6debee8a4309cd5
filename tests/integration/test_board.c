/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The board of a running server, as canaryctl top and others see it: mapped
 * read-only, without asking anybody.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/board.h"
#include "tests/support/answer.h"
#include "tests/support/server.h"
#include "tests/support/status.h"

static struct board *open_board(struct server *s)
{
    struct err e = {0};
    struct board *b = board_open_reader(server_path(s, "run/board"), &e);
    if (b == NULL)
        fail_msg("%s", e.text);
    return b;
}

/* The open row of this process and kind of time. */
static int find_row(const struct board *b, pid_t pid, enum board_clock clock,
                    struct board_snapshot *row)
{
    struct err e = {0};
    for (int i = 0; i < board_n_rows(b); i++) {
        if (board_read_row(b, i, row, &e) != 0)
            fail_msg("row %d: %s", i, e.text);
        if (row->state == BOARD_OPEN && row->pid == pid && row->clock == clock)
            return i;
    }
    fail_msg("the board has no row %d of process %d", (int)clock, (int)pid);
    return -1;
}

static void test_samples_of_stable(void **state)
{
    (void)state;
    enum { N = 120 };
    static struct board_sample samples[N + 1];
    struct board_snapshot row;
    struct server *s = server_start(NULL);
    pid_t pid = status_pid(s, "stable");
    struct board *b = open_board(s);
    assert_true(board_writer_lives(b));
    assert_int_equal(board_writer_pid(b), s->pid);
    find_row(b, pid, BOARD_ROUND_TRIP, &row);
    assert_int_equal(row.n_outcome[BOARD_OK], 0); /* the warm-up is no sample */
    for (int i = 0; i < N; i++)
        server_predict(s);
    for (int clock = BOARD_ROUND_TRIP; clock <= BOARD_SERVICE; clock++) {
        int i = find_row(b, pid, (enum board_clock)clock, &row);
        assert_string_equal(row.role, "stable");
        assert_int_equal(row.n_outcome[BOARD_OK], N);
        assert_int_equal(row.moments.n, N);
        assert_true(row.moments.mean > 0 && row.moments.mean < 1e9);
        assert_int_equal(row.last_sequence - row.first_sequence + 1, N);
        assert_int_equal(board_read_samples(b, i, 0, samples, N + 1), N);
        for (int k = 0; k < N; k++)
            assert_int_equal(samples[k].sequence, row.first_sequence + (uint64_t)k);
    }
    board_free(&b);
    server_stop(s);
}

static void test_arms_have_rows_of_their_own(void **state)
{
    (void)state;
    struct board_snapshot row;
    struct server *s = server_start((const char *const[]){"--auto-rollback=false", NULL});
    answer_is(server_post(s, "/admin/deploy-canary", "{\"model_path\":\"model_v2.json\"}"), 200);
    for (int i = 0; i < 100; i++)
        server_predict(s);
    struct board *b = open_board(s);
    find_row(b, status_pid(s, "canary"), BOARD_ROUND_TRIP, &row);
    assert_string_equal(row.role, "canary");
    assert_int_equal(row.n_outcome[BOARD_OK], 10);
    board_free(&b);
    server_stop(s);
}

/* It outlives its writer, and says so. */
static void test_after_a_crash(void **state)
{
    (void)state;
    struct board_snapshot row;
    struct server *s = server_start(NULL);
    pid_t pid = status_pid(s, "stable");
    for (int i = 0; i < 10; i++)
        server_predict(s);
    struct board *b = open_board(s);
    server_signal(s, SIGKILL);
    assert_int_equal(server_wait_exit(s, 5000), 128 + SIGKILL);
    assert_false(board_writer_lives(b));
    find_row(b, pid, BOARD_ROUND_TRIP, &row);
    assert_int_equal(row.n_outcome[BOARD_OK], 10);
    board_free(&b);
    server_forget(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SERVER_TEST(test_samples_of_stable),
        SERVER_TEST(test_arms_have_rows_of_their_own),
        SERVER_TEST(test_after_a_crash),
    };
    return cmocka_run_group_tests_name("board", tests, NULL, NULL);
}
