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
#include "supervisor/line.h"
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
    bool waits_for_all; /* it is up when every process is warm, not with the first */
    bool may_never_be;  /* restarted even if it never was up: nothing depends on it */
} roles[N_ROLES] = {
    [ROLE_STABLE] = {"stable", .is_restarted = true},
    [ROLE_BASELINE] = {"baseline", .is_restarted = true, .may_never_be = true},
    [ROLE_CANARY] = {"canary", .is_restarted = true, .has_crash_limit = true},
    [ROLE_CANDIDATE] = {"candidate", .waits_for_all = true},
    [ROLE_NEXT_BASELINE] = {"next-baseline", .is_restarted = true, .may_never_be = true},
};

struct slot {
    struct fleet *fleet;
    enum role role;
    struct modelref *model; /* NULL: the role is empty */
    struct seat *seats[SETTINGS_MAX_WORKERS];
    size_t n_seats;
    size_t turn; /* the seat that comes first among equals */
    bool was_up; /* some process of this model took calls */
    double delay_ms;
    unsigned n_tries; /* before the role is up */
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
    struct lines lines;
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
        for (size_t k = 0; k < f->slots[i].n_seats; k++)
            if (f->slots[i].seats[k] == seat)
                return &f->slots[i];
    return NULL;
}

static void empty_slot(struct slot *s)
{
    modelref_free(&s->model);
    s->n_seats = s->turn = 0;
    s->was_up = false;
    s->n_restarts = 0;
    s->n_deaths = 0;
}

static void retire_seat(struct fleet *f, struct seat *seat, const char *why)
{
    struct proc *p = seat_proc(seat);
    if (p == NULL) {
        seat_free(&seat);
        return;
    }
    struct retired *r = mem_alloc(sizeof *r);
    r->seat = seat;
    TAILQ_INSERT_TAIL(&f->retired, r, next);
    if (why != NULL)
        proc_kill(p, why);
    else
        proc_drain(p);
}

/* The role is empty then, and its processes go: why they are killed, or NULL,
 * and they finish their calls first. */
static void clear_slot(struct slot *s, const char *why)
{
    for (size_t i = 0; i < s->n_seats; i++)
        retire_seat(s->fleet, s->seats[i], why);
    empty_slot(s);
}

/* --- News of the seats ------------------------------------------------------*/

static void on_warm(void *arg, struct seat *seat)
{
    struct fleet *f = arg;
    struct slot *s = slot_of(f, seat);
    assert(s != NULL);
    if (roles[s->role].waits_for_all && fleet_n_ready(f, s->role) < s->n_seats)
        return;
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
    f->listener.gave_up(f->listener.arg, s->role, text);
    if (s->model != NULL)
        clear_slot(s, "its version died too often");
}

static bool has_begun(const struct slot *s)
{
    return s->was_up || roles[s->role].may_never_be;
}

static bool may_try_again(const struct slot *s, enum end end)
{
    if (has_begun(s))
        return roles[s->role].is_restarted;
    return (end == END_ACCIDENT || end == END_NOT_BEGUN) && s->n_restarts + 1 < s->n_tries;
}

static void lose_proc(struct slot *s, struct seat *seat, const struct vacancy *v)
{
    struct fleet *f = s->fleet;
    if (!may_try_again(s, v->end)) {
        clear_slot(s, "another process of its version failed");
        f->listener.failed(f->listener.arg, s->role, v->why, v->end != END_REFUSED);
    } else if (has_begun(s) && v->how != NULL && died_too_often(s)) {
        give_up(s, v->how);
    } else {
        s->n_restarts++;
        seat_restart(seat);
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

static void on_vacant(void *arg, struct seat *seat, const struct vacancy *v)
{
    struct fleet *f = arg;
    struct slot *s = slot_of(f, seat);
    if (s != NULL)
        lose_proc(s, seat, v);
    else
        forget_retired(f, seat);
    f->listener.buried(f->listener.arg);
}

/* --- For the owner ----------------------------------------------------------*/

struct fleet *fleet_new(struct event_base *base, const struct settings *settings,
                        const struct worker_programs *programs, struct board *board,
                        const struct fleet_listener *listener)
{
    struct fleet *f = mem_alloc(sizeof *f);
    *f = (struct fleet){
        .means = {.base = base, .settings = settings, .programs = programs, .board = board},
        .listener = *listener};
    lines_open(&f->lines, base);
    f->means.lines = &f->lines;
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
        clear_slot(&f->slots[i], NULL);
        free(f->slots[i].deaths_ns);
    }
    lines_close(&f->lines);
    free(f);
}

void fleet_set_settings(struct fleet *f, const struct settings *settings)
{
    f->means.settings = settings;
}

void fleet_start(struct fleet *f, enum role role, struct modelref *model, unsigned n_tries)
{
    const struct seat_listener news = {.warm = on_warm, .vacant = on_vacant, .arg = f};
    struct slot *s = &f->slots[role];
    assert(s->model == NULL);
    s->model = modelref_keep(model);
    s->n_tries = n_tries;
    s->n_seats = (size_t)f->means.settings->workers_per_version;
    for (size_t i = 0; i < s->n_seats; i++) {
        s->seats[i] = seat_new(&f->means, model, roles[role].name, &news);
        seat_set_delay(s->seats[i], s->delay_ms);
    }
}

struct proc *fleet_pick(struct fleet *f, enum role role, const struct proc *but)
{
    struct slot *s = &f->slots[role];
    struct proc *best = NULL;
    size_t least = 0, turn = 0;
    for (size_t i = 0; i < s->n_seats; i++) {
        size_t k = (s->turn + i) % s->n_seats;
        struct proc *p = seat_ready(s->seats[k]);
        if (p == NULL || p == but || proc_is_held(p))
            continue;
        size_t n = proc_counts(p).n_owed;
        if (best == NULL || n < least) {
            best = p;
            least = n;
            turn = k + 1;
        }
    }
    if (best != NULL)
        s->turn = turn;
    return best;
}

struct proc *fleet_ready(const struct fleet *f, enum role role)
{
    const struct slot *s = &f->slots[role];
    for (size_t i = 0; i < s->n_seats; i++)
        if (seat_ready(s->seats[i]) != NULL)
            return seat_ready(s->seats[i]);
    return NULL;
}

size_t fleet_n_ready(const struct fleet *f, enum role role)
{
    const struct slot *s = &f->slots[role];
    size_t n = 0;
    for (size_t i = 0; i < s->n_seats; i++)
        n += seat_ready(s->seats[i]) != NULL;
    return n;
}

bool fleet_is_holding(const struct fleet *f, enum role role)
{
    const struct slot *s = &f->slots[role];
    for (size_t i = 0; i < s->n_seats; i++)
        if (seat_ready(s->seats[i]) != NULL && proc_is_held(seat_ready(s->seats[i])))
            return true;
    return false;
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
    b->was_up = a->was_up;
    b->n_seats = a->n_seats;
    for (size_t i = 0; i < a->n_seats; i++) {
        b->seats[i] = a->seats[i];
        seat_set_role(b->seats[i], roles[to].name);
        seat_set_delay(b->seats[i], b->delay_ms);
    }
    empty_slot(a);
}

void fleet_retire(struct fleet *f, enum role role)
{
    clear_slot(&f->slots[role], NULL);
}

void fleet_kill(struct fleet *f, enum role role, const char *why)
{
    clear_slot(&f->slots[role], why);
}

void fleet_set_delay(struct fleet *f, enum role role, double ms)
{
    struct slot *s = &f->slots[role];
    s->delay_ms = ms;
    for (size_t i = 0; i < s->n_seats; i++)
        seat_set_delay(s->seats[i], ms);
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
        for (size_t k = 0; k < f->slots[i].n_seats; k++)
            if (seat_proc(f->slots[i].seats[k]) != NULL)
                see(arg, (enum role)i, seat_proc(f->slots[i].seats[k]));
    TAILQ_FOREACH(r, &f->retired, next)
        see(arg, N_ROLES, seat_proc(r->seat));
}

struct counting {
    enum role role;
    struct proc_counts sum;
};

static void count_proc(void *arg, enum role role, const struct proc *p)
{
    struct counting *c = arg;
    struct proc_counts counts = proc_counts(p);
    if (role != c->role)
        return;
    for (int i = 0; i < N_CALL_OUTCOMES; i++)
        c->sum.n[i] += counts.n[i];
    c->sum.n_in_flight += counts.n_in_flight;
    c->sum.n_owed += counts.n_owed;
}

struct proc_counts fleet_counts(const struct fleet *f, enum role role)
{
    struct counting c = {.role = role};
    fleet_each(f, count_proc, &c);
    return c.sum;
}

unsigned fleet_n_restarts(const struct fleet *f, enum role role)
{
    return f->slots[role].n_restarts;
}
