/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * See loop.h.
 */
#include "tests/support/loop.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <event2/event.h>

#include "common/clock.h"

#define PATIENCE_MS 20000
#define LOOK_MS     20

static void turn_once(struct event_base *base, int at_most_ms)
{
    struct timeval t = {.tv_sec = at_most_ms / 1000, .tv_usec = at_most_ms % 1000 * 1000};
    event_base_loopexit(base, &t);
    event_base_loop(base, EVLOOP_ONCE | EVLOOP_NO_EXIT_ON_EMPTY);
}

void loop_until(struct event_base *base, const int *count, int wanted)
{
    int64_t end = clock_mono_ns() + PATIENCE_MS * NS_PER_MS;
    while (*count < wanted) {
        if (clock_mono_ns() > end)
            fail_msg("it happened %d times, not %d, within %d ms", *count, wanted, PATIENCE_MS);
        turn_once(base, LOOK_MS);
    }
}

void loop_for(struct event_base *base, int ms)
{
    int64_t end = clock_mono_ns() + ms * NS_PER_MS;
    while (clock_mono_ns() < end)
        turn_once(base, LOOK_MS);
}
