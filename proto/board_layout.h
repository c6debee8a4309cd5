/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What the board's bytes mean: the file `board` in the runtime directory, mapped
 * by its one writer and read-only by any number of readers. Any change here is a
 * new BOARD_VERSION. Little-endian with lock-free 64-bit atomics; no pointers.
 * The functions are in board.h.
 *
 * Everything in a row but its ring is guarded by `lock`, a sequence lock: odd
 * while the writer is at work; what was read between two equal even values is
 * consistent. A slot of the ring is guarded by its own sequence: 0 while it is
 * written, then the sample's number, which no other sample of that row ever has.
 * A memo of each kind, by which a supervisor tells its successor where it was,
 * stands twice: the one with the higher sequence and a right checksum counts, so
 * a writer that dies in the act leaves the one before. What is written often is
 * a kind of its own.
 *
 * The file ends behind the row n_rows_now - 1, and grows by some when all rows are
 * open: their room is there before their number is, and a mapped board never shrinks.
 * Source: Boehm 2012, "Can seqlocks get along with programming language memory
 * models?", MSPC '12, figure 6.
 */
#ifndef CANARYD_BOARD_LAYOUT_H
#define CANARYD_BOARD_LAYOUT_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "common/histogram.h"

#define BOARD_MARKER       "canbrd04" /* 8 bytes: what it is, and the version */
#define BOARD_MARKER_NAME  6          /* of these, those that no version changes */
#define BOARD_MARKER_SIZE  8
#define BOARD_PROCESSES    384  /* that may have open rows at once */
#define BOARD_STEP_ROWS    32   /* that a new file has, and that it grows by */
#define BOARD_RING         1024 /* recent samples a row; a power of two */
#define BOARD_ROLE_SIZE    16   /* bytes with the NUL */
#define BOARD_VERSION_SIZE 64
#define BOARD_MEMO_BYTES   49152
#define BOARD_MEMOS        2 /* of each kind */

enum board_state { BOARD_FREE, BOARD_OPEN, BOARD_CLOSED, N_BOARD_STATES };
enum board_clock { BOARD_ROUND_TRIP, BOARD_SERVICE, N_BOARD_CLOCKS };
enum board_outcome { BOARD_OK, BOARD_FAULT, BOARD_TIMEOUT, BOARD_DEATH, N_BOARD_OUTCOMES };

/* The judge's counts (new with each call that ends) and its evidence (with each block). */
enum board_memo_kind { BOARD_MEMO_COUNTS, BOARD_MEMO_EVIDENCE, N_BOARD_MEMO_KINDS };

/* Written before the file has its name, never after. */
struct board_header {
    char marker[BOARD_MARKER_SIZE];
    uint32_t header_bytes;
    uint32_t row_bytes;
    uint32_t n_rows; /* that there can be */
    uint32_t n_ring;
    uint32_t n_buckets;
    uint32_t n_outcomes;
    int64_t writer_pid;
    uint64_t writer_birth; /* birth_of_process */
    _Atomic uint64_t n_rows_now;
    uint8_t reserved[72]; /* 0 */
};

struct board_slot {
    _Atomic uint64_t sequence;
    _Atomic int64_t start_ns; /* CLOCK_MONOTONIC */
    _Atomic uint64_t latency_ns;
    _Atomic uint64_t outcome; /* enum board_outcome */
};

struct board_row {
    _Atomic uint64_t lock;
    _Atomic uint64_t state; /* enum board_state */
    _Atomic uint64_t clock; /* enum board_clock */
    _Atomic int64_t pid;
    _Atomic int64_t opened_ns;     /* CLOCK_MONOTONIC */
    _Atomic uint64_t closed_order; /* the n-th row to be closed; 0 before */
    _Atomic uint64_t role[BOARD_ROLE_SIZE / 8];
    _Atomic uint64_t version[BOARD_VERSION_SIZE / 8];
    _Atomic uint64_t first_sequence; /* of this life: one above the last of the life before */
    _Atomic uint64_t last_sequence;  /* first_sequence - 1: no samples yet */
    _Atomic uint64_t n_outcome[N_BOARD_OUTCOMES];
    _Atomic uint64_t n; /* struct moments of the latencies with outcome OK, in ns */
    _Atomic double mean;
    _Atomic double mean_low;
    _Atomic double m2;
    uint8_t reserved[48];
    _Atomic uint64_t count[HISTOGRAM_BUCKETS]; /* struct histogram of the same */
    struct board_slot ring[BOARD_RING];        /* sample s is in slot s % BOARD_RING */
};

struct board_memo {
    _Atomic uint64_t sequence; /* 0: being written, or never was */
    _Atomic uint64_t tag;      /* what it is about; the writer's choice */
    _Atomic uint64_t n_bytes;
    _Atomic uint64_t checksum; /* of tag, n_bytes and the words in use */
    uint8_t reserved[32];
    _Atomic uint64_t word[BOARD_MEMO_BYTES / 8];
};

#define BOARD_MAX_ROWS ((int)(BOARD_PROCESSES * N_BOARD_CLOCKS))

struct board_layout {
    struct board_header header;
    struct board_memo memo[N_BOARD_MEMO_KINDS][BOARD_MEMOS];
    struct board_row row[BOARD_MAX_ROWS];
};

/* Of a file with so many rows. */
#define BOARD_BYTES(n_rows)                                                                        \
    (offsetof(struct board_layout, row) + (n_rows) * sizeof(struct board_row))

#define BOARD_PIN(type, member, offset)                                                            \
    _Static_assert(offsetof(struct type, member) == (offset), #type "." #member " has moved")

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the board is little-endian");
_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "the board needs lock-free 64-bit atomics");
_Static_assert(sizeof(_Atomic uint64_t) == 8 && sizeof(_Atomic double) == 8, "8 bytes each");
_Static_assert((BOARD_RING & (BOARD_RING - 1)) == 0, "the ring is a power of two");
_Static_assert(HISTOGRAM_BUCKETS == 2240, "another histogram is another board");
_Static_assert(N_BOARD_OUTCOMES == 4, "another outcome is another board");
_Static_assert(N_BOARD_MEMO_KINDS == 2, "another kind of memo is another board");
_Static_assert(sizeof(struct board_header) == 128, "size of the header");
_Static_assert(sizeof(struct board_slot) == 32, "size of a slot");
_Static_assert(sizeof(struct board_row) == 50944, "size of a row");
_Static_assert(sizeof(struct board_memo) == 49216, "size of a memo");
_Static_assert(sizeof(struct board_layout) == 39321984, "size of the largest board");
_Static_assert(BOARD_BYTES(BOARD_STEP_ROWS) == 1827200, "size of the smallest board");
_Static_assert(BOARD_MAX_ROWS % BOARD_STEP_ROWS == 0, "growth ends at the limit");
BOARD_PIN(board_header, header_bytes, 8);
BOARD_PIN(board_header, n_outcomes, 28);
BOARD_PIN(board_header, writer_pid, 32);
BOARD_PIN(board_header, writer_birth, 40);
BOARD_PIN(board_header, n_rows_now, 48);
BOARD_PIN(board_row, role, 48);
BOARD_PIN(board_row, version, 64);
BOARD_PIN(board_row, first_sequence, 128);
BOARD_PIN(board_row, n_outcome, 144);
BOARD_PIN(board_row, n, 176);
BOARD_PIN(board_row, count, 256);
BOARD_PIN(board_row, ring, 18176);
BOARD_PIN(board_memo, word, 64);
BOARD_PIN(board_layout, memo, 128);
BOARD_PIN(board_layout, row, 196992);

#endif
