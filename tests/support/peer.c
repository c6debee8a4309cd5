/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * See peer.h.
 */
#include "tests/support/peer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "common/fdio.h"

#define SERVICE_NS 1234

void peer_open(struct peer *p, int fd)
{
    memset(p, 0, sizeof *p);
    p->fd = fd;
    p->codec = codec_new();
    frame_reader_init(&p->in, WIRE_MAX_FRAME_BYTES);
    assert_int_equal(fd_set_nonblock(fd), 0);
}

void peer_close(struct peer *p)
{
    codec_free(&p->codec);
    frame_reader_clear(&p->in);
    frame_writer_clear(&p->out);
    fd_close(&p->fd);
}

static void take_message(struct peer *p, const uint8_t *payload, size_t n)
{
    struct msg m;
    struct err e = {0};
    if (codec_decode(p->codec, payload, n, &m, &e) < 0)
        fail_msg("the supervisor sent: %s", e.text);
    p->n_delays += m.type == WIRE_DELAY;
    p->n_quits += m.type == WIRE_QUIT;
    p->n_pings += m.type == WIRE_PING;
    if (m.type == WIRE_PING)
        p->ping = m.id;
    if (m.type != WIRE_PREDICT)
        return;
    assert_true(p->n_asked < PEER_MAX_ASKED);
    p->asked[p->n_asked] = m.id;
    p->first[p->n_asked++] = m.numbers[0];
}

size_t peer_read(struct peer *p)
{
    const uint8_t *payload;
    size_t n;
    size_t n_frames = 0;
    while (frame_reader_fill(&p->in, p->fd) > 0) {
        p->n_reads++;
        int more;
        while ((more = frame_reader_next(&p->in, &payload, &n)) == 1) {
            take_message(p, payload, n);
            n_frames++;
        }
        assert_int_equal(more, 0);
    }
    return n_frames;
}

void peer_send(struct peer *p)
{
    while (frame_writer_pending(&p->out) > 0)
        assert_int_equal(frame_writer_flush(&p->out, p->fd), 0);
}

void peer_answer(struct peer *p, uint64_t id, double output)
{
    codec_put_result(&p->out, id, &output, 1, SERVICE_NS);
    peer_send(p);
}
