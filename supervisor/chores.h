/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The one helper thread: file work that may block (copying and hashing a
 * model, fsync) is done there, in order, and its end is reported in the loop.
 */
#ifndef CANARYD_CHORES_H
#define CANARYD_CHORES_H

struct event_base;
struct chores;

struct chores *chores_new(struct event_base *base);

/* Ends the thread after all work handed over; what was not yet reported is
 * reported from inside this call. */
void chores_free(struct chores **c);

/* work(arg) runs in the helper thread, then done(arg) in the loop. work must
 * touch nothing but arg. done may be NULL. */
void chores_add(struct chores *c, void (*work)(void *arg), void (*done)(void *arg), void *arg);

#endif
