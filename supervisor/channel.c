/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A call's id is a slot of the table and a random part, so an answer finds its
 * call in O(1) and a made-up id finds none. A slot whose call timed out stays
 * taken until the late answer comes or the channel ends: the worker owes it.
 */
#include "supervisor/channel.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include <event2/event.h>

#include "common/clock.h"
#include "common/fdio.h"
#include "common/mem.h"
#include "common/rng.h"
#include "proto/frame.h"
#include "supervisor/line.h"
#include "supervisor/settings.h"

#define FIRST_SLOTS 64
#define SLOT_BITS   24 /* of an id; the other bits are random */

_Static_assert(CHANNEL_MAX_LATE + SETTINGS_MAX_IN_FLIGHT < 1 << SLOT_BITS,
               "what waits and what is late has slots");

#define TEXT_OF(macro) #macro
#define TEXT(macro)    TEXT_OF(macro)

/* Bytes that may wait for a worker. Above the first it must at least be taking
 * some (channel_stuck_since); the second is what memory we risk for it. */
#define CROWDED_BYTES   (8UL * 1024 * 1024)
#define MAX_QUEUE_BYTES (256UL * 1024 * 1024)

/* Reads that empty a socket buffer of any usual size: a worker that goes on
 * talking cannot hold us in channel_read_rest. */
#define MAX_REST_READS 256

enum call_state { CALL_FREE, CALL_WAITING, CALL_EXPIRED };

struct call {
    enum call_state state;
    uint64_t id;
    uint32_t n_rows;
    int64_t start_ns;
    int64_t deadline_ns;
    call_done *done;
    void *arg;
    uint32_t earlier, later; /* neighbours in the list by deadline; 0 ends it */
    uint32_t next_free;
};

struct channel {
    int fd;
    const struct lines *lines;
    struct line_place to_read;
    struct line_place to_write;
    struct channel_listener listener;
    struct codec *codec;
    struct frame_reader in;
    struct frame_writer out;
    struct event *on_readable;
    struct event *on_writable;
    struct event *on_deadline;
    struct rng rng;
    struct call *calls; /* slot 0 is the list's head: its .later is the first */
    uint32_t n_slots;
    uint32_t first_free;
    size_t n_waiting;
    size_t n_owed; /* answers, a PONG included */
    int64_t quiet_since_ns;
    int64_t heard_ns;       /* the last complete message, or our birth */
    int64_t frame_since_ns; /* when the frame that is not complete began; or 0 */
    int64_t stuck_since_ns; /* since when it has taken no byte of the queue; or 0 */
    uint64_t ping_id;       /* of the PING without a PONG; or 0 */
    int64_t timer_ns;       /* what on_deadline is set for; INT64_MAX: it is not set */
    bool broken;
};

static void grow_slots(struct channel *c)
{
    uint32_t old = c->n_slots;
    uint32_t n = old == 0 ? FIRST_SLOTS : old * 2;
    assert(n <= UINT32_C(1) << SLOT_BITS);
    c->calls = mem_resize(c->calls, n, sizeof *c->calls);
    memset(c->calls + old, 0, (n - old) * sizeof *c->calls);
    for (uint32_t i = n - 1; i >= old && i > 0; i--) {
        c->calls[i].next_free = c->first_free;
        c->first_free = i;
    }
    c->n_slots = n;
}

/* Puts slot i into the list by deadline, from the end: deadlines mostly grow. */
static void link_by_deadline(struct channel *c, uint32_t i)
{
    uint32_t before = c->calls[0].earlier;
    while (before != 0 && c->calls[before].deadline_ns > c->calls[i].deadline_ns)
        before = c->calls[before].earlier;
    uint32_t after = c->calls[before].later;
    c->calls[i].earlier = before;
    c->calls[i].later = after;
    c->calls[before].later = i;
    c->calls[after].earlier = i;
}

static void unlink_call(struct channel *c, uint32_t i)
{
    c->calls[c->calls[i].earlier].later = c->calls[i].later;
    c->calls[c->calls[i].later].earlier = c->calls[i].earlier;
}

/* The timer may fire too early, when its call was answered meanwhile: that
 * costs less than moving it with every call. It never fires too late. */
static void arm_deadline(struct channel *c)
{
    uint32_t first = c->calls[0].later;
    if (first == 0 || c->calls[first].deadline_ns >= c->timer_ns)
        return;
    c->timer_ns = c->calls[first].deadline_ns;
    struct timeval t = clock_until(c->timer_ns);
    evtimer_add(c->on_deadline, &t);
}

static void schedule_flush(struct channel *c)
{
    /* After the callbacks that are due in this turn: one write for all. */
    line_wait(c->lines->writes, &c->to_write);
}

/* Takes the call out of the waiting ones and reports it. */
static void complete(struct channel *c, uint32_t i, struct call_result *result)
{
    struct call *call = &c->calls[i];
    call_done *done = call->done;
    void *arg = call->arg;
    result->start_ns = call->start_ns;
    unlink_call(c, i);
    c->n_waiting--;
    call->state = CALL_EXPIRED;
    done(arg, result); /* may grow the table: call is stale from here */
    c->listener.call_ended(c->listener.arg);
}

/* One answer more, or one less, is due from the worker. */
static void owe(struct channel *c, int64_t now)
{
    if (c->n_owed++ == 0)
        c->quiet_since_ns = now;
}

static void settle(struct channel *c, int64_t now)
{
    c->n_owed--;
    c->quiet_since_ns = now;
}

static void release_slot(struct channel *c, uint32_t i)
{
    c->calls[i].state = CALL_FREE;
    c->calls[i].next_free = c->first_free;
    c->first_free = i;
}

static void break_off(struct channel *c, const char *text)
{
    c->broken = true;
    event_del(c->on_readable);
    event_del(c->on_writable);
    c->listener.broken(c->listener.arg, text);
}

/* The slot of an id that is owed an answer, or 0. */
static uint32_t find_slot(const struct channel *c, uint64_t id)
{
    uint32_t i = (uint32_t)(id & ((UINT64_C(1) << SLOT_BITS) - 1));
    if (i == 0 || i >= c->n_slots || c->calls[i].state == CALL_FREE || c->calls[i].id != id)
        return 0;
    return i;
}

static void on_answer(struct channel *c, const struct msg *m, int64_t now)
{
    uint32_t i = find_slot(c, m->id);
    if (i == 0) {
        break_off(c, "it answered a call that nobody made");
        return;
    }
    if (m->type == WIRE_RESULT && m->n_numbers != c->calls[i].n_rows) {
        break_off(c, "it answered with fewer or more outputs than rows");
        return;
    }
    bool waiting = c->calls[i].state == CALL_WAITING;
    struct call_result result = {
        .outcome = m->type == WIRE_RESULT ? CALL_OK : CALL_FAULT,
        .round_trip_ns = now - c->calls[i].start_ns,
        .service_ns = m->service_ns < INT64_MAX ? (int64_t)m->service_ns : INT64_MAX,
        .outputs = m->numbers,
        .n_outputs = m->n_numbers,
        .text = m->text,
    };
    settle(c, now);
    if (waiting)
        complete(c, i, &result);
    release_slot(c, i);
}

static void on_pong(struct channel *c, const struct msg *m, int64_t now)
{
    if (c->ping_id == 0 || m->id != c->ping_id) {
        break_off(c, c->ping_id == 0 ? "it sent a PONG that nobody asked for"
                                     : "its PONG has not the id of our PING");
        return;
    }
    c->ping_id = 0;
    settle(c, now);
}

static void on_payload(struct channel *c, const uint8_t *payload, size_t n, int64_t now)
{
    struct msg m;
    struct err e = {0};
    c->heard_ns = now;
    if (codec_decode(c->codec, payload, n, &m, &e) < 0)
        break_off(c, e.text);
    else if (m.type == WIRE_RESULT || m.type == WIRE_FAULT)
        on_answer(c, &m, now);
    else if (m.type == WIRE_PONG)
        on_pong(c, &m, now);
    else if (m.type == WIRE_READY || m.type == WIRE_REFUSE)
        c->listener.message(c->listener.arg, &m);
    else
        break_off(c, "it sent a message that only the supervisor sends");
}

/* A frame that began stays known from its first byte to its last. */
static void note_frame(struct channel *c, bool any_complete, int64_t now)
{
    if (frame_reader_pending(&c->in) == 0)
        c->frame_since_ns = 0;
    else if (any_complete || c->frame_since_ns == 0)
        c->frame_since_ns = now;
}

/* Reads once and handles every complete frame. False when nothing was there,
 * or never will be again. */
static bool read_frames(struct channel *c)
{
    const uint8_t *payload;
    size_t size;
    int more = 0;
    ssize_t n = frame_reader_fill(&c->in, c->fd);
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
        return false;
    if (n <= 0) {
        break_off(c, n == 0 ? "it closed its socket" : strerror(errno));
        return false;
    }
    int64_t now = clock_mono_ns(); /* one reading for the batch: they arrived together */
    bool any_complete = false;
    while (!c->broken && (more = frame_reader_next(&c->in, &payload, &size)) == 1) {
        any_complete = true;
        on_payload(c, payload, size, now);
    }
    note_frame(c, any_complete, now);
    if (!c->broken && more < 0)
        break_off(c, "it announced a frame of 0 bytes or more than the limit");
    return !c->broken;
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    struct channel *c = arg;
    (void)fd, (void)what;
    line_wait(c->lines->reads, &c->to_read);
}

static void read_in_turn(struct line_place *place)
{
    struct channel *c = (struct channel *)((char *)place - offsetof(struct channel, to_read));
    if (!c->broken)
        read_frames(c);
}

void channel_read_rest(struct channel *c)
{
    for (int i = 0; i < MAX_REST_READS && !c->broken && read_frames(c); i++)
        continue;
}

static void note_queue(struct channel *c, size_t n_before)
{
    size_t n = frame_writer_pending(&c->out);
    if (n == 0)
        c->stuck_since_ns = 0;
    else if (n < n_before || c->stuck_since_ns == 0)
        c->stuck_since_ns = clock_mono_ns();
    if (n > MAX_QUEUE_BYTES)
        break_off(c, "it reads too slowly: more than 256 MiB waited for it");
    else if (n > 0)
        event_add(c->on_writable, NULL);
}

static void flush(struct channel *c)
{
    size_t n = frame_writer_pending(&c->out);
    if (c->broken)
        return;
    if (frame_writer_flush(&c->out, c->fd) < 0) {
        channel_read_rest(c); /* its last words: answers, a reason */
        if (!c->broken)
            break_off(c, "it closed its socket");
        return;
    }
    note_queue(c, n);
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    flush(arg);
}

static void write_in_turn(struct line_place *place)
{
    flush((struct channel *)((char *)place - offsetof(struct channel, to_write)));
}

static void on_deadline(evutil_socket_t fd, short what, void *arg)
{
    struct channel *c = arg;
    int64_t now = clock_mono_ns();
    (void)fd, (void)what;
    c->timer_ns = INT64_MAX;
    for (;;) {
        uint32_t first = c->calls[0].later;
        if (first == 0 || c->calls[first].deadline_ns > now)
            break;
        struct call_result result = {.outcome = CALL_TIMEOUT};
        complete(c, first, &result);
    }
    arm_deadline(c);
    if (!c->broken && c->n_owed - c->n_waiting > CHANNEL_MAX_LATE)
        break_off(c, "it owes more than " TEXT(CHANNEL_MAX_LATE) " answers that nobody waits for");
}

struct channel *channel_new(struct event_base *base, int fd, const struct lines *lines,
                            const struct channel_listener *listener)
{
    struct channel *c = mem_alloc(sizeof *c);
    *c = (struct channel){.fd = fd,
                          .lines = lines,
                          .to_read.serve = read_in_turn,
                          .to_write.serve = write_in_turn,
                          .listener = *listener,
                          .codec = codec_new(),
                          .timer_ns = INT64_MAX};
    c->heard_ns = clock_mono_ns();
    frame_reader_init(&c->in, WIRE_MAX_ANSWER_BYTES);
    rng_seed_from_system(&c->rng);
    grow_slots(c);
    c->on_readable = event_new(base, fd, EV_READ | EV_PERSIST, on_readable, c);
    c->on_writable = event_new(base, fd, EV_WRITE, on_writable, c);
    c->on_deadline = evtimer_new(base, on_deadline, c);
    event_add(c->on_readable, NULL);
    return c;
}

static void lose_calls(struct channel *c)
{
    size_t n_owed = c->n_owed;
    while (c->calls[0].later != 0) {
        struct call_result result = {.outcome = CALL_LOST, .n_owed = n_owed};
        complete(c, c->calls[0].later, &result);
    }
}

void channel_free(struct channel **handle)
{
    struct channel *c = *handle;
    if (c == NULL)
        return;
    *handle = NULL;
    c->broken = true;
    lose_calls(c);
    event_free(c->on_readable);
    event_free(c->on_writable);
    line_leave(c->lines->reads, &c->to_read);
    line_leave(c->lines->writes, &c->to_write);
    event_free(c->on_deadline);
    codec_free(&c->codec);
    frame_reader_clear(&c->in);
    frame_writer_clear(&c->out);
    fd_close(&c->fd);
    free(c->calls);
    free(c);
}

void channel_predict(struct channel *c, const double *features, size_t n, uint32_t n_rows,
                     int64_t deadline_ns, call_done *done, void *arg)
{
    if (c->first_free == 0)
        grow_slots(c);
    uint32_t i = c->first_free;
    struct call *call = &c->calls[i];
    c->first_free = call->next_free;
    *call = (struct call){.state = CALL_WAITING,
                          .id = (rng_next(&c->rng) << SLOT_BITS) | i,
                          .n_rows = n_rows,
                          .start_ns = clock_mono_ns(),
                          .deadline_ns = deadline_ns,
                          .done = done,
                          .arg = arg};
    owe(c, call->start_ns);
    c->n_waiting++;
    link_by_deadline(c, i);
    arm_deadline(c);
    if (c->broken)
        return; /* its owner frees it on the next turn: LOST then */
    codec_put_predict(&c->out, call->id, n_rows, features, n);
    schedule_flush(c);
}

void channel_delay(struct channel *c, double ms)
{
    codec_put_delay(&c->out, ms);
    schedule_flush(c);
}

void channel_ping(struct channel *c)
{
    if (c->broken || c->ping_id != 0)
        return;
    c->ping_id = rng_next(&c->rng) | 1; /* 0 means none */
    owe(c, clock_mono_ns());
    codec_put_ping(&c->out, c->ping_id);
    schedule_flush(c);
}

void channel_quit(struct channel *c)
{
    codec_put_quit(&c->out);
    schedule_flush(c);
}

size_t channel_n_in_flight(const struct channel *c)
{
    return c->n_waiting;
}

size_t channel_n_owed(const struct channel *c)
{
    return c->n_owed;
}

int64_t channel_silent_since(const struct channel *c)
{
    return c->n_owed > 0 ? c->quiet_since_ns : 0;
}

int64_t channel_heard(const struct channel *c)
{
    return c->heard_ns;
}

int64_t channel_frame_since(const struct channel *c)
{
    return c->frame_since_ns;
}

int64_t channel_stuck_since(const struct channel *c)
{
    return frame_writer_pending(&c->out) > CROWDED_BYTES ? c->stuck_since_ns : 0;
}
