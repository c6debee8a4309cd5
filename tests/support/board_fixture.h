/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A board in the scratch directory, for the tests of its rows and of its file.
 */
#ifndef CANARYD_TESTS_BOARD_FIXTURE_H
#define CANARYD_TESTS_BOARD_FIXTURE_H

#include <stddef.h>

#include "proto/board.h"

int board_fixture_setup(void **state); /* with scratch_teardown */
const char *board_fixture_path(void);

/* These fail the test where they can't do it. */
struct board *board_fixture_create(void);
struct board *board_fixture_reader(void);
void board_fixture_read_row(const struct board *board, int row, struct board_snapshot *snapshot);

/* Overwrites bytes of the file, as a broken or hostile writer would. */
void board_fixture_poke(size_t offset, const void *bytes, size_t n);

#endif
