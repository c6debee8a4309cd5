/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A blocking loop: read what is there, answer every complete frame, write
 * once. So a batch that the supervisor wrote at once costs two system calls.
 */
#include "worker/serve.h"

#include <errno.h>
#include <malloc.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sysexits.h>
#include <time.h>

#include "common/cage.h"
#include "common/clock.h"
#include "common/fdio.h"
#include "common/log.h"
#include "common/mem.h"
#include "proto/codec.h"
#include "worker/model.h"

/* The supervisor checks the size of model files against its own setting; this
 * only keeps a worker that was started by hand from reading for ever. */
#define MAX_MODEL_BYTES (1024UL * 1024 * 1024)

/* A batch is answered with one write, unless it takes longer than this: answers of a slow model
 * must not wait for those behind them, and silence is taken for hanging. */
#define FLUSH_NS (NS_PER_MS / 5)

struct server {
    int fd;
    struct model *model;
    struct codec *codec;
    struct frame_reader in;
    struct frame_writer out;
    double *outputs; /* WIRE_MAX_ROWS of them */
    double delay_ms;
    int64_t flushed_ns; /* when the last answers were written, or the batch began */
    char cage[CAGE_LEVEL_SIZE];
    int exit_status; /* -1: go on */
};

static struct model *read_model(int fd, struct err *e)
{
    char *text;
    size_t n;
    if (fd_read_file(fd, "the model", MAX_MODEL_BYTES, &text, &n, e) < 0)
        return NULL;
    struct model *m = model_read(text, n, e);
    free(text);
    malloc_trim(0); /* the JSON tree was many times the size of the model */
    return m;
}

static int flush_all(struct server *s)
{
    while (frame_writer_pending(&s->out) > 0)
        if (frame_writer_flush(&s->out, s->fd) < 0)
            return -1;
    return 0;
}

static void sleep_ms(double ms)
{
    int64_t ns = (int64_t)(ms * (double)NS_PER_MS);
    struct timespec t = {.tv_sec = ns / NS_PER_SEC, .tv_nsec = ns % NS_PER_SEC};
    while (nanosleep(&t, &t) < 0 && errno == EINTR)
        continue;
}

static void flush_if_due(struct server *s, int64_t now)
{
    if (s->flushed_ns == 0)
        s->flushed_ns = now;
    if (now - s->flushed_ns < FLUSH_NS)
        return;
    flush_all(s); /* an error shows when the batch ends */
    s->flushed_ns = now;
}

static void on_predict(struct server *s, const struct msg *m)
{
    struct err e;
    int64_t began = clock_mono_ns();
    flush_if_due(s, began);
    size_t expected = model_n_features(s->model) * m->n_rows;
    if (s->delay_ms > 0)
        sleep_ms(s->delay_ms);
    if (m->n_numbers != expected) {
        err_set(&e, "wrong-length", "expected %zu numbers in %u rows, got %zu", expected, m->n_rows,
                m->n_numbers);
        codec_put_fault(&s->out, m->id, e.text);
    } else if (model_predict(s->model, m->numbers, m->n_rows, s->outputs, &e) < 0) {
        codec_put_fault(&s->out, m->id, e.text);
    } else {
        codec_put_result(&s->out, m->id, s->outputs, m->n_rows,
                         (uint64_t)(clock_mono_ns() - began));
    }
}

static void on_delay(struct server *s, const struct msg *m)
{
    s->delay_ms = m->delay_ms;
}

static void on_ping(struct server *s, const struct msg *m)
{
    codec_put_pong(&s->out, m->id);
}

static void on_quit(struct server *s, const struct msg *m)
{
    (void)m;
    s->exit_status = EX_OK;
}

static void (*const handlers[])(struct server *, const struct msg *) = {
    [WIRE_PREDICT] = on_predict,
    [WIRE_DELAY] = on_delay,
    [WIRE_PING] = on_ping,
    [WIRE_QUIT] = on_quit,
};

static void on_payload(struct server *s, const uint8_t *payload, size_t n)
{
    struct msg m;
    struct err e = {0};
    if (codec_decode(s->codec, payload, n, &m, &e) < 0) {
        log_error("the supervisor sent a bad frame: %s", e.text);
        s->exit_status = EX_PROTOCOL;
    } else if (m.type >= sizeof handlers / sizeof handlers[0] || handlers[m.type] == NULL) {
        log_error("the supervisor sent a message of type %d, which only workers send", (int)m.type);
        s->exit_status = EX_PROTOCOL;
    } else {
        handlers[m.type](s, &m);
    }
}

static void answer_complete_frames(struct server *s)
{
    const uint8_t *payload;
    size_t n = 0;
    int more = 1;
    while (s->exit_status < 0 && (more = frame_reader_next(&s->in, &payload, &n)) == 1) {
        on_payload(s, payload, n);
    }
    if (more < 0) {
        log_error("the supervisor announced a frame of %zu bytes; 1 to %d are accepted", n,
                  WIRE_MAX_FRAME_BYTES);
        s->exit_status = EX_PROTOCOL;
    }
}

static int answer_until_quit(struct server *s)
{
    while (s->exit_status < 0) {
        ssize_t n = frame_reader_fill(&s->in, s->fd);
        if (n <= 0)
            return n == 0 || errno == ECONNRESET ? EX_OK : EX_IOERR;
        s->flushed_ns = 0;
        answer_complete_frames(s);
        if (flush_all(s) < 0)
            return errno == EPIPE || errno == ECONNRESET ? EX_OK : EX_IOERR;
    }
    return s->exit_status;
}

static int refuse(struct server *s, const struct err *e)
{
    codec_put_refuse(&s->out, e->text);
    flush_all(s);
    return EX_DATAERR;
}

/* Processor time was limited for the start (supervisor/spawn.h); that is over. */
static void lift_cpu_limit(void)
{
    struct rlimit cpu;
    if (getrlimit(RLIMIT_CPU, &cpu) < 0)
        return;
    cpu.rlim_cur = cpu.rlim_max;
    setrlimit(RLIMIT_CPU, &cpu);
}

int serve(int socket_fd, int model_fd)
{
    struct server s = {.fd = socket_fd, .exit_status = -1};
    struct err e = {0};
    int status;
    frame_reader_init(&s.in, WIRE_MAX_FRAME_BYTES);
    tzset(); /* the log's first line would open a file */
    cage_enter(CAGE_WORKER, s.cage);
    s.model = read_model(model_fd, &e);
    fd_close(&model_fd);
    if (s.model == NULL) {
        status = refuse(&s, &e);
    } else {
        lift_cpu_limit();
        s.codec = codec_new();
        s.outputs = mem_array(WIRE_MAX_ROWS, sizeof *s.outputs);
        codec_put_ready(&s.out, model_kind(s.model), (uint32_t)model_n_features(s.model),
                        model_output_name(s.model), s.cage);
        status = flush_all(&s) < 0 ? EX_OK : answer_until_quit(&s);
    }
    model_free(&s.model);
    codec_free(&s.codec);
    free(s.outputs);
    frame_reader_clear(&s.in);
    frame_writer_clear(&s.out);
    return status;
}
