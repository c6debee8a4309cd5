/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * GET /admin/status, as tests look at it: the deployment's state, and the
 * worker processes by role ("stable", "baseline", "canary").
 */
#ifndef CANARYD_TESTS_STATUS_H
#define CANARYD_TESTS_STATUS_H

#include <stdbool.h>
#include <sys/types.h>

#include "tests/support/server.h"

const struct http_answer *status_get(struct server *s);

/* The ready worker of this role; 0 when there is none. */
pid_t status_pid(struct server *s, const char *role);

/* All workers there are, whatever their role and state; returns how many. */
#define STATUS_MAX_PIDS 16
int status_pids(struct server *s, pid_t pids[STATUS_MAX_PIDS]);

/* The workers that an answer to GET /admin/status tells of; returns how many. */
struct status_worker {
    pid_t pid;
    char role[16]; /* a retired one keeps its role, and is no longer ready */
    char state[16];
    bool ready;
};
int status_workers(const struct http_answer *a, struct status_worker workers[STATUS_MAX_PIDS]);

void status_wait_state(struct server *s, const char *state);

/* Waits until a ready worker of the role has another pid than old; returns it. */
pid_t status_wait_pid(struct server *s, const char *role, pid_t old);

/* Waits until the baseline takes calls: its process is warm, too. */
void status_wait_baseline(struct server *s);

/* Is there a process of this pid, other than a zombie? */
bool process_lives(pid_t pid);
void process_wait_gone(pid_t pid, int ms);

#endif
