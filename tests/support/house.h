/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The supervisor's rooms wired as main.c does it, without HTTP and without
 * main.c: for tests that look at what the rooms do together. What was told is
 * counted. Its setups and teardown are cmocka fixtures; *state is the house.
 */
#ifndef CANARYD_TESTS_HOUSE_H
#define CANARYD_TESTS_HOUSE_H

#include <stdbool.h>

#include "judge/rule.h"
#include "supervisor/fleet.h"
#include "supervisor/places.h"
#include "supervisor/rollout.h"
#include "supervisor/router.h"
#include "tests/support/evil.h"
#include "tests/support/loop.h"

struct house {
    struct event_base *base;
    struct settings *settings; /* tests may write to it; see house_setup */
    struct chores *chores;
    struct journal *journal;
    struct store *store;
    struct loader *loader;
    struct fleet *fleet;
    struct turn *turn; /* not run: nothing is stalled */
    struct router *router;
    struct judge *judge;
    struct rollout *rollout;
    bool without_rollout; /* the fleet's news stop at the counts */
    bool may_pass;        /* of the last one that failed */
    int n_up[N_ROLES], n_failed[N_ROLES], n_gave_up[N_ROLES], n_buried;
    int n_samples[N_ARMS]; /* answers that count; of stable also those without a ticket */
    int n_outcomes[N_ARMS][N_OUTCOMES]; /* of draws */
    int n_verdicts, n_serving, n_hopeless, n_changed;
    char code[40], text[600]; /* of the last failure, or why it gave up */
    char program[EVIL_PATH_SIZE], python_program[EVIL_PATH_SIZE];
    struct worker_programs workers; /* these two */
};

/* Workers are evil, models are files of the scratch directory, stable_model is
 * stable.json, there is no warm-up, and nothing times out within a test. */
int house_setup(void **state);

/* The same for tests that move the fleet themselves: the rollout hears of nothing, and
 * a canary may die as often as it likes. */
int house_setup_without_rollout(void **state);

/* Workers are canary-worker, models those of models/. */
int house_setup_real(void **state);
int house_teardown(void **state);

/* Opens a model of the model directory and starts it in a role. */
void house_start(struct house *h, enum role role, const char *file);

/* The same with an evil script, and waits until it takes calls. */
void house_start_evil(struct house *h, enum role role, const char *script);

/* A stable.json that is ready, and rollout_start until it serves. */
void house_serve(struct house *h);

/* A prediction on its way. */
struct asked {
    struct house *house;
    int n_done;
    double output;
    enum arm arm;
    char version[80];
    char code[40]; /* "": it was answered */
    char text[600];
};

/* Five features, the first of them 7.5. */
void house_ask(struct house *h, struct asked *a, enum routing routing);
void house_ask_with(struct house *h, struct asked *a, enum routing routing, double first);
void house_ask_all(struct house *h, struct asked *a, int n, enum routing routing);
void house_await(struct house *h, const struct asked *a, int n);

/* rollout_promote, and waits for its end: 0, or -1 with err. */
int house_promote(struct house *h, bool force, struct promotion *p, struct err *e);

/* The judge is told of n draws of the reference (stable) and as many of the canary, with so
 * long answers, in groups of two. */
void house_feed(struct house *h, int n, double stable_ms, double canary_ms);

/* How many of the journal's entries are of this event. */
int house_n_events(const struct house *h, const char *event);

#endif
