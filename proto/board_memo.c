/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The board's memos; see board.h. Two copies of each kind are written in turn, each with a
 * sequence and a checksum, so that there is always a whole one.
 */
#include "proto/board.h"

#include <assert.h>
#include <string.h>

#include "proto/board_private.h"

/* The writer alone stores, and readers check the sum: order matters only around
 * the sequence. */
#define GET(field)        atomic_load_explicit(&(field), memory_order_relaxed)
#define PUT(field, value) atomic_store_explicit(&(field), (value), memory_order_relaxed)

#define FNV_OFFSET UINT64_C(0xcbf29ce484222325)
#define FNV_PRIME  UINT64_C(0x100000001b3)

/* FNV-1a by words and not by bytes, with a shift that lets high bits reach the
 * low ones: for accidents, not for forgers. */
static uint64_t mix(uint64_t sum, uint64_t word)
{
    sum = (sum ^ word) * FNV_PRIME;
    return sum ^ (sum >> 29);
}

static size_t n_words(size_t n_bytes)
{
    return (n_bytes + 7) / 8;
}

/* The i-th word of n bytes; the last one is filled up with zeros. */
static uint64_t word_at(const void *bytes, size_t n, size_t i)
{
    uint64_t word = 0;
    if (n - 8 * i >= 8)
        memcpy(&word, (const char *)bytes + 8 * i, 8);
    else
        memcpy(&word, (const char *)bytes + 8 * i, n - 8 * i);
    return word;
}

/* Of the two of a kind, the one that is to be written next. */
static struct board_memo *older_memo(struct board_memo memos[BOARD_MEMOS])
{
    return GET(memos[0].sequence) <= GET(memos[1].sequence) ? &memos[0] : &memos[1];
}

static uint64_t newest_sequence(const struct board_memo memos[BOARD_MEMOS])
{
    uint64_t a = GET(memos[0].sequence);
    uint64_t b = GET(memos[1].sequence);
    return a > b ? a : b;
}

void board_memo_write(struct board *board, enum board_memo_kind kind, uint64_t tag,
                      const void *bytes, size_t n)
{
    assert(board->is_writer && n <= BOARD_MEMO_BYTES);
    uint64_t sequence = newest_sequence(board->map->memo[kind]) + 1;
    struct board_memo *memo = older_memo(board->map->memo[kind]);
    uint64_t sum = mix(mix(FNV_OFFSET, tag), n);
    PUT(memo->sequence, 0);
    atomic_thread_fence(memory_order_release);
    for (size_t i = 0; i < n_words(n); i++) {
        uint64_t word = word_at(bytes, n, i);
        PUT(memo->word[i], word);
        sum = mix(sum, word);
    }
    PUT(memo->tag, tag);
    PUT(memo->n_bytes, n);
    PUT(memo->checksum, sum);
    atomic_store_explicit(&memo->sequence, sequence, memory_order_release);
}

static size_t copy_memo(const struct board_memo *memo, uint64_t *tag, void *bytes, size_t size)
{
    uint64_t n = GET(memo->n_bytes);
    uint64_t named = GET(memo->tag);
    uint64_t sum = mix(mix(FNV_OFFSET, named), n);
    if (atomic_load_explicit(&memo->sequence, memory_order_acquire) == 0 || n == 0 || n > size ||
        n > BOARD_MEMO_BYTES)
        return 0;
    for (size_t i = 0; i < n_words(n); i++) {
        uint64_t word = GET(memo->word[i]);
        size_t left = n - 8 * i;
        memcpy((char *)bytes + 8 * i, &word, left < 8 ? left : 8);
        sum = mix(sum, word);
    }
    if (sum != GET(memo->checksum))
        return 0;
    *tag = named;
    return n;
}

size_t board_memo_read(const struct board *board, enum board_memo_kind kind, uint64_t *tag,
                       void *bytes, size_t size)
{
    const struct board_memo *memos = board->map->memo[kind];
    int newest = GET(memos[1].sequence) > GET(memos[0].sequence) ? 1 : 0;
    size_t n = copy_memo(&memos[newest], tag, bytes, size);
    return n > 0 ? n : copy_memo(&memos[1 - newest], tag, bytes, size);
}
