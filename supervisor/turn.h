/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The loop's turns, and which of them were long: a call that was in flight
 * meanwhile has waited for us and not for its worker, so its round trip says
 * nothing. Whose call it is plays no part in it.
 */
#ifndef CANARYD_TURN_H
#define CANARYD_TURN_H

#include <stdbool.h>
#include <stdint.h>

#define TURN_LONG_MS 10

struct event_base;
struct turn;

/* An event base as this loop wants it, or the process ends. The caller frees it. */
struct event_base *turn_new_base(void);

struct turn *turn_new(struct event_base *base);
void turn_free(struct turn **t);

/* Turns the loop until it is broken off, or has nothing to wait for. */
void turn_run(struct turn *t);

/* Whether a turn that was long has ended since then (monotonic), or the present one
 * is long already: of a call that began then and ends now. The rest of the turn can
 * do nothing to it, and which worker is read first alternates. False for ever while
 * turn_run does not run. */
bool turn_has_stalled(struct turn *t, int64_t since_ns);

uint64_t turn_n_long(const struct turn *t);

#endif
