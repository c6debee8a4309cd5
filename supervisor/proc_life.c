/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The life of a worker as one table of state x event, "nothing happens"
 * included. KILLED closes the channel on the next turn of the loop, so that its
 * calls are LOST, and can be asked elsewhere, before the kernel has finished
 * with the process; only waitid on the pidfd means DEAD.
 */
#include <stdio.h>

#include <event2/event.h>

#include "common/clock.h"
#include "common/log.h"
#include "supervisor/proc_private.h"

#define STOPPING_MS 2000 /* for a worker that was asked to go */
#define KILLED_MS   5000 /* then say again that the kernel still has it */

static const char *const state_names[N_PROC_STATES] = {
    [PROC_STARTING] = "starting", [PROC_READY] = "ready",   [PROC_DRAINING] = "draining",
    [PROC_STOPPING] = "stopping", [PROC_KILLED] = "killed", [PROC_DEAD] = "dead",
};

static const char *const event_names[N_PROC_EVENTS] = {
    [PROC_EVENT_READY] = "READY",       [PROC_EVENT_REFUSE] = "REFUSE",
    [PROC_EVENT_DEADLINE] = "deadline", [PROC_EVENT_DRAIN] = "drain",
    [PROC_EVENT_IDLE] = "idle",         [PROC_EVENT_KILL] = "kill",
    [PROC_EVENT_EOF] = "EOF",           [PROC_EVENT_REAPED] = "reaped",
};

/* --- What the cells of the table do, after the state has changed -------------*/

void proc_say_why(struct proc *p, const char *why)
{
    if (p->why[0] == '\0')
        snprintf(p->why, sizeof p->why, "%s", why);
}

static void sweep_soon(struct proc *p)
{
    event_active(p->on_sweep, EV_TIMEOUT, 0);
}

static void do_ready(struct proc *p)
{
    p->was_ready = true;
    proc_open_rows(p);
    p->listener.ready(p->listener.arg, p);
}

static void do_quit(struct proc *p)
{
    channel_quit(p->channel);
}

static void do_drain(struct proc *p);

static void do_kill(struct proc *p)
{
    spawn_kill(&p->child);
    sweep_soon(p);
}

static void do_kill_unready(struct proc *p)
{
    p->start_timed_out = true;
    proc_say_why(p, "it was not ready in time");
    do_kill(p);
}

static void do_kill_slow(struct proc *p)
{
    proc_say_why(p, "it did not go in time");
    do_kill(p);
}

static void do_kill_liar(struct proc *p)
{
    proc_say_why(p, "it broke the protocol: READY or REFUSE in mid-service");
    do_kill(p);
}

static void do_log_again(struct proc *p)
{
    log_warn("worker %d was killed and is not gone yet", (int)p->child.pid);
}

static void do_bury(struct proc *p)
{
    sweep_soon(p);
}

/* --- The table --------------------------------------------------------------*/

struct cell {
    enum proc_state next;
    void (*act)(struct proc *p); /* NULL: nothing happens */
};

/* clang-format off */
#define NOTHING(state) {PROC_##state, NULL}
static const struct cell table[N_PROC_STATES][N_PROC_EVENTS] = {
    [PROC_STARTING] = {
        [PROC_EVENT_READY]    = {PROC_READY, do_ready},
        [PROC_EVENT_REFUSE]   = {PROC_STOPPING, NULL}, /* it goes by itself; the text is kept */
        [PROC_EVENT_DEADLINE] = {PROC_KILLED, do_kill_unready},
        [PROC_EVENT_DRAIN]    = {PROC_STOPPING, do_quit},
        [PROC_EVENT_IDLE]     = NOTHING(STARTING),
        [PROC_EVENT_KILL]     = {PROC_KILLED, do_kill},
        [PROC_EVENT_EOF]      = {PROC_KILLED, do_kill},
        [PROC_EVENT_REAPED]   = {PROC_DEAD, do_bury},
    },
    [PROC_READY] = {
        [PROC_EVENT_READY]    = {PROC_KILLED, do_kill_liar},
        [PROC_EVENT_REFUSE]   = {PROC_KILLED, do_kill_liar},
        [PROC_EVENT_DEADLINE] = {PROC_KILLED, do_kill},
        [PROC_EVENT_DRAIN]    = {PROC_DRAINING, do_drain},
        [PROC_EVENT_IDLE]     = NOTHING(READY),
        [PROC_EVENT_KILL]     = {PROC_KILLED, do_kill},
        [PROC_EVENT_EOF]      = {PROC_KILLED, do_kill},
        [PROC_EVENT_REAPED]   = {PROC_DEAD, do_bury},
    },
    [PROC_DRAINING] = {
        [PROC_EVENT_READY]    = {PROC_KILLED, do_kill_liar},
        [PROC_EVENT_REFUSE]   = {PROC_KILLED, do_kill_liar},
        [PROC_EVENT_DEADLINE] = {PROC_KILLED, do_kill_slow},
        [PROC_EVENT_DRAIN]    = NOTHING(DRAINING),
        [PROC_EVENT_IDLE]     = {PROC_STOPPING, do_quit},
        [PROC_EVENT_KILL]     = {PROC_KILLED, do_kill},
        [PROC_EVENT_EOF]      = {PROC_KILLED, do_kill},
        [PROC_EVENT_REAPED]   = {PROC_DEAD, do_bury},
    },
    [PROC_STOPPING] = {
        [PROC_EVENT_READY]    = NOTHING(STOPPING), /* it was asked to go while it was starting */
        [PROC_EVENT_REFUSE]   = NOTHING(STOPPING),
        [PROC_EVENT_DEADLINE] = {PROC_KILLED, do_kill_slow},
        [PROC_EVENT_DRAIN]    = NOTHING(STOPPING),
        [PROC_EVENT_IDLE]     = NOTHING(STOPPING),
        [PROC_EVENT_KILL]     = {PROC_KILLED, do_kill},
        [PROC_EVENT_EOF]      = NOTHING(STOPPING),
        [PROC_EVENT_REAPED]   = {PROC_DEAD, do_bury},
    },
    [PROC_KILLED] = {
        [PROC_EVENT_READY]    = NOTHING(KILLED),
        [PROC_EVENT_REFUSE]   = NOTHING(KILLED),
        [PROC_EVENT_DEADLINE] = {PROC_KILLED, do_log_again},
        [PROC_EVENT_DRAIN]    = NOTHING(KILLED),
        [PROC_EVENT_IDLE]     = NOTHING(KILLED),
        [PROC_EVENT_KILL]     = NOTHING(KILLED),
        [PROC_EVENT_EOF]      = NOTHING(KILLED),
        [PROC_EVENT_REAPED]   = {PROC_DEAD, do_bury},
    },
    [PROC_DEAD] = {
        [PROC_EVENT_READY]    = NOTHING(DEAD),
        [PROC_EVENT_REFUSE]   = NOTHING(DEAD),
        [PROC_EVENT_DEADLINE] = NOTHING(DEAD),
        [PROC_EVENT_DRAIN]    = NOTHING(DEAD),
        [PROC_EVENT_IDLE]     = NOTHING(DEAD),
        [PROC_EVENT_KILL]     = NOTHING(DEAD),
        [PROC_EVENT_EOF]      = NOTHING(DEAD),
        [PROC_EVENT_REAPED]   = NOTHING(DEAD),
    },
};
/* clang-format on */

static int64_t time_in_state_ms(const struct proc *p)
{
    switch (p->state) {
    case PROC_STARTING:
        return p->options.start_timeout_ms;
    case PROC_READY:
        return p->options.hang_ms / PROC_HANG_CHECKS;
    case PROC_DRAINING:
        return p->options.drain_ms;
    case PROC_STOPPING:
        return STOPPING_MS;
    default:
        return KILLED_MS;
    }
}

void proc_set_timer(struct proc *p)
{
    struct timeval t = clock_span(time_in_state_ms(p));
    event_add(p->on_timer, &t);
}

/* The one function that moves a process from state to state. */
void proc_handle(struct proc *p, enum proc_event event)
{
    const struct cell *cell = &table[p->state][event];
    if (cell->next != p->state) {
        log_debug("worker %d (%s): %s -> %s by %s", (int)p->child.pid, p->role,
                  state_names[p->state], state_names[cell->next], event_names[event]);
        p->state = cell->next;
        proc_set_timer(p);
    }
    if (cell->act != NULL)
        cell->act(p);
}

static void do_drain(struct proc *p)
{
    if (channel_n_in_flight(p->channel) == 0)
        proc_handle(p, PROC_EVENT_IDLE);
}

const char *proc_state_name(enum proc_state state)
{
    return state_names[state];
}

enum proc_state proc_next_state(enum proc_state state, enum proc_event event)
{
    return table[state][event].next;
}

const char *proc_event_name(enum proc_event event)
{
    return event_names[event];
}
