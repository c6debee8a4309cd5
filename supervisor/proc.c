/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The life of a worker. Every event goes through one table of state x event,
 * "nothing happens" included. KILLED closes the channel on the next turn of the
 * loop, so that its calls are LOST, and can be asked elsewhere, before the
 * kernel has finished with the process; only waitid on the pidfd means DEAD.
 */
#include "supervisor/proc.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <event2/event.h>

#include "common/clock.h"
#include "common/fdio.h"
#include "common/log.h"
#include "common/mem.h"
#include "supervisor/modelref.h"
#include "supervisor/spawn.h"

#define STOPPING_MS    2000 /* for a worker that was asked to go */
#define KILLED_MS      5000 /* then say again that the kernel still has it */
#define HANG_CHECKS    4    /* looks per hang_ms */
#define WHY_SIZE       160
#define HOW_SIZE       80
#define ROLE_SIZE      16

struct proc {
    enum proc_state state;
    struct proc_options options;
    struct proc_listener listener;
    struct modelref *model;
    char role[ROLE_SIZE];
    struct spawned child;
    struct channel *channel;
    struct event *on_exit;
    struct event *on_timer;
    struct event *on_sweep;
    int64_t started_ns;
    struct proc_counts counts;
    bool was_ready;
    bool start_timed_out;
    bool wanted;
    size_t n_lost;
    int rows[N_BOARD_CLOCKS]; /* of the board; -1: none */
    uint32_t n_features;
    char kind[WIRE_MAX_NAME + 1];
    char output[WIRE_MAX_NAME + 1];
    char refusal[WIRE_MAX_TEXT + 1];
    char why[WHY_SIZE];
    char how[HOW_SIZE];
};

static const char *const state_names[N_PROC_STATES] = {
    [PROC_STARTING] = "starting", [PROC_READY] = "ready",   [PROC_DRAINING] = "draining",
    [PROC_STOPPING] = "stopping", [PROC_KILLED] = "killed", [PROC_DEAD] = "dead",
};

static const char *const event_names[N_PROC_EVENTS] = {
    [PROC_EVENT_READY] = "READY", [PROC_EVENT_REFUSE] = "REFUSE",
    [PROC_EVENT_DEADLINE] = "deadline", [PROC_EVENT_DRAIN] = "drain",
    [PROC_EVENT_IDLE] = "idle", [PROC_EVENT_KILL] = "kill",
    [PROC_EVENT_EOF] = "EOF", [PROC_EVENT_REAPED] = "reaped",
};

/* --- The board --------------------------------------------------------------*/

static const enum board_outcome board_outcomes[N_CALL_OUTCOMES] = {
    [CALL_OK] = BOARD_OK,
    [CALL_FAULT] = BOARD_FAULT,
    [CALL_TIMEOUT] = BOARD_TIMEOUT,
    [CALL_LOST] = BOARD_DEATH,
};

static void close_rows(struct proc *p)
{
    for (int clock = 0; clock < N_BOARD_CLOCKS; clock++) {
        if (p->rows[clock] >= 0)
            board_row_close(p->options.board, p->rows[clock]);
        p->rows[clock] = -1;
    }
}

static void open_rows(struct proc *p)
{
    for (int clock = 0; clock < N_BOARD_CLOCKS && p->options.board != NULL; clock++) {
        const struct board_row_info info = {.pid = p->child.pid,
                                            .clock = (enum board_clock)clock,
                                            .role = p->role,
                                            .version = p->model->version};
        p->rows[clock] = board_row_open(p->options.board, &info);
        if (p->rows[clock] < 0)
            log_warn("worker %d (%s): no free row on the board; its samples are not shown",
                     (int)p->child.pid, p->role);
    }
}

static void write_sample(struct proc *p, const struct call_result *result)
{
    const int64_t latency_ns[N_BOARD_CLOCKS] = {
        [BOARD_ROUND_TRIP] = result->round_trip_ns,
        [BOARD_SERVICE] = result->service_ns,
    };
    for (int clock = 0; clock < N_BOARD_CLOCKS; clock++)
        if (p->rows[clock] >= 0)
            board_add(p->options.board, p->rows[clock], result->start_ns,
                      (uint64_t)latency_ns[clock], board_outcomes[result->outcome]);
}

/* --- What the cells of the table do, after the state has changed -------------*/

static void say_why(struct proc *p, const char *why)
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
    open_rows(p);
    p->listener.ready(p->listener.arg, p);
}

static void do_quit(struct proc *p)
{
    channel_quit(p->channel);
}

static void do_drain(struct proc *p);

static void do_kill(struct proc *p)
{
    spawn_kill(p->child.pidfd);
    sweep_soon(p);
}

static void do_kill_unready(struct proc *p)
{
    p->start_timed_out = true;
    say_why(p, "it was not ready in time");
    do_kill(p);
}

static void do_kill_hung(struct proc *p)
{
    say_why(p, "it answered nothing while calls waited");
    do_kill(p);
}

static void do_kill_slow(struct proc *p)
{
    say_why(p, "it did not go in time");
    do_kill(p);
}

static void do_kill_liar(struct proc *p)
{
    say_why(p, "it broke the protocol: READY or REFUSE in mid-service");
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
        [PROC_EVENT_DEADLINE] = {PROC_KILLED, do_kill_hung},
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
        return p->options.hang_ms / HANG_CHECKS;
    case PROC_DRAINING:
        return p->options.drain_ms;
    case PROC_STOPPING:
        return STOPPING_MS;
    default:
        return KILLED_MS;
    }
}

static void set_timer(struct proc *p)
{
    int64_t ms = time_in_state_ms(p);
    struct timeval t = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
    event_add(p->on_timer, &t);
}

/* The one function that moves a process from state to state. */
static void handle(struct proc *p, enum proc_event event)
{
    const struct cell *cell = &table[p->state][event];
    if (cell->next != p->state) {
        log_debug("worker %d (%s): %s -> %s by %s", (int)p->child.pid, p->role,
                  state_names[p->state], state_names[cell->next], event_names[event]);
        p->state = cell->next;
        set_timer(p);
    }
    if (cell->act != NULL)
        cell->act(p);
}

static void do_drain(struct proc *p)
{
    if (channel_n_in_flight(p->channel) == 0)
        handle(p, PROC_EVENT_IDLE);
}

/* --- News from below --------------------------------------------------------*/

static bool accept_ready(struct proc *p, const struct msg *m)
{
    if (m->version != WIRE_VERSION) {
        snprintf(p->refusal, sizeof p->refusal, "the worker speaks protocol %u, not %d",
                 m->version, WIRE_VERSION);
        return false;
    }
    if (p->state == PROC_STARTING) {
        p->n_features = m->n_features;
        memcpy(p->kind, m->kind, sizeof p->kind);
        memcpy(p->output, m->output, sizeof p->output);
    }
    return true;
}

static void on_message(void *arg, const struct msg *m)
{
    struct proc *p = arg;
    if (m->type == WIRE_READY) {
        handle(p, accept_ready(p, m) ? PROC_EVENT_READY : PROC_EVENT_KILL);
    } else if (m->type == WIRE_REFUSE) {
        if (p->state == PROC_STARTING)
            memcpy(p->refusal, m->text, sizeof p->refusal);
        handle(p, PROC_EVENT_REFUSE);
    }
}

static void on_broken(void *arg, const char *text)
{
    struct proc *p = arg;
    if (p->state != PROC_STOPPING)
        say_why(p, text);
    handle(p, PROC_EVENT_EOF);
}

static void on_call_ended(void *arg)
{
    struct proc *p = arg;
    if (p->channel != NULL && channel_n_in_flight(p->channel) == 0)
        handle(p, PROC_EVENT_IDLE);
}

/* READY's timer comes HANG_CHECKS times in hang_ms and only looks. */
static bool is_hanging(const struct proc *p)
{
    int64_t since = channel_silent_since(p->channel);
    return since != 0 && clock_mono_ns() - since > p->options.hang_ms * NS_PER_MS;
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct proc *p = arg;
    (void)fd, (void)what;
    if (p->state != PROC_READY || is_hanging(p))
        handle(p, PROC_EVENT_DEADLINE);
    if (p->state == PROC_READY || p->state == PROC_KILLED)
        set_timer(p);
}

static void on_exit_of_child(evutil_socket_t fd, short what, void *arg)
{
    struct proc *p = arg;
    (void)what;
    if (spawn_reap(fd, p->how, sizeof p->how) < 0)
        return;
    event_del(p->on_exit);
    /* Its last words may still be in the socket: a REFUSE, or answers that then
     * need not be asked for again. */
    if (p->channel != NULL)
        channel_read_rest(p->channel);
    handle(p, PROC_EVENT_REAPED);
}

/* --- The end ----------------------------------------------------------------*/

static void proc_free(struct proc *p)
{
    event_free(p->on_exit);
    event_free(p->on_timer);
    event_free(p->on_sweep);
    fd_close(&p->child.pidfd);
    modelref_free(&p->model);
    free(p);
}

static void log_obituary(const struct proc *p)
{
    char *text = mem_printf("worker %d (%s, %s) ended: %s%s%s%s%s; %zu calls in flight",
                            (int)p->child.pid, p->role, p->model->version, p->how,
                            p->why[0] != '\0' ? "; " : "", p->why,
                            p->refusal[0] != '\0' ? "; it said: " : "", p->refusal, p->n_lost);
    if (p->wanted)
        log_info("%s", text);
    else
        log_warn("%s", text);
    free(text);
}

static void bury(struct proc *p)
{
    const struct obituary o = {
        .pid = p->child.pid,
        .how = p->how,
        .why = p->why,
        .refusal = p->refusal,
        .was_ready = p->was_ready,
        .start_timed_out = p->start_timed_out,
        .wanted = p->wanted,
        .n_lost = p->n_lost,
    };
    close_rows(p);
    log_obituary(p);
    p->listener.dead(p->listener.arg, p, &o);
    proc_free(p);
}

static void on_sweep(evutil_socket_t fd, short what, void *arg)
{
    struct proc *p = arg;
    (void)fd, (void)what;
    if (p->channel != NULL) {
        p->n_lost = channel_n_in_flight(p->channel);
        channel_free(&p->channel);
    }
    if (p->state == PROC_DEAD)
        bury(p);
}

/* --- For the owner ----------------------------------------------------------*/

/* Our end of the socket, or -1. */
static int start_child(struct proc *p, struct err *e)
{
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
        return err_set_errno(e, "spawn-failed", "socketpair");
    const char *const argv[] = {p->options.program, p->model->name, NULL};
    struct spawn_request request = {.argv = argv, .fds = {ends[1], p->model->native_fd}, .n_fds = 2};
    int rc = spawn(&request, &p->child, e);
    fd_close(&ends[1]);
    if (rc < 0) {
        fd_close(&ends[0]);
        return -1;
    }
    fd_set_nonblock(ends[0]);
    return ends[0];
}

struct proc *proc_start(const struct proc_options *options, struct modelref *model,
                        const struct proc_listener *listener, struct err *e)
{
    struct proc *p = mem_alloc(sizeof *p);
    *p = (struct proc){.options = *options, .listener = *listener, .model = model};
    int fd = start_child(p, e);
    if (fd < 0) {
        free(p);
        return NULL;
    }
    const struct channel_listener up = {
        .message = on_message, .broken = on_broken, .call_ended = on_call_ended, .arg = p};
    modelref_keep(model);
    for (int clock = 0; clock < N_BOARD_CLOCKS; clock++)
        p->rows[clock] = -1;
    proc_set_role(p, options->role);
    p->started_ns = clock_mono_ns();
    p->channel = channel_new(options->base, fd, &up);
    p->on_exit = event_new(options->base, p->child.pidfd, EV_READ | EV_PERSIST, on_exit_of_child, p);
    p->on_timer = evtimer_new(options->base, on_timer, p);
    p->on_sweep = event_new(options->base, -1, 0, on_sweep, p);
    event_add(p->on_exit, NULL);
    set_timer(p);
    log_info("worker %d (%s, %s) started", (int)p->child.pid, p->role, model->version);
    return p;
}

static void on_result(void *arg, const struct call_result *result)
{
    struct proc_call *call = arg;
    call->proc->counts.n[result->outcome]++;
    if (call->is_sample)
        write_sample(call->proc, result);
    call->done(call, result);
}

void proc_predict(struct proc *p, struct proc_call *call, const double *features, size_t n,
                  uint32_t n_rows, int64_t deadline_ns, bool is_sample)
{
    assert(p->state == PROC_READY);
    call->proc = p;
    call->is_sample = is_sample;
    channel_predict(p->channel, features, n, n_rows, deadline_ns, on_result, call);
}

void proc_delay(struct proc *p, double ms)
{
    if (p->channel != NULL && p->state == PROC_READY)
        channel_delay(p->channel, ms);
}

void proc_drain(struct proc *p)
{
    p->wanted = true;
    handle(p, PROC_EVENT_DRAIN);
}

void proc_kill(struct proc *p, const char *why)
{
    p->wanted = true;
    say_why(p, why);
    handle(p, PROC_EVENT_KILL);
}

enum proc_state proc_state(const struct proc *p)
{
    return p->state;
}

const char *proc_state_name(enum proc_state state)
{
    return state_names[state];
}

pid_t proc_pid(const struct proc *p)
{
    return p->child.pid;
}

struct modelref *proc_model(const struct proc *p)
{
    return p->model;
}

const char *proc_role(const struct proc *p)
{
    return p->role;
}

void proc_set_role(struct proc *p, const char *role)
{
    snprintf(p->role, sizeof p->role, "%s", role);
    if (p->state == PROC_READY) { /* its figures in the new role begin anew */
        close_rows(p);
        open_rows(p);
    }
}

int proc_board_row(const struct proc *p, enum board_clock clock)
{
    return p->rows[clock];
}

const char *proc_kind(const struct proc *p)
{
    return p->kind;
}

const char *proc_output_name(const struct proc *p)
{
    return p->output;
}

uint32_t proc_n_features(const struct proc *p)
{
    return p->n_features;
}

int64_t proc_started_ns(const struct proc *p)
{
    return p->started_ns;
}

struct proc_counts proc_counts(const struct proc *p)
{
    struct proc_counts counts = p->counts;
    counts.n_in_flight = p->channel != NULL ? channel_n_in_flight(p->channel) : 0;
    return counts;
}

void proc_reset_counts(struct proc *p)
{
    p->counts = (struct proc_counts){0};
}

enum proc_state proc_next_state(enum proc_state state, enum proc_event event)
{
    return table[state][event].next;
}

const char *proc_event_name(enum proc_event event)
{
    return event_names[event];
}
