/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Turning an event loop; see loop.h.
 */
#include "tests/support/loop.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <event2/event.h>

#include "common/clock.h"

#define PATIENCE_NS  (40 * NS_PER_SEC)
#define TURN_US      5000
#define SETTLE_TURNS 6

int64_t loop_deadline(void)
{
    return clock_mono_ns() + PATIENCE_NS;
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what, (void)arg;
}

static void turn(struct event_base *base)
{
    const struct timeval t = {.tv_usec = TURN_US};
    struct event *tick = evtimer_new(base, on_tick, NULL);
    evtimer_add(tick, &t);
    event_base_loop(base, EVLOOP_ONCE);
    event_free(tick);
}

void loop_turn(struct event_base *base, int64_t end_ns, const char *what, const char *file,
               int line)
{
    turn(base);
    if (clock_mono_ns() > end_ns) {
        print_error("waited in vain for: %s\n", what);
        _fail(file, line);
    }
}

void loop_settle(struct event_base *base)
{
    for (int i = 0; i < SETTLE_TURNS; i++)
        turn(base);
}
