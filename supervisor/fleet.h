/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Which processes play which role: workers_per_version of them, all of one
 * model. The fleet starts and warms them, restarts those that die (with a
 * growing delay), moves them from role to role and sees the retired ones off.
 * What a role means is a row of a table.
 */
#ifndef CANARYD_FLEET_H
#define CANARYD_FLEET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "supervisor/proc.h"
#include "supervisor/role.h"

struct board;
struct event_base;
struct fleet;
struct modelref;
struct settings;
struct worker_programs;

const char *role_name(enum role role);

struct fleet_listener {
    /* A process of the role is ready and warm, for the first time or again; of a
     * candidate: every one is. */
    void (*up)(void *arg, enum role role);
    /* A process ended before the role was up ("model-invalid",
     * "worker-start-timeout", "spawn-failed"); the role is empty now. Never of a
     * baseline, which is tried again for ever: its trouble is the fleet's affair.
     * may_pass: it was an accident, or not in time; no word against the model. */
    void (*failed)(void *arg, enum role role, const struct err *why, bool may_pass);
    /* Its processes died too often within a minute; the role is empty when this returns. */
    void (*gave_up)(void *arg, enum role role, const char *why);
    /* A process has gone, whatever its role was. */
    void (*buried)(void *arg);
    void *arg;
};

/* settings: borrowed until fleet_set_settings gives newer ones; programs: for good. */
struct fleet *fleet_new(struct event_base *base, const struct settings *settings,
                        const struct worker_programs *programs, struct board *board,
                        const struct fleet_listener *listener);
void fleet_free(struct fleet **f); /* no process may be left */
void fleet_set_settings(struct fleet *f, const struct settings *settings);

/* Starts the model in an empty role, in workers_per_version processes, and keeps
 * a reference to it. News come through the listener, never from inside this call.
 * n_tries: of processes that end by accident before the role is up; at least 1. */
void fleet_start(struct fleet *f, enum role role, struct modelref *model, unsigned n_tries);

/* A process that takes calls for the role, or NULL while there is none. */
struct proc *fleet_ready(const struct fleet *f, enum role role);

/* How many do, and whether one of them is held (see proc_hold). */
size_t fleet_n_ready(const struct fleet *f, enum role role);
bool fleet_is_holding(const struct fleet *f, enum role role);

/* The one to ask next: the least busy of them, by the answers that it owes, in
 * turn among equals; none that is held. but: not this one; may be NULL. */
struct proc *fleet_pick(struct fleet *f, enum role role, const struct proc *but);

/* The role's model, or NULL when the role is empty. Borrowed. */
struct modelref *fleet_model(const struct fleet *f, enum role role);

/* The processes of from (and their model) play to, which must be empty. */
void fleet_move(struct fleet *f, enum role from, enum role to);

void fleet_retire(struct fleet *f, enum role role);                /* finishes its calls */
void fleet_kill(struct fleet *f, enum role role, const char *why); /* its calls are LOST */

/* Every answer of the role's processes, present and future, is delayed. */
void fleet_set_delay(struct fleet *f, enum role role, double ms);

/* No more restarts; every process finishes its calls and goes. */
void fleet_stop(struct fleet *f);
void fleet_kill_all(struct fleet *f);
size_t fleet_n_procs(const struct fleet *f);

/* Calls see for every process, retired ones (role N_ROLES) included. */
void fleet_each(const struct fleet *f, void (*see)(void *arg, enum role role, const struct proc *p),
                void *arg);

/* The calls of the role's present processes, by outcome. */
struct proc_counts fleet_counts(const struct fleet *f, enum role role);
unsigned fleet_n_restarts(const struct fleet *f, enum role role); /* of all its processes */

#endif
