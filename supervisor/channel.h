/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Calls over one worker's socket: many in flight, each with its own deadline,
 * each completed exactly once. Frames that go out in one turn of the loop leave
 * in one write. Knows nothing of processes; its owner hears of everything that
 * is not the answer to a call.
 */
#ifndef CANARYD_CHANNEL_H
#define CANARYD_CHANNEL_H

#include <stddef.h>
#include <stdint.h>

#include "proto/codec.h"

struct event_base;
struct channel;
struct lines;

/* Answers that a worker may owe after their calls timed out; one more breaks
 * the protocol. Each keeps its slot, about 70 bytes, until it comes, and a
 * worker that answers now and then never hangs. */
#define CHANNEL_MAX_LATE 65536

/* How a call ended. */
enum call_outcome {
    CALL_OK,      /* an answer */
    CALL_FAULT,   /* the worker says that it can't answer this one */
    CALL_TIMEOUT, /* no answer by the call's deadline */
    CALL_LOST,    /* the channel was closed first */
    N_CALL_OUTCOMES
};

struct call_result {
    enum call_outcome outcome;
    int64_t start_ns;      /* monotonic, when the call was made */
    int64_t round_trip_ns; /* until its answer was read; OK only */
    int64_t service_ns;    /* the worker's own figure; OK only */
    const double *outputs; /* n_outputs of them, borrowed during the callback; OK only */
    size_t n_outputs;
    const char *text; /* FAULT: the worker's words */
    size_t n_owed;    /* LOST: answers that the worker owed at its end, this one included */
};

typedef void call_done(void *arg, const struct call_result *result);

struct channel_listener {
    /* A message other than an answer: READY, REFUSE. */
    void (*message)(void *arg, const struct msg *m);
    /* The worker closed its end, or broke the protocol (text says how). The
     * owner frees the channel on a later turn of the loop, never from
     * inside this call; nothing more is read from it. */
    void (*broken)(void *arg, const char *text);
    /* A call in flight has ended, in whatever way. */
    void (*call_ended)(void *arg);
    void *arg;
};

/* Takes the descriptor (non-blocking). lines: where it stands with the other
 * workers to be read and written; borrowed. */
struct channel *channel_new(struct event_base *base, int fd, const struct lines *lines,
                            const struct channel_listener *listener);

/* Completes every call in flight as LOST, from inside this call. */
void channel_free(struct channel **c);

/* Asks one question of n_rows rows. done runs exactly once, never from inside
 * this call. deadline_ns: monotonic. */
void channel_predict(struct channel *c, const double *features, size_t n, uint32_t n_rows,
                     int64_t deadline_ns, call_done *done, void *arg);
void channel_delay(struct channel *c, double ms);
void channel_quit(struct channel *c);

/* Sends a PING with a random id, unless one waits for its PONG already. The
 * PONG is owed like any answer, but no call waits for it and no statistics see
 * it. A PONG with another id, or one that nobody asked for, breaks the
 * protocol. */
void channel_ping(struct channel *c);

/* Handles what a dead worker left in the socket, up to its end (of one that
 * lives and talks on: up to some megabytes). */
void channel_read_rest(struct channel *c);

/* Calls waiting for an answer. */
size_t channel_n_in_flight(const struct channel *c);

/* The same and those that timed out: the worker is still busy with them. */
size_t channel_n_owed(const struct channel *c);

/* Since when the worker has owed an answer and said nothing at all (monotonic),
 * or 0 when it owes none. Calls that timed out still count as owed, and so does
 * a PONG. */
int64_t channel_silent_since(const struct channel *c);

/* When it said its last complete message; the channel's birth before that. */
int64_t channel_heard(const struct channel *c);

/* When the frame began whose end has not come yet, or 0. */
int64_t channel_frame_since(const struct channel *c);

/* Since when it has taken nothing although more than 8 MiB wait for it, or 0. */
int64_t channel_stuck_since(const struct channel *c);

#endif
