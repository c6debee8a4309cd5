/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A slot per role, a list of retired seats; see fleet.h.
 */
#include "supervisor/fleet.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/queue.h>

#include "common/clock.h"
#include "common/mem.h"
#include "supervisor/modelref.h"
#include "supervisor/proc.h"
#include "supervisor/seat.h"
#include "supervisor/settings.h"

#define CRASH_WINDOW_NS (60 * NS_PER_SEC)
#define MAX_CRASH_LIMIT 1000 /* of the setting crash_limit */

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
    struct seat *seat;
    bool was_up; /* some process of this model took calls */
    double delay_ms;
    unsigned n_restarts;
    int64_t *deaths_ns; /* a ring of the last MAX_CRASH_LIMIT ones */
    uint64_t n_deaths;
};

struct retired {
    TAILQ_ENTRY(retired) next;
    struct seat *seat;
};

struct fleet {
    struct seat_means means;
    struct fleet_listener listener;
    struct slot slots[N_ROLES];
    TAILQ_HEAD(retired_list, retired) retired;
};

const char *role_name(enum role role)
{
    return role < N_ROLES ? roles[role].name : "retired";
}

static struct slot *slot_of(struct fleet *f, const struct seat *seat)
{
    for (int i = 0; i < N_ROLES; i++)
        if (f->slots[i].seat == seat)
            return &f->slots[i];
    return NULL;
}

static void empty_slot(struct slot *s)
{
    modelref_free(&s->model);
    s->seat = NULL;
    s->was_up = false;
    s->n_restarts = 0;
    s->n_deaths = 0;
}

/* Takes the process out of its role; the role is empty then. */
static struct proc *take_out(struct slot *s)
{
    struct seat *seat = s->seat;
    empty_slot(s);
    if (seat == NULL)
        return NULL;
    struct proc *p = seat_proc(seat);
    if (p == NULL) {
        seat_free(&seat);
        return NULL;
    }
    struct retired *r = mem_alloc(sizeof *r);
    r->seat = seat;
    TAILQ_INSERT_TAIL(&s->fleet->retired, r, next);
    return p;
}

/* --- News of the seats ------------------------------------------------------*/

static void on_warm(void *arg, struct seat *seat)
{
    struct fleet *f = arg;
    struct slot *s = slot_of(f, seat);
    assert(s != NULL);
    s->was_up = true;
    f->listener.up(f->listener.arg, s->role);
}

static bool died_too_often(struct slot *s)
{
    int64_t now = clock_mono_ns();
    uint64_t limit = (uint64_t)s->fleet->means.settings->crash_limit;
    s->deaths_ns[s->n_deaths++ % MAX_CRASH_LIMIT] = now;
    if (!roles[s->role].has_crash_limit || s->n_deaths < limit)
        return false;
    return now - s->deaths_ns[(s->n_deaths - limit) % MAX_CRASH_LIMIT] <= CRASH_WINDOW_NS;
}

static void give_up(struct slot *s, const char *how)
{
    struct fleet *f = s->fleet;
    char text[200];
    snprintf(text, sizeof text, "%.60s died %lld times within 60 s, the last time with %s",
             s->model->version, (long long)f->means.settings->crash_limit, how);
    take_out(s);
    f->listener.gave_up(f->listener.arg, s->role, text);
}

static void lose_proc(struct slot *s, const char *how, const struct err *why)
{
    struct fleet *f = s->fleet;
    if (!s->was_up || !roles[s->role].is_restarted) {
        take_out(s);
        f->listener.failed(f->listener.arg, s->role, why);
    } else if (how != NULL && died_too_often(s)) { /* NULL: no memory or no room, that may pass */
        give_up(s, how);
    } else {
        s->n_restarts++;
        seat_restart(s->seat);
    }
}

static void forget_retired(struct fleet *f, struct seat *seat)
{
    struct retired *r;
    TAILQ_FOREACH(r, &f->retired, next) {
        if (r->seat == seat) {
            TAILQ_REMOVE(&f->retired, r, next);
            seat_free(&r->seat);
            free(r);
            return;
        }
    }
}

static void on_vacant(void *arg, struct seat *seat, const char *how, const struct err *why)
{
    struct fleet *f = arg;
    struct slot *s = slot_of(f, seat);
    if (s != NULL)
        lose_proc(s, how, why);
    else
        forget_retired(f, seat);
    f->listener.buried(f->listener.arg);
}

/* --- For the owner ----------------------------------------------------------*/

struct fleet *fleet_new(struct event_base *base, const struct settings *settings,
                        const char *worker_program, struct board *board,
                        const struct fleet_listener *listener)
{
    struct fleet *f = mem_alloc(sizeof *f);
    *f = (struct fleet){.means = {.base = base,
                                  .settings = settings,
                                  .worker_program = worker_program,
                                  .board = board},
                        .listener = *listener};
    TAILQ_INIT(&f->retired);
    for (int i = 0; i < N_ROLES; i++) {
        struct slot *s = &f->slots[i];
        *s = (struct slot){.fleet = f, .role = (enum role)i};
        s->deaths_ns = mem_array(MAX_CRASH_LIMIT, sizeof *s->deaths_ns);
    }
    return f;
}

void fleet_free(struct fleet **handle)
{
    struct fleet *f = *handle;
    if (f == NULL)
        return;
    *handle = NULL;
    assert(fleet_n_procs(f) == 0);
    for (int i = 0; i < N_ROLES; i++) {
        take_out(&f->slots[i]);
        free(f->slots[i].deaths_ns);
    }
    free(f);
}

void fleet_set_settings(struct fleet *f, const struct settings *settings)
{
    f->means.settings = settings;
}

void fleet_start(struct fleet *f, enum role role, struct modelref *model)
{
    const struct seat_listener news = {.warm = on_warm, .vacant = on_vacant, .arg = f};
    struct slot *s = &f->slots[role];
    assert(s->model == NULL);
    s->model = modelref_keep(model);
    s->seat = seat_new(&f->means, model, roles[role].name, &news);
    seat_set_delay(s->seat, s->delay_ms);
}

struct proc *fleet_ready(const struct fleet *f, enum role role)
{
    const struct slot *s = &f->slots[role];
    return s->seat != NULL ? seat_ready(s->seat) : NULL;
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
    b->seat = a->seat;
    b->was_up = a->was_up;
    seat_set_role(b->seat, roles[to].name);
    seat_set_delay(b->seat, b->delay_ms);
    empty_slot(a);
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
    if (s->seat != NULL)
        seat_set_delay(s->seat, ms);
}

void fleet_stop(struct fleet *f)
{
    for (int i = 0; i < N_ROLES; i++)
        fleet_retire(f, (enum role)i);
}

void fleet_kill_all(struct fleet *f)
{
    struct retired *r;
    fleet_stop(f);
    TAILQ_FOREACH(r, &f->retired, next)
        proc_kill(seat_proc(r->seat), "the supervisor stops");
}

static void count(void *arg, enum role role, const struct proc *p)
{
    size_t *n = arg;
    (void)role, (void)p;
    ++*n;
}

size_t fleet_n_procs(const struct fleet *f)
{
    size_t n = 0;
    fleet_each(f, count, &n);
    return n;
}

void fleet_each(const struct fleet *f, void (*see)(void *arg, enum role role, const struct proc *p),
                void *arg)
{
    const struct retired *r;
    for (int i = 0; i < N_ROLES; i++)
        if (f->slots[i].seat != NULL && seat_proc(f->slots[i].seat) != NULL)
            see(arg, (enum role)i, seat_proc(f->slots[i].seat));
    TAILQ_FOREACH(r, &f->retired, next)
        see(arg, N_ROLES, seat_proc(r->seat));
}

unsigned fleet_n_restarts(const struct fleet *f, enum role role)
{
    return f->slots[role].n_restarts;
}
