/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * See blocks.h: a ring of blocks, whose vectors are kept for the next to come.
 */
#include "judge/blocks.h"

#include <assert.h>
#include <stdlib.h>

#include "common/mem.h"

#define FIRST_CAPACITY 16
#define KEPT_CAPACITY  1024 /* a vector that grew further is given back */

_Static_assert(BLOCKS_MAX_DRAWS % FIRST_CAPACITY == 0 &&
                   (BLOCKS_MAX_DRAWS & (BLOCKS_MAX_DRAWS - 1)) == 0,
               "doubling ends at the limit");

struct blocks {
    int64_t block_ns;
    uint64_t oldest;  /* number of the oldest open block */
    uint64_t current; /* and of the one that takes draws */
    struct block ring[BLOCKS_MAX];
};

static struct block *block_at(struct blocks *b, uint64_t number)
{
    return &b->ring[number % BLOCKS_MAX];
}

struct blocks *blocks_new(int64_t block_ns)
{
    assert(block_ns >= 0);
    struct blocks *b = mem_alloc(sizeof *b);
    b->block_ns = block_ns;
    return b;
}

void blocks_free(struct blocks **b)
{
    if (*b == NULL)
        return;
    for (size_t i = 0; i < BLOCKS_MAX; i++)
        for (int side = 0; side < N_SIDES; side++)
            free((*b)->ring[i].side[side].latency_ns);
    free(*b);
    *b = NULL;
}

static void give_back(struct block *block)
{
    for (int side = 0; side < N_SIDES; side++) {
        struct block_side *s = &block->side[side];
        if (s->capacity <= KEPT_CAPACITY)
            continue;
        free(s->latency_ns);
        *s = (struct block_side){0};
    }
}

static void begin(struct block *block, int64_t now_ns)
{
    for (int side = 0; side < N_SIDES; side++) {
        struct block_side *s = &block->side[side];
        *s = (struct block_side){.latency_ns = s->latency_ns, .capacity = s->capacity};
    }
    block->began_ns = block->ended_ns = now_ns;
    block->last_draw = block->n_waiting = 0;
    block->is_closed = block->is_packed = false;
}

void blocks_restart(struct blocks *b, int64_t now_ns)
{
    for (uint64_t number = b->oldest; number <= b->current; number++)
        give_back(block_at(b, number));
    b->oldest = ++b->current;
    begin(block_at(b, b->current), now_ns);
}

static uint64_t take_place(struct block_side *s)
{
    if (s->n_drawn == s->capacity && s->capacity < BLOCKS_MAX_DRAWS) {
        s->capacity = s->capacity == 0 ? FIRST_CAPACITY : 2 * s->capacity;
        s->latency_ns = mem_resize(s->latency_ns, s->capacity, sizeof *s->latency_ns);
    }
    s->latency_ns[s->n_drawn % BLOCKS_MAX_DRAWS] = BLOCKS_NO_LATENCY;
    return s->n_drawn++;
}

static bool is_full(const struct blocks *b, const struct block *block)
{
    size_t n_reference = block->side[SIDE_REFERENCE].n_drawn;
    size_t n_canary = block->side[SIDE_CANARY].n_drawn;
    bool is_enough = block->ended_ns - block->began_ns >= b->block_ns ||
                     n_reference >= BLOCKS_MAX_DRAWS || n_canary >= BLOCKS_MAX_DRAWS;
    return is_enough && n_reference > 0 && n_canary > 0;
}

struct block_place blocks_draw(struct blocks *b, enum side side, bool ends_group, uint64_t number,
                               int64_t now_ns)
{
    struct block *block = block_at(b, b->current);
    struct block_place place = {.block = b->current};
    if (side != SIDE_NONE) {
        place.place = take_place(&block->side[side]);
        place.displaces = place.place >= BLOCKS_MAX_DRAWS;
        block->n_waiting++;
    }
    block->last_draw = number;
    block->ended_ns = now_ns;
    if (ends_group && is_full(b, block) && b->current - b->oldest < BLOCKS_MAX - 1) {
        block->is_closed = true;
        b->current++;
        begin(block_at(b, b->current), now_ns);
    }
    return place;
}

void blocks_end(struct blocks *b, enum side side, const struct block_place *place,
                enum outcome outcome, uint64_t latency_ns)
{
    if (side == SIDE_NONE || place->block < b->oldest || place->block > b->current)
        return;
    struct block *block = block_at(b, place->block);
    struct block_side *s = &block->side[side];
    assert(block->n_waiting > 0 && place->place < s->n_drawn);
    block->n_waiting--;
    s->n_ended += outcome != OUTCOME_UNASKED;
    s->n_failed += outcome != OUTCOME_UNASKED && outcome != OUTCOME_OK;
    if (outcome == OUTCOME_OK && s->n_drawn - place->place <= BLOCKS_MAX_DRAWS)
        s->latency_ns[place->place % BLOCKS_MAX_DRAWS] = latency_ns;
}

/* Closes the gaps that calls without a latency left. */
static void pack(struct block_side *s)
{
    size_t n = s->n_drawn < BLOCKS_MAX_DRAWS ? s->n_drawn : BLOCKS_MAX_DRAWS;
    s->n_latencies = 0;
    for (size_t i = 0; i < n; i++)
        if (s->latency_ns[i] != BLOCKS_NO_LATENCY)
            s->latency_ns[s->n_latencies++] = s->latency_ns[i];
}

const struct block *blocks_ripe(struct blocks *b)
{
    struct block *block = block_at(b, b->oldest);
    if (!block->is_closed || block->n_waiting > 0)
        return NULL;
    if (!block->is_packed) {
        pack(&block->side[SIDE_REFERENCE]);
        pack(&block->side[SIDE_CANARY]);
        block->is_packed = true;
    }
    return block;
}

void blocks_drop_ripe(struct blocks *b)
{
    assert(b->oldest < b->current);
    give_back(block_at(b, b->oldest));
    b->oldest++;
}

const struct block *blocks_current(const struct blocks *b)
{
    return &b->ring[b->current % BLOCKS_MAX];
}
