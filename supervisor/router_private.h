/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What router.c and router_wait.c share; nobody else includes it.
 */
#ifndef CANARYD_ROUTER_PRIVATE_H
#define CANARYD_ROUTER_PRIVATE_H

#include <stdbool.h>
#include <sys/queue.h>

#include "judge/urn.h"
#include "supervisor/proc.h"
#include "supervisor/router.h"

#define MAX_FAULTS 4 /* models that a job remembers to have been refused by */

/* One request on its way. */
struct job {
    struct proc_call call; /* first: a call is its job */
    TAILQ_ENTRY(job) next; /* while it waits */
    struct router *router;
    predicted *done;
    void *arg;
    int64_t deadline_ns;
    int64_t due_ns; /* while it waits: when its time, or its patience, is over */
    enum arm drawn;
    enum arm asked;
    bool by_lot;
    bool is_suspect;   /* was in flight when a process died: is asked alone */
    bool is_impatient; /* has waited for a held process, and takes another arm's */
    struct {
        unsigned n;
        const struct proc *last; /* only ever compared */
    } tried[N_ARMS];             /* in this round */
    unsigned n_tries;
    unsigned n_deaths; /* of processes that had nothing else to do */
    struct modelref *faulted[MAX_FAULTS];
    size_t n_faults;
    char fault[128]; /* the last FAULT's words */
    size_t n_features;
    double features[];
};

TAILQ_HEAD(job_list, job);

/* Those that wait, in the order in which a free process is offered to them. */
enum queue {
    QUEUE_SUSPECTS,
    QUEUE_OTHERS,
    QUEUE_KILLERS, /* suspects that were alone at a death: after everybody else */
    N_QUEUES
};

struct router {
    struct fleet *fleet;
    const struct settings *settings;
    struct router_listener listener;
    struct urn urn;
    struct quarantine *quarantine;
    uint64_t n_tokens; /* retries that may be made */
    size_t n_features;
    bool stopping;
    struct job_list waiting[N_QUEUES]; /* each by due_ns */
    struct event *on_due;
    struct event *on_wake;
    struct router_counts counts;
};

/* Asks a process, waits for one, or ends the job. */
void router_route(struct job *job);
void router_give_up(struct job *job, const char *code, const char *text);

/* The process of an arm that plays this role. */
int router_role(enum arm arm);

/* Queues the job. soon: only a held process stands in its way, so it is routed
 * again before long even if nothing happens. */
void router_wait(struct job *job, bool soon);

/* A call of p has ended: if p is held and free now, the next suspect gets it, or
 * everybody. */
void router_settle(struct router *r, struct proc *p);

void router_wait_init(struct router *r, struct event_base *base);
void router_wait_clear(struct router *r);

#endif
