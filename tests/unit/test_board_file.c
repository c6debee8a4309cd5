/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The board's file: made whole or not at all, replaced under its readers, told
 * from files that are none, and from the board of a process that is gone.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/fdio.h"
#include "proto/board.h"
#include "tests/support/board_fixture.h"
#include "tests/support/scratch.h"

#define SMALLEST BOARD_BYTES(BOARD_STEP_ROWS)

static struct board_snapshot snapshot; /* 18 kB: rather not on the stack */

static const struct board_row_info stable = {
    .pid = 4711, .clock = BOARD_SERVICE, .role = "stable", .version = "model_v1.json"};

/* A crashed supervisor's board is replaced; its readers lose nothing. */
static void test_readers_keep_a_replaced_board(void **state)
{
    struct stat st;
    struct board *old = board_fixture_create();
    struct board *reader = board_fixture_reader();
    (void)state;
    board_add(old, board_row_open(old, &stable), 1, 100, BOARD_OK);
    struct board *new = board_fixture_create();
    struct board *new_reader = board_fixture_reader();
    board_fixture_read_row(reader, 0, &snapshot);
    assert_int_equal(snapshot.moments.n, 1);
    board_fixture_read_row(new_reader, 0, &snapshot);
    assert_int_equal(snapshot.state, BOARD_FREE);
    assert_int_equal(stat(board_fixture_path(), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0640);
    assert_true((size_t)st.st_blocks * 512 >= SMALLEST);
    board_free(&new_reader);
    board_free(&new);
    board_free(&reader);
    board_free(&old);
}

/* Neither a link planted at the name nor at the temporary one is followed. */
static void test_links_are_not_followed(void **state)
{
    char fresh[SCRATCH_PATH_SIZE];
    char victim[SCRATCH_PATH_SIZE];
    struct stat st;
    struct err e = {0};
    (void)state;
    scratch_path(fresh, "board.new");
    scratch_path(victim, "victim");
    int fd = open(victim, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    fd_close(&fd);
    assert_int_equal(symlink(victim, board_fixture_path()), 0);
    assert_int_equal(symlink(victim, fresh), 0);
    assert_null(board_open_reader(board_fixture_path(), &e));
    assert_string_equal(e.code, "board-unreadable");
    struct board *board = board_fixture_create();
    assert_int_equal(lstat(board_fixture_path(), &st), 0);
    assert_true(S_ISREG(st.st_mode));
    assert_int_equal(stat(victim, &st), 0);
    assert_int_equal(st.st_size, 0);
    board_free(&board);
}

static void test_no_room_is_an_error(void **state)
{
    struct rlimit all;
    struct rlimit little;
    struct err e = {0};
    struct stat st;
    (void)state;
    void (*before)(int) = signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &all), 0);
    little = all;
    little.rlim_cur = 1 << 20;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &little), 0);
    struct board *board = board_create(board_fixture_path(), &e);
    setrlimit(RLIMIT_FSIZE, &all);
    signal(SIGXFSZ, before);
    assert_null(board);
    assert_string_equal(e.code, "cannot-create");
    assert_non_null(strstr(e.text, board_fixture_path()));
    assert_int_equal(stat(board_fixture_path(), &st), -1);
}

static void test_impossible_places(void **state)
{
    struct err e = {0};
    (void)state;
    assert_null(board_create("/nonexistent/board", &e));
    assert_string_equal(e.code, "cannot-create");
    assert_int_equal(mkdir(board_fixture_path(), 0700), 0);
    assert_null(board_create(board_fixture_path(), &e));
    assert_string_equal(e.code, "cannot-create");
    assert_null(board_open_reader(board_fixture_path(), &e));
    assert_string_equal(e.code, "not-a-board");
}

static void refuse(const char *code)
{
    struct err e = {0};
    assert_null(board_open_reader(board_fixture_path(), &e));
    assert_string_equal(e.code, code);
    assert_non_null(strstr(e.text, board_fixture_path()));
}

static void test_foreign_files_are_refused(void **state)
{
    static const struct {
        size_t size, offset;
        const char *bytes;
        const char *code;
    } cases[] = {
        {0, 0, "", "board-too-short"},
        {127, 0, "", "board-too-short"},
        {128, 0, "", "board-too-short"},
        {SMALLEST - 1, 0, "", "board-too-short"},
        {SMALLEST, 0,
         "\x7f"
         "ELF",
         "not-a-board"},
        {SMALLEST, 7, "1", "board-version"},
        {200, 6, "99", "board-version"},
        {SMALLEST, offsetof(struct board_header, n_rows_now), "\x21", "board-too-short"},
        {SMALLEST, offsetof(struct board_header, n_rows_now), "\x01\x03", "not-a-board"},
        {SMALLEST, offsetof(struct board_header, n_rows), "\x21", "not-a-board"},
        {SMALLEST, offsetof(struct board_header, row_bytes), "\xff\xff\xff\xff", "not-a-board"},
    };
    (void)state;
    refuse("board-unreadable");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct board *board = board_fixture_create();
        board_free(&board);
        board_fixture_poke(cases[i].offset, cases[i].bytes, strlen(cases[i].bytes));
        assert_int_equal(truncate(board_fixture_path(), (off_t)cases[i].size), 0);
        refuse(cases[i].code);
    }
    unlink(board_fixture_path());
    assert_int_equal(mkfifo(board_fixture_path(), 0600), 0);
    refuse("not-a-board");
}

static void test_life_of_the_writer(void **state)
{
    struct board *board = board_fixture_create();
    int status;
    (void)state;
    assert_true(board_writer_lives(board));
    assert_int_equal(board_writer_pid(board), getpid());
    board_free(&board);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        _exit(board_create(board_fixture_path(), NULL) == NULL);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    board = board_fixture_reader();
    assert_int_equal(board_writer_pid(board), child);
    assert_false(board_writer_lives(board));
    board_free(&board);
    /* Somebody else has the writer's pid by now. */
    int64_t me = getpid();
    board_fixture_poke(offsetof(struct board_header, writer_pid), &me, sizeof me);
    board = board_fixture_reader();
    uint64_t born = 1;
    board_fixture_poke(offsetof(struct board_header, writer_birth), &born, sizeof born);
    assert_false(board_writer_lives(board));
    board_free(&board);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, board_fixture_setup, scratch_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_readers_keep_a_replaced_board), CASE(test_links_are_not_followed),
        CASE(test_no_room_is_an_error),           CASE(test_impossible_places),
        CASE(test_foreign_files_are_refused),     CASE(test_life_of_the_writer),
    };
    return cmocka_run_group_tests_name("board_file", tests, NULL, NULL);
}
