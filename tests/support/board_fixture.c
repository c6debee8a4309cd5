/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * See board_fixture.h.
 */
#include "tests/support/board_fixture.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/fdio.h"
#include "tests/support/scratch.h"

static char path[SCRATCH_PATH_SIZE];

int board_fixture_setup(void **state)
{
    int rc = scratch_setup(state);
    scratch_path(path, "board");
    return rc;
}

const char *board_fixture_path(void)
{
    return path;
}

struct board *board_fixture_create(void)
{
    struct err e = {0};
    struct board *board = board_create(path, &e);
    if (board == NULL)
        fail_msg("%s", e.text);
    return board;
}

struct board *board_fixture_reader(void)
{
    struct err e = {0};
    struct board *board = board_open_reader(path, &e);
    if (board == NULL)
        fail_msg("%s", e.text);
    return board;
}

void board_fixture_read_row(const struct board *board, int row, struct board_snapshot *snapshot)
{
    struct err e = {0};
    if (board_read_row(board, row, snapshot, &e) < 0)
        fail_msg("%s", e.text);
}

void board_fixture_poke(size_t offset, const void *bytes, size_t n)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, bytes, n, (off_t)offset), n);
    fd_close(&fd);
}
