/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The open blocks of one clock. A block is the fewest whole groups of draws
 * that last at least so long, or fill a side, and hold both sides; its time runs
 * from the last draw of the block before. A call belongs to the block in which it
 * was drawn, and its latency to the place of its draw, so that the order in which
 * calls end leaves no trace. Blocks are taken out in their order, each when its last
 * call has ended.
 */
#ifndef CANARYD_BLOCKS_H
#define CANARYD_BLOCKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "judge/arm.h"

/* Latencies that a side of a block keeps. While only one side is drawn, as with
 * sticky users, the block goes on; of that side the latest draws stay then: they
 * are nearest in time to the side that has yet to come. It is draws that
 * decide, never latencies, so that the comparison stays fair. */
#define BLOCKS_MAX_DRAWS 65536

/* One side of a block. */
struct block_side {
    /* Of the last BLOCKS_MAX_DRAWS draws, each at its number's remainder by that; of a
     * ripe block [n_latencies], in that order. */
    uint64_t *latency_ns;
    size_t n_latencies;
    size_t n_drawn;
    size_t n_ended;  /* without those that were never asked */
    size_t n_failed; /* of those */
    size_t capacity;
};

struct block {
    struct block_side side[N_SIDES];
    uint64_t last_draw; /* the number of its last draw */
    int64_t began_ns;
    int64_t ended_ns;
    uint64_t n_waiting; /* calls that have not ended */
    bool is_closed;     /* no more draws */
    bool is_packed;     /* latencies have no gaps any more */
};

/* Blocks that may wait for calls at once: at 10 ms a block, calls may take 2.5 s.
 * When so many wait, the last goes on until there is room. */
#define BLOCKS_MAX 256

#define BLOCKS_NO_LATENCY UINT64_MAX

struct blocks;

/* block_ns: 0 or more; with 0 a block is as few groups as hold both sides. */
struct blocks *blocks_new(int64_t block_ns);
void blocks_free(struct blocks **b);

/* Drops what is open; a new block begins at now_ns. */
void blocks_restart(struct blocks *b, int64_t now_ns);

/* Where a draw's call will put its latency. */
struct block_place {
    uint64_t block; /* numbers that never come again */
    uint64_t place;
    bool displaces; /* an earlier draw's latency is not weighed for this one's */
};

/* The next draw: number counts all draws, ends_group says that the next begins a
 * group. SIDE_NONE is a draw that takes no part: nobody waits for its call. O(1)
 * but for growing. */
struct block_place blocks_draw(struct blocks *b, enum side side, bool ends_group, uint64_t number,
                               int64_t now_ns);

/* The call of a draw of this side has ended; once per draw. latency_ns may be
 * BLOCKS_NO_LATENCY. What was dropped by blocks_restart is ignored. O(1). */
void blocks_end(struct blocks *b, enum side side, const struct block_place *place,
                enum outcome outcome, uint64_t latency_ns);

/* The oldest block if it is closed and nobody waits for it, else NULL. Borrowed,
 * until blocks_drop_ripe. */
const struct block *blocks_ripe(struct blocks *b);
void blocks_drop_ripe(struct blocks *b);

/* The block that is open for draws: for tests and for reports. */
const struct block *blocks_current(const struct blocks *b);

#endif
