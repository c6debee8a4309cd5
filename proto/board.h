/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The board: latencies in shared memory, for whoever wants to watch without
 * asking. The supervisor alone writes; canaryctl and others map it read-only.
 * No locks, no system calls per sample. Its bytes: board_layout.h.
 */
#ifndef CANARYD_BOARD_H
#define CANARYD_BOARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "common/histogram.h"
#include "common/moments.h"
#include "proto/board_layout.h"

struct board;

/* A fresh board at path, mode 0640 less the umask. What stood there is replaced
 * in one step by rename, after all room has been reserved on disk; those who had
 * mapped the old one keep it. Works through path + ".new". NULL with err
 * "cannot-create" (a full disk included). The file outlives board_free, so that
 * the last state can be read. One process may have one writer per path. */
struct board *board_create(const char *path, struct err *e);

/* Maps an existing board for reading. The file is not trusted: NULL with err
 * "board-unreadable", "not-a-board" (no regular file, no marker, or other
 * sizes), "board-version" or "board-too-short". */
struct board *board_open_reader(const char *path, struct err *e);

void board_free(struct board **board); /* *board may be NULL */

/* Rows are 0 .. this - 1. It only grows, up to BOARD_MAX_ROWS. */
int board_n_rows(const struct board *board);

/* Writing; not on a reader's board. */

struct board_row_info {
    int64_t pid;
    enum board_clock clock;
    const char *role;    /* "stable", ...; cut to BOARD_ROLE_SIZE - 1 bytes */
    const char *version; /* cut to BOARD_VERSION_SIZE - 1 bytes */
};

/* Begins an empty row for one process life and one kind of time, in a free row,
 * or in the one closed longest ago, or behind the last one. -1 when all are open and
 * there can be no more, or no room for them on disk. About 2 us. */
int board_row_open(struct board *board, const struct board_row_info *info);

/* The row can still be read until it is reused. row must be open. */
void board_row_close(struct board *board, int row);

/* One call that ended. All outcomes enter the ring and are counted; moments and
 * histogram take latency_ns only of BOARD_OK. row must be open. About 15 ns. */
void board_add(struct board *board, int row, int64_t start_ns, uint64_t latency_ns,
               enum board_outcome outcome);

/* What the next writer should know: n bytes, at most BOARD_MEMO_BYTES, about
 * whatever tag names. Replaces the memo of its kind in one step: a writer that dies
 * inside this call leaves the old one. About 1 ns a byte. */
void board_memo_write(struct board *board, enum board_memo_kind kind, uint64_t tag,
                      const void *bytes, size_t n);

/* Reading, on any board. */

/* Copies the newest whole memo of that kind, at most size bytes of it, and its
 * tag. Returns its length, or 0 when there is none, or it is longer than size, or
 * damaged. Of a living writer's board the copy may be torn and is then none. */
size_t board_memo_read(const struct board *board, enum board_memo_kind kind, uint64_t *tag,
                       void *bytes, size_t size);

struct board_snapshot {
    enum board_state state; /* BOARD_FREE: the rest is 0 */
    enum board_clock clock;
    int64_t pid;
    int64_t opened_ns;
    char role[BOARD_ROLE_SIZE];
    char version[BOARD_VERSION_SIZE];
    uint64_t first_sequence; /* samples of this life are first..last, no gap */
    uint64_t last_sequence;
    uint64_t n_outcome[N_BOARD_OUTCOMES];
    struct moments moments; /* ns */
    struct histogram histogram;
};

struct board_sample {
    uint64_t sequence;
    int64_t start_ns;
    uint64_t latency_ns;
    enum board_outcome outcome;
};

/* A row as it was at one moment. Tries again while the writer is at work, then
 * gives up: -1 with err "board-busy" (also when the writer died in the act), or
 * "board-damaged" when an enum is out of range; *snapshot is then of no use.
 * Numbers are as found. About 1 us; 1,000 tries at most. */
int board_read_row(const struct board *board, int row, struct board_snapshot *snapshot,
                   struct err *e);

/* Copies up to n_max of the row's samples with a sequence above `after`, oldest
 * first, and returns how many. Only the ring's BOARD_RING last ones are there,
 * and any that are overwritten meanwhile are left out: gaps show in `sequence`. */
size_t board_read_samples(const struct board *board, int row, uint64_t after,
                          struct board_sample *samples, size_t n_max);

int64_t board_writer_pid(const struct board *board);

/* Whether the process that made the board still lives (not one with its pid). */
bool board_writer_lives(const struct board *board);

#endif
