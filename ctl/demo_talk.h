/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What every step of the demo does: ask aloud, say what the answer means, write
 * down what was not as it should be.
 */
#ifndef CANARYD_CTL_DEMO_TALK_H
#define CANARYD_CTL_DEMO_TALK_H

#include <signal.h>
#include <stdbool.h>

#include "ctl/session.h"

#define DEMO_MAX_DEVIATIONS 32

struct demo {
    struct session *session;
    double percent;     /* the canary's share */
    double slowdown_ms; /* what the simulated slowness adds */
    bool replace;       /* the next deployment takes a canary's place */
    bool deployed;      /* there may be a canary of ours */
    bool slowed;        /* the slowdown is on by our doing */
    bool lost;          /* the server can't be reached any more */
    int status;         /* exit code of a failure below HTTP, or 0 */
    char *stable;       /* the stable model that the steps expect; NULL: not known */
    size_t n_deviations;
    char *deviations[DEMO_MAX_DEVIATIONS];
};

/* Prints the request, asks, and prints a refusal. 0 with *a filled, or -1 after
 * writing the deviation down. */
int demo_ask(struct demo *d, const struct question *q, struct answer *a);

/* client_ask without a word for what goes well; -1 only when there is no answer. */
int demo_ask_quietly(struct demo *d, const struct question *q, struct answer *a);

/* "  => ...": what an answer means. */
void demo_note(struct demo *d, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Says and writes down that something is not as it should be. Returns -1. */
int demo_deviate(struct demo *d, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Waits ms, or until a signal ends the demo: -1 then, with the deviation written down. */
int demo_pause(struct demo *d, int64_t ms);

/* The signals that end the demo; block them before the first demo_pause. */
void demo_signals(sigset_t *set);

#endif
