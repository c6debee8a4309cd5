/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What router.c, router_door.c, router_draw.c and router_wait.c share; nobody else
 * includes it.
 */
#ifndef CANARYD_ROUTER_PRIVATE_H
#define CANARYD_ROUTER_PRIVATE_H

#include <stdbool.h>
#include <sys/queue.h>

#include "common/siphash.h"
#include "judge/urn.h"
#include "supervisor/fleet.h"
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
    struct wish wish;
    enum arm drawn;
    enum arm asked;
    bool has_ticket; /* until its end is told */
    struct judge_ticket ticket;
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
    struct turn *turn;
    struct urn urn;
    struct siphash_key salt; /* of users' positions */
    struct quarantine *quarantine;
    uint64_t n_tokens; /* retries that may be made */
    size_t n_features;
    bool stopping;
    struct job_list waiting[N_QUEUES]; /* each by due_ns */
    struct event *on_due;
    struct event *on_wake;
    struct job_list door; /* before max_in_flight; by due_ns */
    struct event *on_door_due;
    struct event *on_room;
    struct router_counts counts;
};

/* Begins with a job, which is in flight from now on. */
void router_begin(struct job *job);

/* Asks a process, waits for one, or ends the job. */
void router_route(struct job *job);
void router_give_up(struct job *job, const char *code, const char *text);

/* Draws the arm, or takes the one that the job's wish names. */
void router_draw(struct job *job);

/* Whether its wish names an arm. */
bool router_is_forced(const struct job *job);

/* Tells what became of the job's draw, unless it was told already. start_ns: of its
 * call; whether it was stalled is filled in. */
void router_end_draw(struct job *job, struct rule_sample *sample, int64_t start_ns);

/* ... that its arm was never asked. */
void router_unask_draw(struct job *job);

/* The process of an arm that plays this role. */
enum role router_role(enum arm arm);

/* Queues the job. soon: only a held process stands in its way, so it is routed
 * again before long even if nothing happens. */
void router_wait(struct job *job, bool soon);

/* A call of p has ended: if p is held and free now, the next suspect gets it, or
 * everybody. */
void router_settle(struct router *r, struct proc *p);

void router_wait_init(struct router *r, struct event_base *base);
void router_wait_clear(struct router *r);

/* Begins with the job, or holds it at the door (router_door.c). */
void router_enter(struct job *job);

/* There may be room: who is first at the door comes in, on this turn of the loop. */
void router_note_room(struct router *r);

/* Sends everybody away who is at the door. */
void router_clear_door(struct router *r, const char *code, const char *text);
void router_door_init(struct router *r, struct event_base *base);
void router_door_free(struct router *r);

#endif
