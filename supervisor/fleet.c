/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A slot per role, a list of retired processes; see fleet.h.
 */
#include "supervisor/fleet.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include <event2/event.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "supervisor/modelref.h"
#include "supervisor/proc.h"
#include "supervisor/settings.h"

#define CRASH_WINDOW_NS   (60 * NS_PER_SEC)
#define HEALTHY_LIFE_NS   (1 * NS_PER_SEC) /* after so long a death is an accident, not a loop */
#define FIRST_BACK_OFF_MS 100
#define MAX_BACK_OFF_MS   10000
#define MAX_CRASH_LIMIT   1000 /* of the setting crash_limit */

static const struct {
    const char *name;
    bool is_restarted;
    bool has_crash_limit;
} roles[N_ROLES] = {
    [ROLE_STABLE] = {"stable", true, false},
    [ROLE_CANARY] = {"canary", true, true},
    [ROLE_CANDIDATE] = {"candidate", false, false},
};

struct slot {
    struct fleet *fleet;
    enum role role;
    struct modelref *model; /* NULL: the role is empty */
    struct proc *proc;      /* NULL between a death and the restart */
    bool warm;              /* the process takes calls */
    bool was_up;            /* some process of this model did */
    bool timed_out;         /* while it was warmed up */
    double delay_ms;
    int64_t warm_since_ns;
    int64_t back_off_ms;
    unsigned n_restarts;
    int64_t *deaths_ns; /* a ring of the last MAX_CRASH_LIMIT ones */
    uint64_t n_deaths;
    struct event *on_restart;
};

struct retired {
    TAILQ_ENTRY(retired) next;
    struct proc *proc;
};

struct fleet {
    struct event_base *base;
    const struct settings *settings;
    const char *worker_program;
    struct board *board;
    struct fleet_listener listener;
    struct slot slots[N_ROLES];
    TAILQ_HEAD(retired_list, retired) retired;
    size_t n_procs;
    bool stopping;
};

/* The calls that warm a process up, one after the other over its real channel. */
struct warm_up {
    struct proc_call call; /* first: a call is its warm-up */
    struct fleet *fleet;
    struct proc *proc;
    int64_t n_left;
    size_t n_features;
    double *zeros;
};

const char *role_name(enum role role)
{
    return role < N_ROLES ? roles[role].name : "retired";
}

static struct slot *slot_of(struct fleet *f, const struct proc *p)
{
    for (int i = 0; i < N_ROLES; i++)
        if (f->slots[i].proc == p)
            return &f->slots[i];
    return NULL;
}

/* --- Starting and warming up ------------------------------------------------*/

static void warm_up_free(struct warm_up *w)
{
    free(w->zeros);
    free(w);
}

static void come_up(struct slot *s)
{
    s->warm = true;
    s->was_up = true;
    s->warm_since_ns = clock_mono_ns();
    proc_reset_counts(s->proc);
    if (s->delay_ms > 0)
        proc_delay(s->proc, s->delay_ms);
    s->fleet->listener.up(s->fleet->listener.arg, s->role);
}

static void warm_up_next(struct warm_up *w)
{
    /* Reading the model and warming up share one deadline. */
    int64_t deadline = proc_started_ns(w->proc) + w->fleet->settings->start_timeout_ms * NS_PER_MS;
    w->n_left--;
    proc_predict(w->proc, &w->call, w->zeros, w->n_features, 1, deadline, false);
}

/* Zeros may be nothing that the model can answer: a FAULT warms as well. */
static void on_warmed(struct proc_call *call, const struct call_result *result)
{
    struct warm_up *w = (struct warm_up *)call;
    struct slot *s = slot_of(w->fleet, w->proc);
    bool alive = s != NULL && result->outcome != CALL_LOST && proc_state(w->proc) == PROC_READY;
    if (alive && result->outcome == CALL_TIMEOUT) {
        s->timed_out = true;
        proc_kill(w->proc, "it was not warm in time");
        alive = false;
    }
    if (alive && w->n_left > 0) {
        warm_up_next(w);
        return;
    }
    warm_up_free(w);
    if (alive)
        come_up(s);
}

static void on_ready(void *arg, struct proc *p)
{
    struct fleet *f = arg;
    struct slot *s = slot_of(f, p);
    if (s == NULL)
        return;
    if (f->settings->warmup_requests == 0) {
        come_up(s);
        return;
    }
    struct warm_up *w = mem_alloc(sizeof *w);
    *w = (struct warm_up){.call.done = on_warmed,
                          .fleet = f,
                          .proc = p,
                          .n_left = f->settings->warmup_requests,
                          .n_features = proc_n_features(p)};
    w->zeros = mem_array(w->n_features, sizeof *w->zeros);
    warm_up_next(w);
}

static void empty_slot(struct slot *s)
{
    modelref_free(&s->model);
    s->proc = NULL;
    s->warm = s->was_up = s->timed_out = false;
    s->back_off_ms = 0;
    s->n_restarts = 0;
    s->n_deaths = 0;
    evtimer_del(s->on_restart);
}

static void fail(struct slot *s, const struct err *why)
{
    empty_slot(s);
    s->fleet->listener.failed(s->fleet->listener.arg, s->role, why);
}

static void on_dead(void *arg, struct proc *p, const struct obituary *o);

static void start_proc(struct slot *s)
{
    struct fleet *f = s->fleet;
    struct err e = {0};
    const struct proc_options options = {
        .base = f->base,
        .board = f->board,
        .program = f->worker_program,
        .role = roles[s->role].name,
        .start_timeout_ms = f->settings->start_timeout_ms,
        .hang_ms = f->settings->hang_ms,
        .drain_ms = f->settings->predict_deadline_ms,
    };
    const struct proc_listener up = {.ready = on_ready, .dead = on_dead, .arg = f};
    s->warm = false;
    s->proc = proc_start(&options, s->model, &up, &e);
    if (s->proc != NULL) {
        f->n_procs++;
        return;
    }
    log_error("%s: %s", roles[s->role].name, e.text);
    if (s->was_up) { /* out of processes or memory: that may pass */
        struct timeval later = {.tv_sec = MAX_BACK_OFF_MS / 1000};
        evtimer_add(s->on_restart, &later);
        return;
    }
    fail(s, &e);
}

static void on_restart(evutil_socket_t fd, short what, void *arg)
{
    struct slot *s = arg;
    (void)fd, (void)what;
    if (s->was_up)
        s->n_restarts++;
    start_proc(s);
}

/* The start, too, happens on the next turn: no news from inside fleet_start. */
static void start_in_ms(struct slot *s, int64_t ms)
{
    struct timeval t = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
    evtimer_add(s->on_restart, &t);
}

/* --- Deaths -----------------------------------------------------------------*/

static void explain_death(const struct slot *s, const struct obituary *o, struct err *e)
{
    if (o->refusal[0] != '\0')
        err_set(e, "model-invalid", "%.200s: %s", s->model->name, o->refusal);
    else if (o->start_timed_out || s->timed_out)
        err_set(e, "worker-start-timeout", "%.200s: the worker was not ready within %lld ms",
                s->model->name, (long long)s->fleet->settings->start_timeout_ms);
    else /* why is ours, or only that the socket was closed: how says more then */
        err_set(e, "model-invalid", "%.200s: the worker ended before it took calls: %s%s%s",
                s->model->name, o->how, o->why[0] != '\0' ? "; " : "", o->why);
}

static bool died_too_often(struct slot *s, int64_t now)
{
    uint64_t limit = (uint64_t)s->fleet->settings->crash_limit;
    s->deaths_ns[s->n_deaths++ % MAX_CRASH_LIMIT] = now;
    if (!roles[s->role].has_crash_limit || s->n_deaths < limit)
        return false;
    return now - s->deaths_ns[(s->n_deaths - limit) % MAX_CRASH_LIMIT] <= CRASH_WINDOW_NS;
}

static void restart_later(struct slot *s, int64_t now)
{
    if (s->warm && now - s->warm_since_ns >= HEALTHY_LIFE_NS)
        s->back_off_ms = 0;
    start_in_ms(s, s->back_off_ms);
    s->back_off_ms = s->back_off_ms == 0 ? FIRST_BACK_OFF_MS : s->back_off_ms * 2;
    if (s->back_off_ms > MAX_BACK_OFF_MS)
        s->back_off_ms = MAX_BACK_OFF_MS;
}

static void lose_proc(struct slot *s, const struct obituary *o)
{
    struct fleet *f = s->fleet;
    struct err why = {0};
    int64_t now = clock_mono_ns();
    s->proc = NULL;
    if (f->stopping) {
        empty_slot(s);
    } else if (!s->was_up || !roles[s->role].is_restarted) {
        explain_death(s, o, &why);
        fail(s, &why);
    } else if (died_too_often(s, now)) {
        char text[200];
        snprintf(text, sizeof text, "%.60s died %lld times within 60 s, the last time with %s",
                 s->model->version, (long long)f->settings->crash_limit, o->how);
        empty_slot(s);
        f->listener.gave_up(f->listener.arg, s->role, text);
    } else {
        restart_later(s, now);
        s->warm = false;
    }
}

static void forget_retired(struct fleet *f, const struct proc *p)
{
    struct retired *r;
    TAILQ_FOREACH(r, &f->retired, next) {
        if (r->proc == p) {
            TAILQ_REMOVE(&f->retired, r, next);
            free(r);
            return;
        }
    }
}

static void on_dead(void *arg, struct proc *p, const struct obituary *o)
{
    struct fleet *f = arg;
    struct slot *s = slot_of(f, p);
    f->n_procs--;
    if (s != NULL)
        lose_proc(s, o);
    else
        forget_retired(f, p);
    f->listener.buried(f->listener.arg);
}

/* --- For the owner ----------------------------------------------------------*/

struct fleet *fleet_new(struct event_base *base, const struct settings *settings,
                        const char *worker_program, struct board *board,
                        const struct fleet_listener *listener)
{
    struct fleet *f = mem_alloc(sizeof *f);
    *f = (struct fleet){.base = base,
                        .settings = settings,
                        .worker_program = worker_program,
                        .board = board,
                        .listener = *listener};
    TAILQ_INIT(&f->retired);
    for (int i = 0; i < N_ROLES; i++) {
        struct slot *s = &f->slots[i];
        *s = (struct slot){.fleet = f, .role = (enum role)i};
        s->deaths_ns = mem_array(MAX_CRASH_LIMIT, sizeof *s->deaths_ns);
        s->on_restart = evtimer_new(base, on_restart, s);
    }
    return f;
}

void fleet_free(struct fleet **handle)
{
    struct fleet *f = *handle;
    if (f == NULL)
        return;
    *handle = NULL;
    assert(f->n_procs == 0);
    for (int i = 0; i < N_ROLES; i++) {
        empty_slot(&f->slots[i]);
        event_free(f->slots[i].on_restart);
        free(f->slots[i].deaths_ns);
    }
    free(f);
}

void fleet_set_settings(struct fleet *f, const struct settings *settings)
{
    f->settings = settings;
}

void fleet_start(struct fleet *f, enum role role, struct modelref *model)
{
    struct slot *s = &f->slots[role];
    assert(s->model == NULL);
    s->model = modelref_keep(model);
    start_in_ms(s, 0);
}

struct proc *fleet_ready(const struct fleet *f, enum role role)
{
    const struct slot *s = &f->slots[role];
    return s->warm && proc_state(s->proc) == PROC_READY ? s->proc : NULL;
}

struct modelref *fleet_model(const struct fleet *f, enum role role)
{
    return f->slots[role].model;
}

void fleet_move(struct fleet *f, enum role from, enum role to)
{
    struct slot *a = &f->slots[from];
    struct slot *b = &f->slots[to];
    assert(a->model != NULL && b->model == NULL);
    b->model = modelref_keep(a->model);
    b->proc = a->proc;
    b->warm = a->warm;
    b->was_up = a->was_up;
    b->warm_since_ns = a->warm_since_ns;
    if (b->proc == NULL) /* between a death and its restart */
        start_in_ms(b, 0);
    else
        proc_set_role(b->proc, roles[to].name);
    if (b->proc != NULL && a->delay_ms != b->delay_ms)
        proc_delay(b->proc, b->delay_ms);
    empty_slot(a);
}

/* Takes the process out of its role; the role is empty then. */
static struct proc *take_out(struct slot *s)
{
    struct proc *p = s->proc;
    empty_slot(s);
    if (p != NULL) {
        struct retired *r = mem_alloc(sizeof *r);
        r->proc = p;
        TAILQ_INSERT_TAIL(&s->fleet->retired, r, next);
    }
    return p;
}

void fleet_retire(struct fleet *f, enum role role)
{
    struct proc *p = take_out(&f->slots[role]);
    if (p != NULL)
        proc_drain(p);
}

void fleet_kill(struct fleet *f, enum role role, const char *why)
{
    struct proc *p = take_out(&f->slots[role]);
    if (p != NULL)
        proc_kill(p, why);
}

void fleet_set_delay(struct fleet *f, enum role role, double ms)
{
    struct slot *s = &f->slots[role];
    s->delay_ms = ms;
    if (fleet_ready(f, role) != NULL)
        proc_delay(s->proc, ms);
}

void fleet_stop(struct fleet *f)
{
    f->stopping = true;
    for (int i = 0; i < N_ROLES; i++) {
        if (f->slots[i].proc != NULL)
            fleet_retire(f, (enum role)i);
        else
            empty_slot(&f->slots[i]);
    }
}

void fleet_kill_all(struct fleet *f)
{
    struct retired *r;
    fleet_stop(f);
    TAILQ_FOREACH(r, &f->retired, next)
        proc_kill(r->proc, "the supervisor stops");
}

size_t fleet_n_procs(const struct fleet *f)
{
    return f->n_procs;
}

void fleet_each(const struct fleet *f, void (*see)(void *arg, enum role role, const struct proc *p),
                void *arg)
{
    const struct retired *r;
    for (int i = 0; i < N_ROLES; i++)
        if (f->slots[i].proc != NULL)
            see(arg, (enum role)i, f->slots[i].proc);
    TAILQ_FOREACH(r, &f->retired, next)
        see(arg, N_ROLES, r->proc);
}

unsigned fleet_n_restarts(const struct fleet *f, enum role role)
{
    return f->slots[role].n_restarts;
}
