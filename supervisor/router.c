/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A job is one request on its way. Each failed try ends in reroute(), which
 * picks a process that has not been asked yet, waits for one, or gives up.
 */
#include "supervisor/router.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include <event2/event.h>

#include "common/clock.h"
#include "common/mem.h"
#include "supervisor/fleet.h"
#include "supervisor/modelref.h"
#include "supervisor/proc.h"
#include "supervisor/settings.h"
#include "supervisor/urn.h"

#define MAX_DEATHS 3 /* processes that died with one request in flight: it is poison */

static const struct {
    const char *name;
    enum role role;
} arms[N_ARMS] = {
    [ARM_STABLE] = {"stable", ROLE_STABLE},
    [ARM_CANARY] = {"canary", ROLE_CANARY},
};

struct job {
    struct proc_call call; /* first: a call is its job */
    TAILQ_ENTRY(job) next; /* while it waits */
    struct router *router;
    predicted *done;
    void *arg;
    int64_t deadline_ns;
    enum arm drawn;
    enum arm asked;
    bool by_lot;
    bool tried[N_ARMS];   /* in this round */
    bool faulted[N_ARMS]; /* said FAULT: would say it again */
    unsigned n_tries;
    unsigned n_deaths;
    char fault[128]; /* the last FAULT's words */
    size_t n_features;
    double features[];
};

TAILQ_HEAD(job_list, job);

struct router {
    struct event_base *base;
    struct fleet *fleet;
    const struct settings *settings;
    struct router_listener listener;
    struct urn urn;
    size_t n_features;
    bool stopping;
    struct job_list waiting; /* the first has the earliest deadline */
    struct event *on_waited;
    struct event *on_wake;
    struct router_counts counts;
};

const char *arm_name(enum arm arm)
{
    return arms[arm].name;
}

/* --- Endings ----------------------------------------------------------------*/

static void end_job(struct job *job, const struct prediction *answer, const struct err *why)
{
    struct router *r = job->router;
    r->counts.n_in_flight--;
    if (answer == NULL)
        r->counts.n_failed++;
    job->done(job->arg, answer, why);
    free(job);
}

static void give_up(struct job *job, const char *code, const char *text)
{
    struct err why;
    err_set(&why, code, "%s", text);
    end_job(job, NULL, &why);
}

static void answer(struct job *job, const struct call_result *result)
{
    struct router *r = job->router;
    const struct proc *p = job->call.proc;
    const struct prediction prediction = {
        .output = result->outputs[0],
        .arm = job->asked,
        .round_trip_ns = result->round_trip_ns,
        .output_name = proc_output_name(p),
        .version = proc_model(p)->version,
    };
    r->counts.n_answered[job->asked]++;
    if (job->asked != job->drawn)
        r->counts.n_fallbacks++;
    bool is_sample = job->by_lot && job->n_tries == 1 && job->asked == job->drawn;
    enum arm arm = job->asked;
    end_job(job, &prediction, NULL);
    if (is_sample)
        r->listener.sample(r->listener.arg, arm, result->round_trip_ns, result->service_ns);
}

/* --- Asking -----------------------------------------------------------------*/

static void on_result(struct proc_call *call, const struct call_result *result);

static void ask(struct job *job, enum arm arm, struct proc *p)
{
    struct router *r = job->router;
    int64_t try_deadline = clock_mono_ns() + r->settings->try_deadline_ms * NS_PER_MS;
    int64_t deadline = try_deadline < job->deadline_ns ? try_deadline : job->deadline_ns;
    if (job->n_tries++ > 0)
        r->counts.n_retried++;
    job->asked = arm;
    job->tried[arm] = true;
    proc_predict(p, &job->call, job->features, job->n_features, 1, deadline,
                 job->by_lot && job->n_tries == 1 && arm == job->drawn);
}

/* The process of an arm that may be asked, or NULL. */
static struct proc *askable(const struct job *job, enum arm arm)
{
    if (job->tried[arm] || job->faulted[arm])
        return NULL;
    struct proc *p = fleet_pick(job->router->fleet, arms[arm].role, NULL);
    return p != NULL && proc_n_features(p) == job->n_features ? p : NULL;
}

static void arm_timer(struct router *r)
{
    const struct job *first = TAILQ_FIRST(&r->waiting);
    if (first == NULL)
        return;
    int64_t wait = first->deadline_ns - clock_mono_ns();
    if (wait < 0)
        wait = 0;
    struct timeval t = {.tv_sec = wait / NS_PER_SEC, .tv_usec = wait % NS_PER_SEC / 1000 + 1};
    evtimer_add(r->on_waited, &t);
}

/* The list is by deadline: one that waits again after a try, or after a reload,
 * may have less time left than those that are there already. */
static void wait_for_process(struct job *job)
{
    struct router *r = job->router;
    struct job *before = TAILQ_LAST(&r->waiting, job_list);
    while (before != NULL && before->deadline_ns > job->deadline_ns)
        before = TAILQ_PREV(before, job_list, next);
    if (before != NULL)
        TAILQ_INSERT_AFTER(&r->waiting, before, job, next);
    else
        TAILQ_INSERT_HEAD(&r->waiting, job, next);
    r->counts.n_waiting++;
    if (before == NULL)
        arm_timer(r);
}

/* Whether every model there is has said that it can't answer this. */
static bool all_faulted(const struct job *job)
{
    bool any = false;
    for (int arm = 0; arm < N_ARMS; arm++) {
        if (!job->faulted[arm] && fleet_model(job->router->fleet, arms[arm].role) != NULL)
            return false;
        any = any || job->faulted[arm];
    }
    return any;
}

/* The process to ask, and its arm: the one that was drawn if it can be asked,
 * else another that can. NULL: none. */
static struct proc *choose(const struct job *job, enum arm *arm)
{
    *arm = job->drawn;
    struct proc *p = askable(job, *arm);
    for (int i = 0; p == NULL && i < N_ARMS; i++) {
        *arm = (enum arm)i;
        p = askable(job, *arm);
    }
    return p;
}

static void route_job(struct job *job)
{
    enum arm arm;
    struct proc *p = choose(job, &arm);
    if (p == NULL) { /* all were asked: a second round, as long as there is time */
        memset(job->tried, 0, sizeof job->tried);
        p = choose(job, &arm);
    }
    if (job->deadline_ns <= clock_mono_ns())
        give_up(job, "deadline", "no worker answered within predict_deadline_ms");
    else if (p != NULL)
        ask(job, arm, p);
    else if (all_faulted(job))
        give_up(job, "model-fault", job->fault);
    else if (job->router->stopping)
        give_up(job, "unavailable", "canaryd stops");
    else
        wait_for_process(job);
}

static void on_result(struct proc_call *call, const struct call_result *result)
{
    struct job *job = (struct job *)call;
    switch (result->outcome) {
    case CALL_OK:
        answer(job, result);
        return;
    case CALL_FAULT:
        job->faulted[job->asked] = true;
        snprintf(job->fault, sizeof job->fault, "the model can't answer this: %s", result->text);
        break;
    case CALL_LOST:
        job->n_deaths++;
        break;
    default:
        break;
    }
    if (job->n_deaths >= MAX_DEATHS)
        give_up(job, "poison-request", "three workers died while they answered this request");
    else
        route_job(job);
}

/* --- Waiting ----------------------------------------------------------------*/

static struct job *take_first_waiting(struct router *r)
{
    struct job *job = TAILQ_FIRST(&r->waiting);
    TAILQ_REMOVE(&r->waiting, job, next);
    r->counts.n_waiting--;
    assert(TAILQ_FIRST(&r->waiting) != job);
    return job;
}

static void on_waited(evutil_socket_t fd, short what, void *arg)
{
    struct router *r = arg;
    int64_t now = clock_mono_ns();
    (void)fd, (void)what;
    while (!TAILQ_EMPTY(&r->waiting) && TAILQ_FIRST(&r->waiting)->deadline_ns <= now)
        give_up(take_first_waiting(r), "unavailable",
                "no worker became ready within predict_deadline_ms");
    arm_timer(r);
}

/* Each waiting job is routed once: what can't be asked queues up again. */
static void on_wake(evutil_socket_t fd, short what, void *arg)
{
    struct router *r = arg;
    struct job_list woken = TAILQ_HEAD_INITIALIZER(woken);
    struct job *job;
    (void)fd, (void)what;
    TAILQ_CONCAT(&woken, &r->waiting, next);
    r->counts.n_waiting = 0;
    while ((job = TAILQ_FIRST(&woken)) != NULL) {
        TAILQ_REMOVE(&woken, job, next);
        assert(TAILQ_FIRST(&woken) != job);
        route_job(job);
    }
}

void router_wake(struct router *r)
{
    const struct proc *stable = fleet_ready(r->fleet, ROLE_STABLE);
    if (stable != NULL)
        r->n_features = proc_n_features(stable);
    event_active(r->on_wake, EV_TIMEOUT, 0);
}

void router_stop(struct router *r)
{
    r->stopping = true;
    while (!TAILQ_EMPTY(&r->waiting))
        give_up(take_first_waiting(r), "unavailable", "canaryd stops");
}

/* --- For the owner ----------------------------------------------------------*/

struct router *router_new(struct event_base *base, struct fleet *fleet,
                          const struct settings *settings, const struct router_listener *listener)
{
    struct router *r = mem_alloc(sizeof *r);
    *r = (struct router){.base = base, .fleet = fleet, .settings = settings, .listener = *listener};
    TAILQ_INIT(&r->waiting);
    rng_seed_from_system(&r->urn.rng);
    r->on_waited = evtimer_new(base, on_waited, r);
    r->on_wake = event_new(base, -1, 0, on_wake, r);
    return r;
}

void router_free(struct router **r)
{
    if (*r == NULL)
        return;
    assert((*r)->counts.n_in_flight == 0);
    event_free((*r)->on_waited);
    event_free((*r)->on_wake);
    free(*r);
    *r = NULL;
}

void router_set_settings(struct router *r, const struct settings *settings)
{
    r->settings = settings;
}

void router_set_share(struct router *r, double percent)
{
    urn_set_share(&r->urn, percent);
}

size_t router_n_features(const struct router *r)
{
    return r->n_features;
}

static enum arm choose_arm(struct router *r, enum routing routing)
{
    if (routing == ROUTING_BY_LOT)
        return urn_draw(&r->urn) ? ARM_CANARY : ARM_STABLE;
    return routing == ROUTING_TO_CANARY ? ARM_CANARY : ARM_STABLE;
}

int router_predict(struct router *r, const double *features, size_t n, enum routing routing,
                   predicted *done, void *arg, struct err *e)
{
    if (r->counts.n_in_flight >= (size_t)r->settings->max_in_flight) {
        r->counts.n_overloaded++;
        return err_set(e, "overloaded", "%zu requests are in flight; max_in_flight is %lld",
                       r->counts.n_in_flight, (long long)r->settings->max_in_flight);
    }
    struct job *job = mem_alloc(sizeof *job + n * sizeof *features);
    job->call.done = on_result;
    job->router = r;
    job->done = done;
    job->arg = arg;
    job->deadline_ns = clock_mono_ns() + r->settings->predict_deadline_ms * NS_PER_MS;
    job->by_lot = routing == ROUTING_BY_LOT;
    job->drawn = choose_arm(r, routing);
    job->n_features = n;
    memcpy(job->features, features, n * sizeof *features);
    r->counts.n_requests++;
    r->counts.n_in_flight++;
    route_job(job);
    return 0;
}

const struct router_counts *router_counts(const struct router *r)
{
    return &r->counts;
}
