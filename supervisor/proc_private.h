/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What proc.c and proc_life.c share; nobody else includes it.
 */
#ifndef CANARYD_PROC_PRIVATE_H
#define CANARYD_PROC_PRIVATE_H

#include "supervisor/proc.h"
#include "supervisor/spawn.h"

#define PROC_WHY_SIZE    160
#define PROC_HOW_SIZE    80
#define PROC_ROLE_SIZE   16
#define PROC_HANG_CHECKS 8 /* looks per hang_ms whether a READY process hangs */

struct proc {
    enum proc_state state;
    struct proc_options options;
    struct proc_listener listener;
    struct modelref *model;
    char role[PROC_ROLE_SIZE];
    struct spawned child;
    struct channel *channel;
    struct words *words;
    struct event *on_exit;
    struct event *on_timer;
    struct event *on_sweep;
    int64_t started_ns;
    struct proc_counts counts;
    bool was_ready;
    bool start_timed_out;
    bool wanted;
    bool held;
    size_t n_lost;
    int rows[N_BOARD_CLOCKS]; /* of the board; -1: none */
    uint32_t n_features;
    char kind[WIRE_MAX_NAME + 1];
    char output[WIRE_MAX_NAME + 1];
    char cage[WIRE_MAX_NAME + 1];
    char refusal[WIRE_MAX_TEXT + 1];
    char why[PROC_WHY_SIZE];
    char how[PROC_HOW_SIZE];
};

/* The one function that moves a process from state to state. */
void proc_handle(struct proc *p, enum proc_event event);

/* Sets the timer for the state that the process is in. */
void proc_set_timer(struct proc *p);

/* The first reason why a process was killed is the one that is told. */
void proc_say_why(struct proc *p, const char *why);

/* A READY process gets rows on the board; a dead one gives them back. */
void proc_open_rows(struct proc *p);
void proc_close_rows(struct proc *p);

#endif
