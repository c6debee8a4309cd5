/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Reading the board beside its writer; see board.h. Nothing read here is used as
 * an index or a length before it has been checked.
 */
#include "proto/board.h"

#include <assert.h>
#include <sched.h>
#include <string.h>

#include "common/birth.h"
#include "proto/board_private.h"

#define READ_TRIES 1000

#define GET(field) atomic_load_explicit(&(field), memory_order_relaxed)

/* The room of a row was there before its number was. */
int board_n_rows(const struct board *board)
{
    uint64_t n = atomic_load_explicit(&board->map->header.n_rows_now, memory_order_acquire);
    return n < (uint64_t)BOARD_MAX_ROWS ? (int)n : BOARD_MAX_ROWS;
}

static const struct board_row *row_at(const struct board *board, int row)
{
    assert(row >= 0 && row < board_n_rows(board));
    return &board->map->row[row];
}

static void get_label(const _Atomic uint64_t *words, char *text, size_t size)
{
    for (size_t i = 0; i < size / 8; i++) {
        uint64_t word = GET(words[i]);
        memcpy(text + 8 * i, &word, 8);
    }
    text[size - 1] = '\0';
}

static void copy_numbers(const struct board_row *row, struct board_snapshot *s)
{
    for (size_t i = 0; i < N_BOARD_OUTCOMES; i++)
        s->n_outcome[i] = GET(row->n_outcome[i]);
    s->moments = (struct moments){GET(row->n), GET(row->mean), GET(row->mean_low), GET(row->m2)};
    s->histogram.n = 0;
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        s->histogram.count[i] = GET(row->count[i]);
        s->histogram.n += s->histogram.count[i];
    }
}

static void copy_row(const struct board_row *row, struct board_snapshot *s)
{
    s->state = (enum board_state)GET(row->state);
    s->clock = (enum board_clock)GET(row->clock);
    s->pid = GET(row->pid);
    s->opened_ns = GET(row->opened_ns);
    get_label(row->role, s->role, sizeof s->role);
    get_label(row->version, s->version, sizeof s->version);
    s->first_sequence = GET(row->first_sequence);
    s->last_sequence = GET(row->last_sequence);
    copy_numbers(row, s);
}

/* Whether the copy is of one moment. */
static bool try_copy(const struct board_row *row, struct board_snapshot *s)
{
    uint64_t before = atomic_load_explicit(&row->lock, memory_order_acquire);
    if (before % 2 != 0)
        return false;
    copy_row(row, s);
    atomic_thread_fence(memory_order_acquire);
    return GET(row->lock) == before;
}

int board_read_row(const struct board *board, int row, struct board_snapshot *snapshot,
                   struct err *e)
{
    const struct board_row *r = row_at(board, row);
    int tries = 0;
    while (!try_copy(r, snapshot)) {
        if (++tries == READ_TRIES)
            return err_set(e, "board-busy", "row %d of the board never stood still", row);
        sched_yield(); /* a writer that was interrupted in the act goes on */
    }
    if (snapshot->state >= N_BOARD_STATES || snapshot->clock >= N_BOARD_CLOCKS)
        return err_set(e, "board-damaged", "row %d of the board: state %d, clock %d", row,
                       (int)snapshot->state, (int)snapshot->clock);
    return 0;
}

/* The sample with this sequence; false when the slot holds another by now. */
static bool read_slot(const struct board_slot *slot, uint64_t sequence, struct board_sample *out)
{
    if (atomic_load_explicit(&slot->sequence, memory_order_acquire) != sequence)
        return false;
    uint64_t outcome = GET(slot->outcome);
    out->sequence = sequence;
    out->start_ns = GET(slot->start_ns);
    out->latency_ns = GET(slot->latency_ns);
    out->outcome = (enum board_outcome)outcome;
    atomic_thread_fence(memory_order_acquire);
    return GET(slot->sequence) == sequence && outcome < N_BOARD_OUTCOMES;
}

size_t board_read_samples(const struct board *board, int row, uint64_t after,
                          struct board_sample *samples, size_t n_max)
{
    const struct board_row *r = row_at(board, row);
    /* last before first: should the row begin a new life between the two, first
     * is above last and there is nothing to read. */
    uint64_t last = atomic_load_explicit(&r->last_sequence, memory_order_acquire);
    uint64_t first = GET(r->first_sequence);
    size_t n = 0;
    if (last >= BOARD_RING && first < last - BOARD_RING + 1)
        first = last - BOARD_RING + 1;
    if (first <= after)
        first = after + 1;
    for (uint64_t s = first; s != 0 && s <= last && n < n_max; s++)
        if (read_slot(&r->ring[s % BOARD_RING], s, &samples[n]))
            n++;
    return n;
}

int64_t board_writer_pid(const struct board *board)
{
    return board->map->header.writer_pid;
}

bool board_writer_lives(const struct board *board)
{
    uint64_t birth = board->map->header.writer_birth;
    return birth != 0 && birth_of_process(board->map->header.writer_pid) == birth;
}
