/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A stream of bytes as a worker would send it, in pieces of any length: the
 * reader splits it into frames, the codec reads each. The first byte is the
 * length of the pieces.
 */
#include <sys/socket.h>
#include <unistd.h>

#include "common/fdio.h"
#include "proto/codec.h"
#include "tests/fuzz/fuzz.h"

#define MAX_PAYLOAD 4096

static int take_frames(struct frame_reader *r, struct codec *c)
{
    const uint8_t *payload;
    struct msg m;
    size_t n;
    int more;
    while ((more = frame_reader_next(r, &payload, &n)) == 1) {
        MUST(n >= 1 && n <= MAX_PAYLOAD);
        codec_decode(c, payload, n, &m, NULL);
    }
    return more;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct frame_reader r;
    struct codec *c = codec_new();
    int fds[2];
    size_t piece = n > 0 ? (size_t)data[0] + 1 : 1;
    MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
    frame_reader_init(&r, MAX_PAYLOAD);
    for (size_t at = 1; at < n; at += piece) {
        size_t part = n - at < piece ? n - at : piece;
        MUST(fd_write_all(fds[1], data + at, part) == 0);
        MUST(frame_reader_fill(&r, fds[0]) > 0);
        if (take_frames(&r, c) < 0)
            break;
    }
    frame_reader_clear(&r);
    codec_free(&c);
    close(fds[0]);
    close(fds[1]);
    return 0;
}
