/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Length-prefixed frames; see frame.h.
 */
#include "proto/frame.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "common/mem.h"

#define FIRST_SIZE 4096
/* Read at least so much at a time: a batch of answers in one call. */
#define READ_BYTES 16384

void frame_reader_init(struct frame_reader *r, size_t max_payload)
{
    *r = (struct frame_reader){.max_payload = max_payload};
}

void frame_reader_clear(struct frame_reader *r)
{
    free(r->bytes);
    frame_reader_init(r, r->max_payload);
}

static uint32_t payload_length(const struct frame_reader *r)
{
    uint32_t big_endian;
    memcpy(&big_endian, r->bytes + r->start, sizeof big_endian);
    return ntohl(big_endian);
}

/* How many bytes more the frame at the front wants, READ_BYTES at least. The
 * length prefix was checked by frame_reader_next before we get here. */
static size_t bytes_wanted(const struct frame_reader *r)
{
    size_t have = r->end - r->start;
    size_t want = READ_BYTES;
    if (have >= FRAME_HEADER_BYTES) {
        size_t frame = FRAME_HEADER_BYTES + (size_t)payload_length(r);
        if (frame > have && frame - have > want && frame <= r->max_payload + FRAME_HEADER_BYTES)
            want = frame - have;
    }
    return want;
}

static void make_room(struct frame_reader *r, size_t room)
{
    if (r->start == r->end)
        r->start = r->end = 0;
    if (r->size - r->end >= room)
        return;
    if (r->start > 0) {
        memmove(r->bytes, r->bytes + r->start, r->end - r->start);
        r->end -= r->start;
        r->start = 0;
    }
    if (r->size - r->end < room) {
        r->size = r->end + room;
        r->bytes = mem_resize(r->bytes, r->size, 1);
    }
}

ssize_t frame_reader_fill(struct frame_reader *r, int fd)
{
    ssize_t n;
    make_room(r, bytes_wanted(r));
    do
        n = recv(fd, r->bytes + r->end, r->size - r->end, 0);
    while (n < 0 && errno == EINTR);
    if (n > 0)
        r->end += (size_t)n;
    return n;
}

int frame_reader_next(struct frame_reader *r, const uint8_t **payload, size_t *n)
{
    size_t have = r->end - r->start;
    if (have < FRAME_HEADER_BYTES)
        return 0;
    *n = payload_length(r);
    if (*n == 0 || *n > r->max_payload)
        return -1;
    if (have - FRAME_HEADER_BYTES < *n)
        return 0;
    *payload = r->bytes + r->start + FRAME_HEADER_BYTES;
    r->start += FRAME_HEADER_BYTES + *n;
    return 1;
}

void frame_writer_clear(struct frame_writer *w)
{
    free(w->bytes);
    *w = (struct frame_writer){0};
}

void frame_append(struct frame_writer *w, const void *bytes, size_t n)
{
    if (w->size - w->end < n) {
        size_t size = w->size < FIRST_SIZE ? FIRST_SIZE : w->size;
        while (size - w->end < n)
            size *= 2;
        w->bytes = mem_resize(w->bytes, size, 1);
        w->size = size;
    }
    memcpy(w->bytes + w->end, bytes, n);
    w->end += n;
}

void frame_begin(struct frame_writer *w)
{
    static const uint8_t no_length[FRAME_HEADER_BYTES];
    w->frame = w->end;
    frame_append(w, no_length, sizeof no_length);
}

void frame_end(struct frame_writer *w)
{
    size_t n = w->end - w->frame - FRAME_HEADER_BYTES;
    assert(n <= UINT32_MAX);
    uint32_t big_endian = htonl((uint32_t)n);
    memcpy(w->bytes + w->frame, &big_endian, sizeof big_endian);
}

/* Gives the place of sent bytes back. Moves no more bytes than were sent since
 * the last move, so a byte is moved once on average. */
static void reclaim_sent(struct frame_writer *w)
{
    size_t n = w->end - w->start;
    if (n > w->start)
        return;
    memmove(w->bytes, w->bytes + w->start, n);
    w->start = 0;
    w->end = n;
}

int frame_writer_flush(struct frame_writer *w, int fd)
{
    ssize_t n;
    if (w->start == w->end)
        return 0;
    do
        n = send(fd, w->bytes + w->start, w->end - w->start, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return errno == EAGAIN || errno == EWOULDBLOCK ? 0 : -1;
    w->start += (size_t)n;
    reclaim_sent(w);
    return 0;
}
