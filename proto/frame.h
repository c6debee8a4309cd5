/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Frames over a stream socket: a reader that collects bytes and hands out
 * complete payloads, a writer that collects frames for one write. Neither knows
 * what a payload means (codec.h does).
 */
#ifndef CANARYD_FRAME_H
#define CANARYD_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define FRAME_HEADER_BYTES 4

struct frame_reader {
    uint8_t *bytes;
    size_t start, end, size; /* unread bytes are bytes[start..end) */
    size_t max_payload;
};

/* Payloads above max_payload bytes are refused on their length prefix. */
void frame_reader_init(struct frame_reader *r, size_t max_payload);
void frame_reader_clear(struct frame_reader *r); /* frees the buffer */

/* One recv(2) into the buffer. > 0: bytes read; 0: end of file; -1: errno.
 * Invalidates payloads handed out before. */
ssize_t frame_reader_fill(struct frame_reader *r, int fd);

/* 1: *payload is the next complete frame's *n bytes, valid until the next fill;
 * 0: none complete; -1: the length prefix is 0 or above the limit (*n has it). */
int frame_reader_next(struct frame_reader *r, const uint8_t **payload, size_t *n);

/* Bytes of frames that were not handed out: the beginning of one, once
 * frame_reader_next has said 0. */
static inline size_t frame_reader_pending(const struct frame_reader *r)
{
    return r->end - r->start;
}

struct frame_writer {
    uint8_t *bytes;
    size_t start, end, size; /* unsent bytes are bytes[start..end) */
    size_t frame;            /* where the open frame's header stands */
};

void frame_writer_clear(
    struct frame_writer *w); /* frees the buffer; the struct is all zero again */
void frame_begin(struct frame_writer *w);
void frame_append(struct frame_writer *w, const void *bytes, size_t n);
void frame_end(struct frame_writer *w);
static inline size_t frame_writer_pending(const struct frame_writer *w)
{
    return w->end - w->start;
}

/* One send(2) of what is pending (never SIGPIPE), between frames. Returns 0, also
 * when the socket took only part of it or none (EAGAIN); -1 with errno otherwise. */
int frame_writer_flush(struct frame_writer *w, int fd);

#endif
