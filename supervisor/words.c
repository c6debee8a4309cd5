/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Time goes in windows of a second. Lines above a window's ration are dropped
 * and counted; bytes above it stay in the pipe until the next, so that a child
 * that talks all the time waits for us and not we for it.
 */
#include "supervisor/words.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/event.h>

#include "common/clock.h"
#include "common/fdio.h"
#include "common/jsonx.h"
#include "common/log.h"
#include "common/mem.h"

#define READ_BYTES     16384               /* in one turn of the loop */
#define BYTES_A_SECOND (4UL * 1024 * 1024) /* about a hundredth of our time */
#define MAX_REST_READS 16                  /* four times what a pipe holds */
#define CUT            "..."

struct words {
    int fd;
    struct event *on_readable;
    struct event *on_second;
    char who[64];
    char line[WORDS_LINE_BYTES + sizeof CUT]; /* the one that has not ended */
    size_t n_line;                            /* its bytes; above WORDS_LINE_BYTES: it is cut */
    char last[WORDS_LINE_BYTES + sizeof CUT];
    char said[WORDS_LAST_SIZE]; /* for words_last */
    int64_t window_ns;          /* when this second began */
    size_t n_bytes;             /* read in it */
    unsigned n_logged;
    unsigned long n_dropped;
};

/* --- Rations ----------------------------------------------------------------*/

static void tell_dropped(struct words *w)
{
    if (w->n_dropped > 0)
        log_warn("%s: %lu lines more were not logged", w->who, w->n_dropped);
    w->n_dropped = 0;
}

static void begin_window(struct words *w, int64_t now)
{
    tell_dropped(w);
    w->window_ns = now;
    w->n_bytes = 0;
    w->n_logged = 0;
}

static void on_second(evutil_socket_t fd, short what, void *arg)
{
    struct words *w = arg;
    (void)fd, (void)what;
    begin_window(w, clock_mono_ns());
    event_add(w->on_readable, NULL);
}

/* The window's end is needed: for what was dropped, or to go on reading. */
static void await_second(struct words *w)
{
    const struct timeval second = {.tv_sec = 1};
    if (!evtimer_pending(w->on_second, NULL))
        evtimer_add(w->on_second, &second);
}

/* --- Lines ------------------------------------------------------------------*/

static void log_line(struct words *w)
{
    if (w->n_logged >= WORDS_LINES_A_SECOND) {
        w->n_dropped++;
        return;
    }
    w->n_logged++;
    log_info("%s: %s", w->who, w->line);
}

static void end_line(struct words *w)
{
    bool cut = w->n_line > WORDS_LINE_BYTES;
    size_t n = cut ? WORDS_LINE_BYTES : w->n_line;
    while (n > 0 && (w->line[n - 1] == ' ' || w->line[n - 1] == '\t'))
        n--;
    w->n_line = 0;
    if (n == 0)
        return;
    w->line[n] = '\0';
    jsonx_clean_utf8(w->line);
    if (cut)
        memcpy(w->line + n, CUT, sizeof CUT);
    if (w->last[0] == '\0')
        snprintf(w->said, sizeof w->said, "%s", w->line);
    else
        snprintf(w->said, sizeof w->said, "%s | %s", w->last, w->line);
    memcpy(w->last, w->line, sizeof w->last);
    log_line(w);
}

static void take(struct words *w, const char *bytes, size_t n)
{
    int64_t now = clock_mono_ns();
    if (now - w->window_ns >= NS_PER_SEC)
        begin_window(w, now);
    w->n_bytes += n;
    for (size_t i = 0; i < n; i++) {
        if (bytes[i] == '\n' || bytes[i] == '\r')
            end_line(w);
        else if (w->n_line++ < WORDS_LINE_BYTES)
            w->line[w->n_line - 1] = bytes[i] != '\0' ? bytes[i] : '?';
    }
}

/* One read. False when there is nothing to be had, now or ever. */
static bool read_some(struct words *w)
{
    char bytes[READ_BYTES];
    ssize_t n = read(w->fd, bytes, sizeof bytes);
    if (n > 0)
        take(w, bytes, (size_t)n);
    else if (n == 0 || (errno != EAGAIN && errno != EINTR))
        event_del(w->on_readable); /* it closed its ends and lives on */
    return n > 0;
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    struct words *w = arg;
    (void)fd, (void)what;
    read_some(w);
    if (w->n_bytes > BYTES_A_SECOND)
        event_del(w->on_readable);
    if (w->n_bytes > BYTES_A_SECOND || w->n_dropped > 0)
        await_second(w);
}

/* --- For the owner ----------------------------------------------------------*/

struct words *words_new(struct event_base *base, int *write_fd)
{
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) < 0)
        return NULL;
    /* Ours alone: the child's end blocks. */
    fd_set_nonblock(fds[0]);
    struct words *w = mem_alloc(sizeof *w);
    *w = (struct words){.fd = fds[0], .window_ns = clock_mono_ns()};
    w->on_readable = event_new(base, w->fd, EV_READ | EV_PERSIST, on_readable, w);
    w->on_second = evtimer_new(base, on_second, w);
    event_add(w->on_readable, NULL);
    *write_fd = fds[1];
    return w;
}

void words_set_who(struct words *w, const char *who)
{
    snprintf(w->who, sizeof w->who, "%s", who);
}

void words_read_rest(struct words *w)
{
    for (int i = 0; i < MAX_REST_READS && read_some(w); i++)
        continue;
    end_line(w);
    tell_dropped(w);
    event_del(w->on_readable);
    event_del(w->on_second);
}

const char *words_last(const struct words *w)
{
    return w->said;
}

void words_free(struct words **handle)
{
    struct words *w = *handle;
    if (w == NULL)
        return;
    *handle = NULL;
    event_free(w->on_readable);
    event_free(w->on_second);
    fd_close(&w->fd);
    free(w);
}
