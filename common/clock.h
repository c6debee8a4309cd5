/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The two clocks: monotonic for every duration, wall for every date.
 */
#ifndef CANARYD_CLOCK_H
#define CANARYD_CLOCK_H

#include <stdint.h>
#include <sys/time.h>

#define NS_PER_MS  INT64_C(1000000)
#define NS_PER_SEC INT64_C(1000000000)

#define CLOCK_TEXT_SIZE 40

int64_t clock_mono_ns(void);   /* CLOCK_MONOTONIC; about 25 ns a call */
int64_t clock_coarse_ns(void); /* the same, up to some ms behind; about 5 ns a call */
int64_t clock_wall_ns(void);   /* since 1970-01-01 UTC */

/* What clock_mono_ns said first in this thread since clock_forget_first, or 0 when
 * it was not asked: nearly everything that a turn of the loop does asks it soon. */
int64_t clock_first_ns(void);
void clock_forget_first(void);

/* Writes "2025-08-03T20:16:00.123456+00:00" (ISO 8601, UTC, microseconds). */
void clock_text(int64_t wall_ns, char text[CLOCK_TEXT_SIZE]);

/* For the loop's timers: a span of ms >= 0 milliseconds, and the time left until a
 * monotonic deadline, rounded up so that it has passed when the timer fires. */
struct timeval clock_span(int64_t ms);
struct timeval clock_until(int64_t deadline_ns);

static inline double ns_to_ms(double ns)
{
    return ns / 1e6;
}

#endif
