/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * See turn.h. libevent 2.1 does not tell when it has done waiting: a turn begins,
 * for us, when its work first reads the clock.
 */
#include "supervisor/turn.h"

#include <stdlib.h>
#include <sysexits.h>

#include <event2/event.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"

struct turn {
    struct event_base *base;
    bool runs;
    bool is_long; /* the present one; it is counted */
    int64_t long_until_ns;
    uint64_t n_long;
};

struct event_base *turn_new_base(void)
{
    struct event_config *config = event_config_new();
    event_config_set_flag(config, EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST);
    struct event_base *base = event_base_new_with_config(config);
    event_config_free(config);
    if (base == NULL)
        fatal(EX_OSERR, "no event loop (epoll) to be had");
    return base;
}

struct turn *turn_new(struct event_base *base)
{
    struct turn *t = mem_alloc(sizeof *t);
    t->base = base;
    return t;
}

void turn_free(struct turn **t)
{
    free(*t);
    *t = NULL;
}

static void look(struct turn *t)
{
    int64_t first = clock_first_ns();
    if (first == 0)
        return;
    int64_t now = clock_mono_ns();
    if (now - first <= TURN_LONG_MS * NS_PER_MS)
        return;
    t->long_until_ns = now;
    t->n_long += !t->is_long;
    t->is_long = true;
}

void turn_run(struct turn *t)
{
    int rc;
    t->runs = true;
    do {
        clock_forget_first();
        t->is_long = false;
        rc = event_base_loop(t->base, EVLOOP_ONCE);
        look(t);
    } while (rc == 0 && !event_base_got_break(t->base));
    t->runs = false;
}

bool turn_has_stalled(struct turn *t, int64_t since_ns)
{
    if (!t->runs)
        return false;
    look(t);
    return since_ns <= t->long_until_ns;
}

uint64_t turn_n_long(const struct turn *t)
{
    return t->n_long;
}
