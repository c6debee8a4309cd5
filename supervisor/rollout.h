/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * THE deployment state machine: which model is stable, which is out as a
 * canary, and what deploy, promote, rollback and the judge do about it. REST,
 * SIGHUP and the settings all come through here. While a canary is out, a
 * baseline of the stable model is out beside it; nothing here depends on it.
 *
 * A deployment first makes its candidate ready beside everything that serves,
 * and only then touches it: a model that does not load changes nothing, not
 * even when it was to replace a canary.
 */
#ifndef CANARYD_ROLLOUT_H
#define CANARYD_ROLLOUT_H

#include <stdbool.h>
#include <stdint.h>

#include "common/clock.h"
#include "common/err.h"
#include "supervisor/fleet.h"

struct journal;
struct judge;
struct loader;
struct modelref;
struct rollout;
struct router;
struct saved_state;
struct settings;
struct store;

enum rollout_state {
    ROLLOUT_IDLE,      /* stable alone */
    ROLLOUT_LOADING,   /* a candidate is getting ready */
    ROLLOUT_CANARY,    /* a canary has its share */
    ROLLOUT_REPLACING, /* the same, and its successor is getting ready */
    N_ROLLOUT_STATES
};

enum rollout_event {
    ROLLOUT_EVENT_DEPLOY,           /* a deployment is asked for */
    ROLLOUT_EVENT_REPLACE,          /* the same, whatever is out or loading */
    ROLLOUT_EVENT_CANDIDATE_READY,  /* loaded, warm, and fits */
    ROLLOUT_EVENT_CANDIDATE_FAILED, /* refused, timed out, or does not fit */
    ROLLOUT_EVENT_CANARY_GAVE_UP,   /* it died too often */
    ROLLOUT_EVENT_VERDICT_BAD,      /* the judge's */
    ROLLOUT_EVENT_PROMOTE,
    ROLLOUT_EVENT_ROLLBACK,
    N_ROLLOUT_EVENTS
};

struct rollout_rooms { /* what it works with; all borrowed */
    struct loader *loader;
    struct fleet *fleet;
    struct router *router;
    struct judge *judge;
    struct journal *journal;
    struct store *store;
};

struct rollout_listener {
    void (*serving)(void *arg); /* stable is ready for the first time */
    /* The first stable model can't be served: there is nothing to do but go. */
    void (*hopeless)(void *arg, const struct err *why, bool may_pass);
    void (*changed)(void *arg); /* the state, or who is who */
    void *arg;
};

struct rollout *rollout_new(const struct settings *settings, const struct rollout_rooms *rooms,
                            const char *exporter_program, const struct rollout_listener *listener);
void rollout_free(struct rollout **r);

/* Newer settings; a canary_model that differs is deployed, or rolled back if it
 * is empty now; a canary whose deployment named no share gets canary_percent;
 * its baseline comes or goes. */
void rollout_set_settings(struct rollout *r, const struct settings *settings);

/* Takes up what saved says (NULL: nothing), as far as the settings have not
 * changed since; else loads stable_model and deploys canary_model. */
void rollout_start(struct rollout *r, const struct saved_state *saved);

/* No more deployments; a candidate is given up. */
void rollout_stop(struct rollout *r);

/* Who asks for a deployment. */
enum deployer {
    BY_REST,
    BY_RELOAD,   /* canary_model was changed */
    BY_SETTINGS, /* canary_model, at the start */
    BY_RESTART   /* it was out when the last canaryd ended */
};

struct deploy_request {
    const char *path;
    const char *sha256; /* hex, or NULL */
    double percent;     /* above 0, at most 50; 0: canary_percent */
    bool replace;
    enum deployer by;
    /* A canary that was out when the supervisor before us ended; else all zero. */
    struct modelref *model; /* instead of path; borrowed */
    uint64_t deployment;
    int64_t canary_start_ns;
};

/* How a deployment ended. why is NULL when the canary has its share, which it gets
 * once that is on disk. */
typedef void deployed(void *arg, const struct err *why);

/* 0: done will be called, never from inside this call. -1 with err:
 * "canary-active", "canary-loading". */
int rollout_deploy(struct rollout *r, const struct deploy_request *request, deployed *done,
                   void *arg, struct err *e);

struct promotion {
    char previous[256]; /* names of models */
    char now[256];
};

/* How a promotion ended: p, or why not. */
typedef void promoted(void *arg, const struct promotion *p, const struct err *why);

/* 0: done will be called, never from inside this call, once the new state is on
 * disk. -1 with err: "no-canary", "canary-loading", "canary-not-ready",
 * "alert-stands", "promotion-pending". */
int rollout_promote(struct rollout *r, bool force, promoted *done, void *arg, struct err *e);

/* 0, with *by the name of who had rolled it back before, or NULL; -1 with err
 * "no-canary". */
int rollout_rollback(struct rollout *r, const char **by, struct err *e);

/* The judge's verdict, and the fleet's news. */
void rollout_on_verdict(struct rollout *r);
void rollout_on_up(struct rollout *r, enum role role);
void rollout_on_failed(struct rollout *r, enum role role, const struct err *why, bool may_pass);
void rollout_on_gave_up(struct rollout *r, enum role role, const char *why);

bool rollout_toggle_slowdown(struct rollout *r); /* returns whether it is on now */
bool rollout_slowdown(const struct rollout *r);

enum rollout_state rollout_state(const struct rollout *r);
bool rollout_serves(const struct rollout *r); /* stable has been ready */
const char *rollout_state_name(enum rollout_state state);
const char *rollout_event_name(enum rollout_event event);

/* The canary that is out: its share and start (wall clock). Zero when none is. */
double rollout_percent(const struct rollout *r);
int64_t rollout_canary_start_ns(const struct rollout *r);

/* The table behind it, for its test: the state after an event that is not
 * refused, and whether the cell can only be reached by a bug. */
enum rollout_state rollout_next_state(enum rollout_state state, enum rollout_event event);
bool rollout_is_bug(enum rollout_state state, enum rollout_event event);

#endif
