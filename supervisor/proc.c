/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A worker from its start to its obituary: what the kernel and the channel say
 * becomes an event, and proc_life.c says what follows from it.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <event2/event.h>

#include "common/cage.h"
#include "common/clock.h"
#include "common/fdio.h"
#include "common/log.h"
#include "common/mem.h"
#include "supervisor/modelref.h"
#include "supervisor/proc_private.h"
#include "supervisor/python.h"
#include "supervisor/role.h"
#include "supervisor/words.h"

/* --- The board --------------------------------------------------------------*/

_Static_assert(ROLE_MAX_PROCESSES <= BOARD_PROCESSES, "each process has its rows");

static const enum board_outcome board_outcomes[N_CALL_OUTCOMES] = {
    [CALL_OK] = BOARD_OK,
    [CALL_FAULT] = BOARD_FAULT,
    [CALL_TIMEOUT] = BOARD_TIMEOUT,
    [CALL_LOST] = BOARD_DEATH,
};

void proc_close_rows(struct proc *p)
{
    for (int clock = 0; clock < N_BOARD_CLOCKS; clock++) {
        if (p->rows[clock] >= 0)
            board_row_close(p->options.board, p->rows[clock]);
        p->rows[clock] = -1;
    }
}

void proc_open_rows(struct proc *p)
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

/* --- News from below --------------------------------------------------------*/

static bool accept_ready(struct proc *p, const struct msg *m)
{
    if (m->version != WIRE_VERSION) {
        snprintf(p->refusal, sizeof p->refusal, "the worker speaks protocol %u, not %d", m->version,
                 WIRE_VERSION);
        return false;
    }
    if (p->state == PROC_STARTING) {
        p->n_features = m->n_features;
        memcpy(p->kind, m->kind, sizeof p->kind);
        memcpy(p->output, m->output, sizeof p->output);
        memcpy(p->cage, m->cage, sizeof p->cage);
        spawn_lift_cpu_limit(&p->child);
        if (strcmp(p->cage, "full") != 0)
            log_warn("worker %d (%s): its cage is not whole: %s", (int)p->child.pid, p->role,
                     p->cage);
    }
    return true;
}

static void on_message(void *arg, const struct msg *m)
{
    struct proc *p = arg;
    if (m->type == WIRE_READY) {
        proc_handle(p, accept_ready(p, m) ? PROC_EVENT_READY : PROC_EVENT_KILL);
    } else if (m->type == WIRE_REFUSE) {
        if (p->state == PROC_STARTING)
            memcpy(p->refusal, m->text, sizeof p->refusal);
        proc_handle(p, PROC_EVENT_REFUSE);
    }
}

static void on_broken(void *arg, const char *text)
{
    struct proc *p = arg;
    if (p->state != PROC_STOPPING)
        proc_say_why(p, text);
    proc_handle(p, PROC_EVENT_EOF);
}

static void on_call_ended(void *arg)
{
    struct proc *p = arg;
    if (p->channel != NULL && channel_n_in_flight(p->channel) == 0)
        proc_handle(p, PROC_EVENT_IDLE);
}

/* Why a READY process counts as hanging, or NULL. A frame gets hang_ms as well,
 * from its first byte: it holds at most 64 KiB, which a worker writes at once.
 * try_deadline_ms would be too short, for a call that times out is no breach. */
static const char *why_hanging(const struct proc *p, int64_t now)
{
    const int64_t hang_ns = p->options.hang_ms * NS_PER_MS;
    int64_t frame = channel_frame_since(p->channel);
    int64_t silent = channel_silent_since(p->channel);
    int64_t stuck = channel_stuck_since(p->channel);
    bool is_silent = silent != 0 && now - silent > hang_ns;
    if (frame != 0 && (is_silent || now - frame > hang_ns))
        return "it began a message and did not end it within hang_ms";
    if (is_silent)
        return "it answered nothing within hang_ms";
    if (stuck != 0 && now - stuck > hang_ns / PROC_HANG_CHECKS)
        return "it takes no bytes while more than 8 MiB wait for it";
    return NULL;
}

/* READY's timer comes PROC_HANG_CHECKS times in hang_ms and looks. A process
 * that owes nothing and was silent between two looks is asked: it is found out
 * hang_ms later if it was stopped. */
static void look_after(struct proc *p)
{
    int64_t now = clock_mono_ns();
    const char *why = why_hanging(p, now);
    if (why != NULL) {
        proc_say_why(p, why);
        proc_handle(p, PROC_EVENT_DEADLINE);
    } else if (channel_silent_since(p->channel) == 0 &&
               now - channel_heard(p->channel) >=
                   p->options.hang_ms * NS_PER_MS / PROC_HANG_CHECKS) {
        channel_ping(p->channel);
    }
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct proc *p = arg;
    (void)fd, (void)what;
    if (p->state == PROC_READY)
        look_after(p);
    else
        proc_handle(p, PROC_EVENT_DEADLINE);
    if (p->state == PROC_READY || p->state == PROC_KILLED)
        proc_set_timer(p);
}

static void on_exit_of_child(evutil_socket_t fd, short what, void *arg)
{
    struct proc *p = arg;
    (void)what;
    if (!spawn_has_ended(fd))
        return;
    /* Its last words may still be in the socket: a REFUSE, or answers that then
     * need not be asked for again. What they say may have it killed, so it keeps
     * its pid until they are read. */
    if (p->channel != NULL)
        channel_read_rest(p->channel);
    words_read_rest(p->words);
    if (spawn_reap(fd, p->how, sizeof p->how) < 0)
        return;
    event_del(p->on_exit);
    proc_handle(p, PROC_EVENT_REAPED);
}

/* --- The end ----------------------------------------------------------------*/

static void proc_free(struct proc *p)
{
    event_free(p->on_exit);
    event_free(p->on_timer);
    event_free(p->on_sweep);
    words_free(&p->words);
    fd_close(&p->child.pidfd);
    modelref_free(&p->model);
    free(p);
}

static void log_obituary(const struct proc *p)
{
    const char *last = words_last(p->words);
    char *text = mem_printf("worker %d (%s, %s) ended: %s%s%s%s%s%s%s; %zu calls in flight",
                            (int)p->child.pid, p->role, p->model->version, p->how,
                            p->why[0] != '\0' ? "; " : "", p->why,
                            p->refusal[0] != '\0' ? "; it said: " : "", p->refusal,
                            last[0] != '\0' ? "; last words: " : "", last, p->n_lost);
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
        .last_words = words_last(p->words),
        .was_ready = p->was_ready,
        .start_timed_out = p->start_timed_out,
        .wanted = p->wanted,
        .n_lost = p->n_lost,
    };
    proc_close_rows(p);
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
static int start_with_output(struct proc *p, int output_fd, struct err *e)
{
    const int on = 1;
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
        return err_set_errno(e, "spawn-failed", "socketpair");
    char user[32];
    char filter[] = "5";
    snprintf(user, sizeof user, "%u:%u", p->options.uid, p->options.gid);
    const bool is_python = p->options.python != NULL;
    const char *const by_itself[] = {p->options.program, p->model->name, NULL};
    const char *const by_python[] = {p->options.python,
                                     "-I",
                                     "-B",
                                     p->options.program,
                                     p->model->name,
                                     filter,
                                     user,
                                     p->options.allow_uncaged ? "allow-uncaged" : NULL,
                                     NULL};
    const struct spawn_request request = {
        .argv = is_python ? by_python : by_itself,
        .fds = {ends[1], p->model->served_fd, is_python ? python_filter_fd() : -1},
        .n_fds = is_python ? 3 : 2,
        .output_fd = output_fd,
        /* Python changes user itself: root's may lie where nobody else can read. A
         * sanitizer reserves the whole address space. */
        .limits = {.uid = is_python ? 0 : p->options.uid,
                   .gid = p->options.gid,
                   .memory_bytes = is_python || cage_exempt() == NULL ? p->options.memory_bytes : 0,
                   .cpu_ms = p->options.start_timeout_ms},
    };
    int rc = spawn(&request, &p->child, e);
    fd_close(&ends[1]);
    if (rc < 0) {
        fd_close(&ends[0]);
        return -1;
    }
    fd_set_nonblock(ends[0]);
    /* A byte out of band is then one too many, and no event without a byte. */
    setsockopt(ends[0], SOL_SOCKET, SO_OOBINLINE, &on, sizeof on);
    return ends[0];
}

static int start_child(struct proc *p, struct err *e)
{
    int output_fd = -1;
    p->words = words_new(p->options.base, &output_fd);
    if (p->words == NULL)
        return err_set_errno(e, "spawn-failed", "pipe");
    int fd = start_with_output(p, output_fd, e);
    fd_close(&output_fd);
    if (fd < 0)
        words_free(&p->words);
    return fd;
}

static void name_words(struct proc *p)
{
    char who[PROC_ROLE_SIZE + 32];
    snprintf(who, sizeof who, "worker %d (%s)", (int)p->child.pid, p->role);
    words_set_who(p->words, who);
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
    /* The caller's texts, the settings' among them, may go from here on. */
    p->options.program = p->options.python = p->options.role = NULL;
    modelref_keep(model);
    for (int clock = 0; clock < N_BOARD_CLOCKS; clock++)
        p->rows[clock] = -1;
    proc_set_role(p, options->role);
    p->started_ns = clock_mono_ns();
    p->channel = channel_new(options->base, fd, options->lines, &up);
    p->on_exit =
        event_new(options->base, p->child.pidfd, EV_READ | EV_PERSIST, on_exit_of_child, p);
    p->on_timer = evtimer_new(options->base, on_timer, p);
    p->on_sweep = event_new(options->base, -1, 0, on_sweep, p);
    event_add(p->on_exit, NULL);
    proc_set_timer(p);
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
    proc_handle(p, PROC_EVENT_DRAIN);
}

void proc_kill(struct proc *p, const char *why)
{
    p->wanted = true;
    proc_say_why(p, why);
    proc_handle(p, PROC_EVENT_KILL);
}

bool proc_was_let_go(const struct proc *p)
{
    return p->wanted;
}

void proc_hold(struct proc *p, bool held)
{
    p->held = held;
}

bool proc_is_held(const struct proc *p)
{
    return p->held;
}

enum proc_state proc_state(const struct proc *p)
{
    return p->state;
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
    name_words(p);
    if (p->state == PROC_READY) { /* its figures in the new role begin anew */
        proc_close_rows(p);
        proc_open_rows(p);
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

const char *proc_cage(const struct proc *p)
{
    return p->cage;
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
    counts.n_owed = p->channel != NULL ? channel_n_owed(p->channel) : 0;
    return counts;
}

void proc_reset_counts(struct proc *p)
{
    p->counts = (struct proc_counts){0};
}
