/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * One worker process as the supervisor sees it: its life as a state machine,
 * its channel, its deadlines and, at the end, its obituary. A process is a
 * version: one model for life.
 */
#ifndef CANARYD_PROC_H
#define CANARYD_PROC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/err.h"
#include "proto/board.h"
#include "supervisor/channel.h"

struct event_base;
struct lines;
struct modelref;
struct proc;

enum proc_state {
    PROC_STARTING, /* exec'ed; the model is being read */
    PROC_READY,    /* takes calls */
    PROC_DRAINING, /* takes no new calls; those in flight may finish */
    PROC_STOPPING, /* was asked to go */
    PROC_KILLED,   /* SIGKILL is on its way */
    PROC_DEAD,     /* reaped; freed on the next turn of the loop */
    N_PROC_STATES
};

enum proc_event {
    PROC_EVENT_READY,    /* the worker says so */
    PROC_EVENT_REFUSE,   /* the worker can't serve its model */
    PROC_EVENT_DEADLINE, /* the state's time is up; READY: it hangs */
    PROC_EVENT_DRAIN,    /* the owner wants it gone, gently */
    PROC_EVENT_IDLE,     /* the last call in flight has ended */
    PROC_EVENT_KILL,     /* the owner wants it gone */
    PROC_EVENT_EOF,      /* the socket is closed, or the protocol was broken */
    PROC_EVENT_REAPED,   /* waitid said so */
    N_PROC_EVENTS
};

/* What was a process, told once. The texts are borrowed during the news. */
struct obituary {
    pid_t pid;
    const char *how;        /* "exit status 65", "signal 9 (Killed)" */
    const char *why;        /* why we killed it, or "" */
    const char *refusal;    /* the worker's own reason for not serving, or "" */
    const char *last_words; /* the end of what it said on stdout and stderr, or "" */
    bool was_ready;
    bool start_timed_out;
    bool wanted;   /* its owner had asked for it: not a crash */
    size_t n_lost; /* calls in flight at the end */
};

struct proc_listener {
    void (*ready)(void *arg, struct proc *p);
    /* The process is reaped; p is freed when this returns, at the latest on the
     * next turn of the loop: forget it. */
    void (*dead)(void *arg, struct proc *p, const struct obituary *o);
    void *arg;
};

struct proc_options {
    struct event_base *base;
    const struct lines *lines;
    struct board *board; /* where samples are written; may be NULL */
    const char *program; /* path of the worker */
    const char *python;  /* that runs it, or NULL: it runs by itself */
    const char *role;    /* "stable", "canary": a label for logs and the board */
    int64_t start_timeout_ms;
    int64_t hang_ms;
    int64_t drain_ms;
    uid_t uid; /* of spawn_limits, as the next two */
    gid_t gid;
    int64_t memory_bytes;
    bool allow_uncaged; /* a pickle, where the kernel has no cage */
};

/* Forks and execs a worker for the model and keeps a reference to it. NULL with
 * err when not even that was possible. The texts need to live during this call only. */
struct proc *proc_start(const struct proc_options *options, struct modelref *model,
                        const struct proc_listener *listener, struct err *e);

/* One question and where its answer goes. The caller provides the struct and
 * keeps it until done has run, exactly once. */
struct proc_call {
    void (*done)(struct proc_call *call, const struct call_result *result);
    struct proc *proc; /* who is asked; set by proc_predict, as is the next */
    bool is_sample;
};

/* Asks a READY process. deadline_ns: monotonic. is_sample: the answer's times
 * go onto the board. */
void proc_predict(struct proc *p, struct proc_call *call, const double *features, size_t n,
                  uint32_t n_rows, int64_t deadline_ns, bool is_sample);
void proc_delay(struct proc *p, double ms); /* before every later answer; 0: none */

void proc_drain(struct proc *p);
void proc_kill(struct proc *p, const char *why);

/* Whether its owner asked it to go: its end is no crash then. */
bool proc_was_let_go(const struct proc *p);

/* A mark: whoever picks processes passes it by, for it is kept for one call. */
void proc_hold(struct proc *p, bool held);
bool proc_is_held(const struct proc *p);

enum proc_state proc_state(const struct proc *p);
const char *proc_state_name(enum proc_state state);
pid_t proc_pid(const struct proc *p);
struct modelref *proc_model(const struct proc *p);
const char *proc_role(const struct proc *p);
void proc_set_role(struct proc *p, const char *role); /* a canary that becomes stable */

/* As the worker said in READY; "" and 0 before. */
const char *proc_kind(const struct proc *p);
const char *proc_output_name(const struct proc *p);
const char *proc_cage(const struct proc *p); /* "full", or what its cage lacks */
uint32_t proc_n_features(const struct proc *p);
int64_t proc_started_ns(const struct proc *p); /* monotonic */

struct proc_counts {
    uint64_t n[N_CALL_OUTCOMES]; /* calls by outcome, since the warm-up */
    size_t n_in_flight;
    size_t n_owed; /* answers: in flight, or late */
};
struct proc_counts proc_counts(const struct proc *p);

/* Forgets the calls so far: the warm-up is no traffic. */
void proc_reset_counts(struct proc *p);

/* The board's row of its round trips or service times, or -1. */
int proc_board_row(const struct proc *p, enum board_clock clock);

/* The table behind it, for its test: the state after an event. */
enum proc_state proc_next_state(enum proc_state state, enum proc_event event);
const char *proc_event_name(enum proc_event event);

#endif
