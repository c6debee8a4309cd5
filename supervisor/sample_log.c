/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Calls end in any order, and a line is written when all before it have: draws
 * stand in a ring until then. See sample_log.h.
 */
#include "supervisor/sample_log.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <event2/event.h>

#include "common/clock.h"
#include "common/fdio.h"
#include "common/log.h"
#include "common/mem.h"
#include "supervisor/chores.h"

#define CHUNK_BYTES 32768              /* handed over at once */
#define CHUNK_MS    250                /* or when the oldest line is so old */
#define LINE_BYTES  160                /* room for one line */
#define MAX_PENDING (16 * 1024 * 1024) /* bytes that may wait for a disk */
#define FIRST_RING  1024               /* a power of two */

/* The helper thread's, from chore to chore; the last one frees it. */
struct file {
    char *path;
    bool goes_on;
    int fd; /* -1: not opened yet, or it failed */
    int error;
};

struct chunk {
    struct sample_log *log;
    struct file *file;
    uint64_t deployment; /* of the log, when this was handed over */
    int error;           /* of this write or of one before, once it was tried */
    size_t n;
    char text[CHUNK_BYTES + 2 * LINE_BYTES]; /* a line, perhaps below a header */
};

struct draw {
    enum arm arm;
    bool ended;
    bool begins_segment;
    bool ends_group;
    int64_t time_ns;
    struct rule_sample sample;
};

struct sample_log {
    struct chores *chores;
    struct event *on_age;
    struct file *file; /* NULL: nothing is logged */
    uint64_t deployment;
    int64_t start_ns;
    bool segment_is_due; /* the next draw begins one */
    struct draw *ring;
    size_t n_ring;
    uint64_t first, next; /* places of the oldest draw in it, and of the next one */
    struct chunk *chunk;  /* being filled; NULL: empty */
    size_t n_pending;     /* chunks with the helper thread */
};

static const char header[] = "arm,time_ms,round_trip_ms,service_ms,outcome,stalled,group_end\n";

/* --- The helper thread ------------------------------------------------------*/

/* Takes off what follows the last whole line: a crash may have torn it. A file
 * that cannot be read and cut, such as a pipe, is left as it is. */
static int cut_torn_line(int fd)
{
    char text[LINE_BYTES];
    struct stat st;
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
        return 0;
    off_t from = st.st_size > LINE_BYTES ? st.st_size - LINE_BYTES : 0;
    ssize_t n = pread(fd, text, sizeof text, from);
    const char *end = n > 0 ? memrchr(text, '\n', (size_t)n) : NULL;
    if (n <= 0 || (end == NULL && from > 0)) /* that is no file of ours */
        return (int)n;
    return ftruncate(fd, end != NULL ? from + (end - text) + 1 : 0);
}

static int open_file(struct file *f)
{
    int flags = O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK;
    f->fd = open(f->path, f->goes_on ? flags | O_RDWR : flags | O_WRONLY | O_TRUNC, 0640);
    if (f->fd < 0 || (f->goes_on && cut_torn_line(f->fd) < 0))
        return -1;
    return fd_write_all(f->fd, header, sizeof header - 1);
}

static void write_chunk(void *arg)
{
    struct chunk *c = arg;
    struct file *f = c->file;
    if (f->error == 0 &&
        ((f->fd < 0 && open_file(f) < 0) || fd_write_all(f->fd, c->text, c->n) < 0))
        f->error = errno;
    c->error = f->error;
}

static void close_file(void *arg)
{
    struct file *f = arg;
    fd_close(&f->fd);
    free(f->path);
    free(f);
}

/* --- Handing over -----------------------------------------------------------*/

static void stop(struct sample_log *log)
{
    if (log->file != NULL)
        chores_add(log->chores, close_file, NULL, log->file);
    log->file = NULL;
    free(log->chunk);
    log->chunk = NULL;
    event_del(log->on_age);
}

static void on_chunk_written(void *arg)
{
    struct chunk *c = arg;
    struct sample_log *log = c->log;
    log->n_pending--;
    if (log->file == c->file && log->deployment == c->deployment && c->error != 0) {
        log_warn("sample_log: %s: %s; this deployment's samples are logged no more", c->file->path,
                 strerror(c->error));
        stop(log);
    }
    free(c);
}

static void hand_over(struct sample_log *log)
{
    struct chunk *c = log->chunk;
    if (c == NULL)
        return;
    if (log->n_pending >= MAX_PENDING / CHUNK_BYTES) {
        log_warn("sample_log: %s: the disk is too slow; this deployment's samples are logged no "
                 "more",
                 log->file->path);
        stop(log);
        return;
    }
    log->chunk = NULL;
    log->n_pending++;
    event_del(log->on_age);
    chores_add(log->chores, write_chunk, on_chunk_written, c);
}

static void on_age(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    hand_over(arg);
}

/* --- Lines ------------------------------------------------------------------*/

static struct draw *draw_at(const struct sample_log *log, uint64_t place)
{
    return &log->ring[place & (log->n_ring - 1)];
}

/* Milliseconds with every nanosecond, and a comma. */
static size_t print_ms(char *out, size_t size, bool has, uint64_t ns)
{
    if (!has)
        return (size_t)snprintf(out, size, ",");
    return (size_t)snprintf(out, size, "%" PRIu64 ".%06" PRIu64 ",", ns / NS_PER_MS,
                            ns % NS_PER_MS);
}

static void print_line(struct sample_log *log, const struct draw *d)
{
    const struct rule_sample *s = &d->sample;
    struct chunk *c = log->chunk;
    if (d->begins_segment) {
        memcpy(c->text + c->n, header, sizeof header - 1);
        c->n += sizeof header - 1;
    }
    char *out = c->text + c->n;
    bool ok = s->outcome == OUTCOME_OK;
    size_t n = (size_t)snprintf(out, LINE_BYTES, "%s,", arm_name(d->arm));
    n += print_ms(out + n, LINE_BYTES - n, true, (uint64_t)d->time_ns);
    n += print_ms(out + n, LINE_BYTES - n, ok, s->round_trip_ns);
    n += print_ms(out + n, LINE_BYTES - n, ok && s->has_service, s->service_ns);
    n += (size_t)snprintf(out + n, LINE_BYTES - n, "%s,%d,%d\n", outcome_name(s->outcome),
                          s->stalled, d->ends_group);
    assert(n < LINE_BYTES);
    c->n += n;
}

static void begin_chunk(struct sample_log *log)
{
    const struct timeval t = clock_span(CHUNK_MS);
    log->chunk = mem_alloc(sizeof *log->chunk);
    log->chunk->log = log;
    log->chunk->file = log->file;
    log->chunk->deployment = log->deployment;
    log->chunk->n = 0;
    evtimer_add(log->on_age, &t);
}

static void print_ended(struct sample_log *log)
{
    while (log->file != NULL && log->first < log->next && draw_at(log, log->first)->ended) {
        if (log->chunk == NULL)
            begin_chunk(log);
        print_line(log, draw_at(log, log->first++));
        if (log->chunk->n >= CHUNK_BYTES)
            hand_over(log);
    }
}

/* --- For the owner ----------------------------------------------------------*/

struct sample_log *sample_log_new(struct event_base *base, struct chores *chores)
{
    struct sample_log *log = mem_alloc(sizeof *log);
    log->chores = chores;
    log->on_age = evtimer_new(base, on_age, log);
    log->first = log->next = 1;
    return log;
}

void sample_log_free(struct sample_log **handle)
{
    struct sample_log *log = *handle;
    if (log == NULL)
        return;
    *handle = NULL;
    assert(log->file == NULL && log->n_pending == 0);
    event_free(log->on_age);
    free(log->ring);
    free(log);
}

void sample_log_begin(struct sample_log *log, const char *path, bool goes_on, int64_t start_ns)
{
    sample_log_end(log);
    log->deployment++;
    log->start_ns = start_ns;
    log->segment_is_due = false; /* open_file writes the first header */
    if (path[0] == '\0')
        return;
    log->file = mem_alloc(sizeof *log->file);
    *log->file = (struct file){.path = mem_strdup(path), .goes_on = goes_on, .fd = -1};
    begin_chunk(log); /* so that the file is there before the first samples are */
}

void sample_log_open_share(struct sample_log *log, int64_t now_ns)
{
    log->start_ns = now_ns;
    log->segment_is_due = true;
}

void sample_log_end(struct sample_log *log)
{
    hand_over(log);
    stop(log);
    log->first = log->next;
}

static void grow(struct sample_log *log)
{
    size_t n = log->n_ring == 0 ? FIRST_RING : log->n_ring * 2;
    struct draw *ring = mem_array(n, sizeof *ring);
    for (uint64_t place = log->first; place < log->next; place++)
        ring[place & (n - 1)] = *draw_at(log, place);
    free(log->ring);
    log->ring = ring;
    log->n_ring = n;
}

uint64_t sample_log_draw(struct sample_log *log, enum arm arm, bool ends_group, int64_t now_ns)
{
    if (log->file == NULL)
        return 0;
    if (log->next - log->first >= log->n_ring)
        grow(log);
    *draw_at(log, log->next) = (struct draw){.arm = arm,
                                             .begins_segment = log->segment_is_due,
                                             .ends_group = ends_group,
                                             .time_ns = now_ns - log->start_ns};
    log->segment_is_due = false;
    return log->next++;
}

void sample_log_end_call(struct sample_log *log, uint64_t place, const struct rule_sample *sample)
{
    if (place < log->first || place >= log->next)
        return;
    draw_at(log, place)->sample = *sample;
    draw_at(log, place)->ended = true;
    if (place == log->first)
        print_ended(log);
}
