/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What the faults happen to: the server, its load, and what is known of both.
 * A fault is a row of a table; faults_worker.c, faults_operator.c and
 * faults_client.c each have one.
 */
#ifndef CANARYD_TESTS_WORLD_H
#define CANARYD_TESTS_WORLD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/support/server.h"
#include "tests/support/status.h"

struct load;
struct orders;

#define WORLD_START_TIMEOUT_MS 1500
#define WORLD_DEADLINE_MS      8000 /* of a prediction */
#define WORLD_GIVE_UP_MS       12000

#define WORLD_MAX_HURT 32

/* The deployment, as GET /admin/status tells it. */
struct scene {
    char state[16];
    char canary[80]; /* its model's name, or "" */
    struct status_worker workers[STATUS_MAX_PIDS];
    int n_workers;
    int n_in_flight; /* requests, as the server counts them */
};

struct world {
    struct server *server;
    struct load *load;
    struct orders *orders; /* requests of operators under way */
    struct http *eye;      /* the connection for looking */
    struct scene scene;
    pid_t hurt[WORLD_MAX_HURT]; /* a ring: these pids answer nothing any more */
    unsigned n_hurt;
    int64_t stable_hurt_ns; /* the last time, and how often in a row of short lives */
    int n_stable_hurt;
    pid_t paused; /* to be continued */
    int64_t resume_ns;
    unsigned n_configs;
    atomic_int n_strangers; /* clients of faults in threads of their own */
    atomic_int n_wrong;     /* answers to them, and to operators, that are wrong */
};

struct fault {
    const char *name;
    unsigned weight;
    /* May it be done now? The scene is fresh. NULL: at any time. */
    bool (*is_fair)(struct world *w, uint32_t how);
    /* how: a random number, drawn whatever the fault makes of it. */
    void (*strike)(struct world *w, uint32_t how);
};

extern const struct fault worker_faults[], operator_faults[], client_faults[];
extern const size_t n_worker_faults, n_operator_faults, n_client_faults;

/* Makes the directory with all models, starts the server and waits for it. */
void world_start(struct world *w);

/* Starts it again in the same directory. */
void world_launch(struct world *w);

/* Puts the models that operators deploy, good ones apart, into the directory. */
void operator_write_models(struct world *w);

/* Looks at the server: fills the scene. False when it does not answer. */
bool world_look(struct world *w);

bool world_is_hurt(const struct world *w, pid_t pid);
void world_note_hurt(struct world *w, pid_t pid);
void world_note_healed(struct world *w, pid_t pid);

/* A canary that may answer nothing, or nonsense, for all that one knows. */
bool world_canary_is_evil(const struct world *w);

/* Continues who was paused, if it is time (or now). */
void world_resume(struct world *w, bool now);

/* Says that an answer was wrong: the run has failed. */
void world_wrong(struct world *w, const char *what, const char *text);

#endif
