/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Who gets this request: draws the arm, asks a process, asks another when that
 * fails, and answers exactly once. A prediction is pure, so a question may be
 * asked again. While nobody is ready, requests wait within their deadlines.
 *
 * What was in flight at a death is asked again one at a time, each alone on its
 * process; a request that was alone at two deaths is poison. A retry costs a
 * token of a bucket that holds 2 x max_in_flight and gets one with each request,
 * so that retries never become more than the traffic itself.
 *
 * Beyond max_in_flight requests are held for some milliseconds before they are refused.
 */
#ifndef CANARYD_ROUTER_H
#define CANARYD_ROUTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "supervisor/judge.h"

struct event_base;
struct fleet;
struct router;
struct settings;
struct turn;

/* An arm as users are told of it, to whom a baseline is stable. */
const char *arm_user_name(enum arm arm);

/* How the arm is chosen. Those whose arm was named are never samples. */
enum routing { ROUTING_BY_LOT, ROUTING_BY_USER, ROUTING_TO_STABLE, ROUTING_TO_CANARY };

struct wish {
    enum routing routing;
    uint64_t user; /* ROUTING_BY_USER: router_user(key) */
};

/* What the router knows of a user: a hash of n bytes. */
uint64_t router_user(const char *key, size_t n);

struct prediction {
    double output;
    enum arm arm; /* who answered */
    int64_t round_trip_ns;
    const char *output_name; /* borrowed during the callback, as is version */
    const char *version;
};

/* why: NULL, or "deadline", "poison-request", "model-fault", "unavailable",
 * or "overloaded" when max_in_flight were under way all the time that it was held. */
typedef void predicted(void *arg, const struct prediction *answer, const struct err *why);

struct router_listener {
    /* One request was drawn by lot while there is a share; ends_group: see urn.h. */
    struct judge_ticket (*draw)(void *arg, enum arm arm, bool ends_group, int64_t now_ns);
    /* What became of it, once: how the first call ended if it was made to the arm that
     * was drawn, else OUTCOME_UNASKED. Told before the request is answered. */
    void (*ended)(void *arg, const struct judge_ticket *ticket, const struct rule_sample *sample);
    /* Stable's answer, at the first try, to one drawn by lot when there was no share, or
     * when there was no baseline that it was drawn for. */
    void (*stable)(void *arg, int64_t round_trip_ns);
    void *arg;
};

struct router *router_new(struct event_base *base, struct fleet *fleet, struct turn *turn,
                          const struct settings *settings, const struct router_listener *listener);
void router_free(struct router **r); /* nothing may be in flight */
void router_set_settings(struct router *r, const struct settings *settings);

/* The canary's part of the lot from now on, and whether a baseline gets as much
 * (see urn.h); 0 closes it. */
void router_set_share(struct router *r, double percent, bool baseline);

/* Who is on which arm: another text shuffles the users. */
void router_set_salt(struct router *r, const char *text);

/* How many numbers a request must have, or 0 while no stable model has ever
 * been ready. */
size_t router_n_features(const struct router *r);

/* Copies features. done runs once, never from inside this call. -1 with err:
 * "unavailable" after router_stop, "poison-request" when it was found to be that
 * within the last minute. */
int router_predict(struct router *r, const double *features, size_t n, const struct wish *wish,
                   predicted *done, void *arg, struct err *e);

/* A process has become ready: requests that wait are asked. */
void router_wake(struct router *r);

/* The fleet goes: what waits is given up, and nothing waits from now on. */
void router_stop(struct router *r);

struct router_counts {
    uint64_t n_requests;
    uint64_t n_answered[N_ARMS];
    uint64_t n_failed;      /* answered with an error */
    uint64_t n_forced;      /* to an arm, by their headers */
    uint64_t n_by_user;     /* to their user's arm, while there is a share */
    uint64_t n_stalled;     /* drawn by lot, and of no use for the round trip: see turn.h */
    uint64_t n_retried;     /* asked again of another process */
    uint64_t n_fallbacks;   /* drawn for one arm, answered by another */
    uint64_t n_poison;      /* answered poison-request, at the door or later */
    uint64_t n_over_budget; /* not asked again, for want of a token */
    uint64_t n_overloaded;  /* refused for want of room */
    size_t n_in_flight;     /* waiting ones included */
    size_t n_waiting;       /* for a process to be ready */
    size_t n_at_door;       /* held for want of room: not yet in flight */
};
const struct router_counts *router_counts(const struct router *r);

#endif
