/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A worker by docs/protocol.md whose model takes as long as is wished: the model's
 * bytes are a number of microseconds. It sleeps but for the end, as if it had a
 * core of its own. Started by canaryd as worker_program, for `make growth`.
 */
#include <stdlib.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "proto/codec.h"

#define N_FEATURES  5
#define SLEEP_SLACK (NS_PER_MS / 10) /* what a sleep may last longer; spent awake */

struct worker {
    struct codec *codec;
    struct frame_reader in;
    struct frame_writer out;
    int64_t work_ns;
};

static void work(int64_t ns)
{
    int64_t end = clock_mono_ns() + ns;
    if (ns > SLEEP_SLACK) {
        const struct timespec t = {.tv_sec = (end - SLEEP_SLACK) / NS_PER_SEC,
                                   .tv_nsec = (end - SLEEP_SLACK) % NS_PER_SEC};
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
    }
    while (clock_mono_ns() < end)
        continue;
}

static void flush_all(struct worker *w)
{
    while (frame_writer_pending(&w->out) > 0)
        if (frame_writer_flush(&w->out, WIRE_SOCKET_FD) < 0)
            exit(0);
}

static void on_message(struct worker *w, const struct msg *m)
{
    static const double output = 0.5;
    if (m->type == WIRE_QUIT)
        exit(0);
    if (m->type == WIRE_PING)
        codec_put_pong(&w->out, m->id);
    if (m->type == WIRE_PREDICT) {
        work(w->work_ns);
        codec_put_result(&w->out, m->id, &output, 1, (uint64_t)w->work_ns);
    }
    if (w->work_ns > SLEEP_SLACK) /* who waits that long for the next one is answered at once */
        flush_all(w);
}

int main(void)
{
    struct worker w = {.codec = codec_new()};
    struct msg m;
    struct err e;
    char text[32] = "";
    const uint8_t *payload;
    size_t n;
    if (pread(WIRE_MODEL_FD, text, sizeof text - 1, 0) < 0)
        return 1;
    w.work_ns = (int64_t)(strtod(text, NULL) * 1e3);
    prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL);
    frame_reader_init(&w.in, WIRE_MAX_FRAME_BYTES);
    codec_put_ready(&w.out, "bench", N_FEATURES, "bench", "full");
    flush_all(&w);
    while (frame_reader_fill(&w.in, WIRE_SOCKET_FD) > 0) {
        while (frame_reader_next(&w.in, &payload, &n) == 1)
            if (codec_decode(w.codec, payload, n, &m, &e) == 0)
                on_message(&w, &m);
        flush_all(&w);
    }
    return 0;
}
