/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Running an event loop until something has happened.
 */
#ifndef CANARYD_TESTS_LOOP_H
#define CANARYD_TESTS_LOOP_H

struct event_base;

/* Turns the loop until *count is wanted or more; after 20 s without that the
 * test fails. */
void loop_until(struct event_base *base, const int *count, int wanted);

/* Turns the loop for ms milliseconds: for what must not happen. */
void loop_for(struct event_base *base, int ms);

#endif
