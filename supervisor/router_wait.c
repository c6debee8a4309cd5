/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The jobs that wait for a process: until one is ready, or until one that is
 * held has nothing else to do. Everything happens by events; the only timer is
 * that of the deadlines, and of the patience with held processes.
 */
#include <assert.h>

#include <event2/event.h>

#include "common/clock.h"
#include "supervisor/fleet.h"
#include "supervisor/router_private.h"

/* A process is held for some milliseconds, unless a suspect makes it hang. */
#define PATIENCE_MS 20

static enum queue queue_of(const struct job *job)
{
    if (!job->is_suspect)
        return QUEUE_OTHERS;
    return job->n_deaths == 0 ? QUEUE_SUSPECTS : QUEUE_KILLERS;
}

static void arm_timer(struct router *r)
{
    int64_t due_ns = INT64_MAX;
    for (int q = 0; q < N_QUEUES; q++) {
        const struct job *first = TAILQ_FIRST(&r->waiting[q]);
        if (first != NULL && first->due_ns < due_ns)
            due_ns = first->due_ns;
    }
    if (due_ns == INT64_MAX)
        return;
    struct timeval t = clock_until(due_ns);
    evtimer_add(r->on_due, &t);
}

/* The list is by time: one that waits again after a try, or after a reload, may
 * have less left than those that are there already. */
static void put(struct job *job)
{
    struct router *r = job->router;
    struct job_list *list = &r->waiting[queue_of(job)];
    struct job *before = TAILQ_LAST(list, job_list);
    while (before != NULL && before->due_ns > job->due_ns)
        before = TAILQ_PREV(before, job_list, next);
    if (before != NULL)
        TAILQ_INSERT_AFTER(list, before, job, next);
    else
        TAILQ_INSERT_HEAD(list, job, next);
    r->counts.n_waiting++;
    if (before == NULL)
        arm_timer(r);
}

static struct job *take_first(struct router *r, enum queue q)
{
    struct job *job = TAILQ_FIRST(&r->waiting[q]);
    TAILQ_REMOVE(&r->waiting[q], job, next);
    r->counts.n_waiting--;
    assert(TAILQ_FIRST(&r->waiting[q]) != job);
    return job;
}

void router_wait(struct job *job, bool soon)
{
    int64_t patient_until = clock_mono_ns() + PATIENCE_MS * NS_PER_MS;
    job->due_ns = job->deadline_ns;
    if (soon && !job->is_impatient && patient_until < job->due_ns)
        job->due_ns = patient_until;
    put(job);
}

static void on_due(evutil_socket_t fd, short what, void *arg)
{
    struct router *r = arg;
    int64_t now = clock_mono_ns();
    (void)fd, (void)what;
    for (enum queue q = 0; q < N_QUEUES; q++) {
        while (!TAILQ_EMPTY(&r->waiting[q]) && TAILQ_FIRST(&r->waiting[q])->due_ns <= now) {
            struct job *job = take_first(r, q);
            job->is_impatient = true;
            if (job->deadline_ns > now)
                router_route(job); /* if it waits again, then until its deadline */
            else if (job->n_faults > 0)
                router_give_up(job, "model-fault", job->fault);
            else
                router_give_up(job, "unavailable",
                               "no worker became ready within predict_deadline_ms");
        }
    }
    arm_timer(r);
}

/* Whether some process could be held for a suspect. */
static bool has_room(const struct router *r)
{
    for (enum arm arm = 0; arm < N_ARMS; arm++) {
        enum role role = router_role(arm);
        if (fleet_n_ready(r->fleet, role) > 0 && !fleet_is_holding(r->fleet, role))
            return true;
    }
    return false;
}

/* Each is routed once: what can't be asked queues up again. */
static void serve(struct router *r, enum queue q)
{
    struct job_list woken = TAILQ_HEAD_INITIALIZER(woken);
    struct job *job;
    TAILQ_CONCAT(&woken, &r->waiting[q], next);
    while ((job = TAILQ_FIRST(&woken)) != NULL) {
        TAILQ_REMOVE(&woken, job, next);
        assert(TAILQ_FIRST(&woken) != job);
        r->counts.n_waiting--;
        if (job->is_suspect && !r->stopping && !has_room(r))
            put(job);
        else
            router_route(job);
    }
}

static void on_wake(evutil_socket_t fd, short what, void *arg)
{
    struct router *r = arg;
    (void)fd, (void)what;
    for (enum queue q = 0; q < N_QUEUES; q++)
        serve(r, q);
}

void router_settle(struct router *r, struct proc *p)
{
    if (!proc_is_held(p) || (proc_state(p) == PROC_READY && proc_counts(p).n_in_flight > 0))
        return;
    proc_hold(p, false);
    if (!TAILQ_EMPTY(&r->waiting[QUEUE_SUSPECTS]))
        serve(r, QUEUE_SUSPECTS);
    if (r->counts.n_waiting > 0 && has_room(r))
        event_active(r->on_wake, EV_TIMEOUT, 0);
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
    for (enum queue q = 0; q < N_QUEUES; q++)
        while (!TAILQ_EMPTY(&r->waiting[q]))
            router_give_up(take_first(r, q), "unavailable", "canaryd stops");
    router_clear_door(r, "unavailable", "canaryd stops");
}

void router_wait_init(struct router *r, struct event_base *base)
{
    for (int q = 0; q < N_QUEUES; q++)
        TAILQ_INIT(&r->waiting[q]);
    r->on_due = evtimer_new(base, on_due, r);
    r->on_wake = event_new(base, -1, 0, on_wake, r);
}

void router_wait_clear(struct router *r)
{
    event_free(r->on_due);
    event_free(r->on_wake);
}
