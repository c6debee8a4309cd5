/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Turning an event loop until something is so, with a deadline that only a test
 * that fails reaches.
 */
#ifndef CANARYD_TESTS_LOOP_H
#define CANARYD_TESTS_LOOP_H

#include <stdint.h>

struct event_base;

#define loop_until(base, condition)                                                                \
    do {                                                                                           \
        const int64_t loop_end_ns = loop_deadline();                                               \
        while (!(condition))                                                                       \
            loop_turn(base, loop_end_ns, #condition, __FILE__, __LINE__);                          \
    } while (0)

int64_t loop_deadline(void);

/* One turn; waits a few milliseconds at most. Fails the test after end_ns. */
void loop_turn(struct event_base *base, int64_t end_ns, const char *what, const char *file,
               int line);

/* Handles whatever is due already, and what becomes due by it: for "and then
 * nothing more happens". */
void loop_settle(struct event_base *base);

#endif
