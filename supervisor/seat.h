/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A place for one process of a version: starts it, warms it up and, when the
 * owner says so, starts the next one, later each time that one dies young. What
 * a death means for the version is the fleet's affair.
 */
#ifndef CANARYD_SEAT_H
#define CANARYD_SEAT_H

#include "common/err.h"

struct board;
struct event_base;
struct lines;
struct modelref;
struct proc;
struct seat;
struct settings;
struct worker_programs;

/* What every seat works with; borrowed, and settings may be replaced. */
struct seat_means {
    struct event_base *base;
    const struct lines *lines;
    const struct settings *settings;
    const struct worker_programs *programs;
    struct board *board;
};

enum end {
    END_REFUSED,     /* the worker, or we, can't serve this model */
    END_NOT_IN_TIME, /* to be ready and warm */
    END_NOT_BEGUN,   /* no process, no memory: that may pass */
    END_ACCIDENT     /* it died */
};

/* Texts are borrowed during the news. */
struct vacancy {
    enum end end;
    const char *how;       /* as in an obituary; NULL: there was no process */
    const struct err *why; /* what a deployment of this model is told about it */
};

struct seat_listener {
    /* Its process is ready and warm. */
    void (*warm)(void *arg, struct seat *s);
    /* Its process has ended. The owner restarts or frees the seat, from inside this call
     * or later. */
    void (*vacant)(void *arg, struct seat *s, const struct vacancy *v);
    void *arg;
};

/* Keeps a reference to the model. role: static. Its first process is started on
 * the next turn of the loop: no news from inside. */
struct seat *seat_new(const struct seat_means *means, struct modelref *model, const char *role,
                      const struct seat_listener *listener);
void seat_free(struct seat **s); /* it must be vacant */

/* The next process for a vacant seat: at once after one that was warm for a
 * second, and the first time; after 100 ms if it answered a call at least; else
 * after 100 ms, doubling up to 10 s. */
void seat_restart(struct seat *s);

void seat_set_role(struct seat *s, const char *role);

/* Of every answer of its processes, present and future. */
void seat_set_delay(struct seat *s, double ms);

/* The process, or NULL while it is vacant. */
struct proc *seat_proc(const struct seat *s);

/* The process if it takes calls, or NULL. */
struct proc *seat_ready(const struct seat *s);

#endif
