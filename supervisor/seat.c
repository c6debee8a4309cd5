/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * One process after the other; see seat.h.
 */
#include "supervisor/seat.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>

#include <event2/event.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "supervisor/modelref.h"
#include "supervisor/places.h"
#include "supervisor/proc.h"
#include "supervisor/python.h"
#include "supervisor/settings.h"

#define HEALTHY_LIFE_NS   (1 * NS_PER_SEC) /* after so long a death is an accident, not a loop */
#define FIRST_BACK_OFF_MS 100
#define MAX_BACK_OFF_MS   10000

struct seat {
    const struct seat_means *means;
    struct seat_listener listener;
    struct modelref *model;
    const char *role;
    struct proc *proc; /* NULL: vacant */
    bool warm;         /* the process takes calls */
    bool timed_out;    /* while it was warmed up */
    double delay_ms;
    int64_t warm_since_ns;
    int64_t back_off_ms;
    struct event *on_start;
};

/* The calls that warm a process up, one after the other over its real channel. */
struct warm_up {
    struct proc_call call; /* first: a call is its warm-up */
    struct seat *seat;     /* stays as long as its process does */
    int64_t n_left;
    size_t n_features;
    double *zeros;
};

/* --- Starting and warming up ------------------------------------------------*/

static void warm_up_free(struct warm_up *w)
{
    free(w->zeros);
    free(w);
}

static void come_up(struct seat *s)
{
    s->warm = true;
    s->warm_since_ns = clock_mono_ns();
    proc_reset_counts(s->proc);
    if (s->delay_ms > 0)
        proc_delay(s->proc, s->delay_ms);
    s->listener.warm(s->listener.arg, s);
}

static void warm_up_next(struct warm_up *w)
{
    /* Reading the model and warming up share one deadline. */
    struct proc *p = w->seat->proc;
    int64_t timeout_ms = w->seat->means->settings->start_timeout_ms;
    w->n_left--;
    proc_predict(p, &w->call, w->zeros, w->n_features, 1,
                 proc_started_ns(p) + timeout_ms * NS_PER_MS, false);
}

/* Zeros may be nothing that the model can answer: a FAULT warms as well. */
static void on_warmed(struct proc_call *call, const struct call_result *result)
{
    struct warm_up *w = (struct warm_up *)call;
    struct seat *s = w->seat;
    bool alive = result->outcome != CALL_LOST && proc_state(s->proc) == PROC_READY;
    if (alive && result->outcome == CALL_TIMEOUT) {
        s->timed_out = true;
        proc_kill(s->proc, "it was not warm in time");
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
    struct seat *s = arg;
    if (s->means->settings->warmup_requests == 0) {
        come_up(s);
        return;
    }
    struct warm_up *w = mem_alloc(sizeof *w);
    *w = (struct warm_up){.call.done = on_warmed,
                          .seat = s,
                          .n_left = s->means->settings->warmup_requests,
                          .n_features = proc_n_features(p)};
    w->zeros = mem_array(w->n_features, sizeof *w->zeros);
    warm_up_next(w);
}

static void on_dead(void *arg, struct proc *p, const struct obituary *o);

/* Says in o by what the model is served. 0, or -1 with err "python-missing". */
static int choose_program(const struct seat *s, struct proc_options *o, struct err *e)
{
    const struct seat_means *m = s->means;
    o->program = m->programs->native;
    if (s->model->runtime == RUNTIME_NATIVE)
        return 0;
    o->program = m->programs->python;
    o->python = m->settings->python;
    const struct python_job job = {
        .what = "serving it", .program = o->program, .setting = "python_worker_program"};
    return python_check(o->python, &job, s->model->name, e);
}

static void on_start(evutil_socket_t fd, short what, void *arg)
{
    struct seat *s = arg;
    const struct seat_means *m = s->means;
    struct err e = {0};
    struct proc_options options = {
        .base = m->base,
        .lines = m->lines,
        .board = m->board,
        .role = s->role,
        .start_timeout_ms = m->settings->start_timeout_ms,
        .hang_ms = m->settings->hang_ms,
        .drain_ms = m->settings->predict_deadline_ms,
        .uid = m->settings->worker_uid,
        .gid = m->settings->worker_gid,
        .memory_bytes = m->settings->worker_memory_bytes,
        .allow_uncaged = m->settings->allow_uncaged_pickles,
    };
    const struct proc_listener up = {.ready = on_ready, .dead = on_dead, .arg = s};
    struct vacancy v = {.end = END_REFUSED, .why = &e};
    (void)fd, (void)what;
    if (choose_program(s, &options, &e) == 0) {
        v.end = END_NOT_BEGUN;
        s->proc = proc_start(&options, s->model, &up, &e);
    }
    if (s->proc != NULL)
        return;
    log_error("%s: %s", s->role, e.text);
    s->listener.vacant(s->listener.arg, s, &v);
}

static void start_in_ms(struct seat *s, int64_t ms)
{
    struct timeval t = clock_span(ms);
    evtimer_add(s->on_start, &t);
}

/* --- Deaths -----------------------------------------------------------------*/

static void explain_death(const struct seat *s, const struct obituary *o, struct err *e)
{
    if (o->refusal[0] != '\0')
        err_set(e, "model-invalid", "%.200s: %s", s->model->name, o->refusal);
    else if (o->start_timed_out || s->timed_out)
        err_set(e, "worker-start-timeout", "%.200s: the worker was not ready within %lld ms",
                s->model->name, (long long)s->means->settings->start_timeout_ms);
    else /* why is ours, or only that the socket was closed: how says more then */
        err_set(e, "model-invalid", "%.200s: the worker ended before it took calls: %s%s%s%s%s",
                s->model->name, o->how, o->why[0] != '\0' ? "; " : "", o->why,
                o->last_words[0] != '\0' ? "; last words: " : "", o->last_words);
}

static enum end end_of(const struct seat *s, const struct obituary *o)
{
    if (o->refusal[0] != '\0')
        return END_REFUSED;
    return o->start_timed_out || s->timed_out ? END_NOT_IN_TIME : END_ACCIDENT;
}

/* What it did decides how long the next one waits: seat.h says how. */
static void adjust_back_off(struct seat *s)
{
    if (!s->warm)
        return;
    if (clock_mono_ns() - s->warm_since_ns >= HEALTHY_LIFE_NS)
        s->back_off_ms = 0;
    else if (proc_counts(s->proc).n[CALL_OK] > 0 && s->back_off_ms > FIRST_BACK_OFF_MS)
        s->back_off_ms = FIRST_BACK_OFF_MS;
}

static void on_dead(void *arg, struct proc *p, const struct obituary *o)
{
    struct seat *s = arg;
    struct err why = {0};
    (void)p;
    explain_death(s, o, &why);
    const struct vacancy v = {.end = end_of(s, o), .how = o->how, .why = &why};
    adjust_back_off(s);
    s->proc = NULL;
    s->warm = s->timed_out = false;
    s->listener.vacant(s->listener.arg, s, &v); /* s may be gone now */
}

/* --- For the owner ----------------------------------------------------------*/

struct seat *seat_new(const struct seat_means *means, struct modelref *model, const char *role,
                      const struct seat_listener *listener)
{
    struct seat *s = mem_alloc(sizeof *s);
    *s = (struct seat){
        .means = means, .listener = *listener, .model = modelref_keep(model), .role = role};
    s->on_start = evtimer_new(means->base, on_start, s);
    start_in_ms(s, 0);
    return s;
}

void seat_free(struct seat **handle)
{
    struct seat *s = *handle;
    if (s == NULL)
        return;
    *handle = NULL;
    assert(s->proc == NULL);
    event_free(s->on_start);
    modelref_free(&s->model);
    free(s);
}

void seat_restart(struct seat *s)
{
    assert(s->proc == NULL);
    start_in_ms(s, s->back_off_ms);
    s->back_off_ms = s->back_off_ms == 0 ? FIRST_BACK_OFF_MS : s->back_off_ms * 2;
    if (s->back_off_ms > MAX_BACK_OFF_MS)
        s->back_off_ms = MAX_BACK_OFF_MS;
}

void seat_set_role(struct seat *s, const char *role)
{
    s->role = role;
    if (s->proc != NULL)
        proc_set_role(s->proc, role);
}

void seat_set_delay(struct seat *s, double ms)
{
    bool differs = s->delay_ms != ms;
    s->delay_ms = ms;
    if (differs && seat_ready(s) != NULL)
        proc_delay(s->proc, ms);
}

struct proc *seat_proc(const struct seat *s)
{
    return s->proc;
}

struct proc *seat_ready(const struct seat *s)
{
    return s->warm && proc_state(s->proc) == PROC_READY ? s->proc : NULL;
}
