/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Faults that happen to workers: signals, to one worker at a time. The promise
 * holds as long as one worker of either version answers within the deadline, so
 * none is hurt while it is the only one left of several; but stable alone is
 * hurt too, for its successor comes long before any deadline.
 */
#include <signal.h>
#include <string.h>

#include "common/clock.h"
#include "tests/chaos/world.h"

#define SHORT_LIFE_NS  (1500 * NS_PER_MS) /* after a longer one a restart is not delayed */
#define MAX_SHORT_LIFE 3                  /* in a row: the delay has become 400 ms then */

static bool is_canary(const struct status_worker *x)
{
    return strcmp(x->role, "canary") == 0;
}

static bool answers(const struct world *w, const struct status_worker *x)
{
    bool serves = strcmp(x->role, "stable") == 0 || strcmp(x->role, "baseline") == 0 ||
                  (is_canary(x) && !world_canary_is_evil(w));
    return serves && x->ready && !world_is_hurt(w, x->pid);
}

static int n_answering(const struct world *w)
{
    int n = 0;
    for (int i = 0; i < w->scene.n_workers; i++)
        n += answers(w, &w->scene.workers[i]);
    return n;
}

/* The n-th (modulo how many there are) worker that plays the role and is well. */
static const struct status_worker *pick(const struct world *w, const char *role, uint32_t n)
{
    const struct status_worker *found[STATUS_MAX_PIDS];
    uint32_t n_found = 0;
    for (int i = 0; i < w->scene.n_workers; i++) {
        const struct status_worker *x = &w->scene.workers[i];
        if (strcmp(x->role, role) == 0 && !world_is_hurt(w, x->pid))
            found[n_found++] = x;
    }
    return n_found > 0 ? found[n % n_found] : NULL;
}

/* --- Stable -----------------------------------------------------------------*/

static bool stable_recovers_soon(const struct world *w)
{
    bool in_a_row = clock_mono_ns() - w->stable_hurt_ns < SHORT_LIFE_NS;
    return !in_a_row || w->n_stable_hurt < MAX_SHORT_LIFE;
}

/* Another one answers, or there is no other by nature. */
static bool stable_may_be_hurt(struct world *w, uint32_t how)
{
    const struct status_worker *victim = pick(w, "stable", how);
    if (victim == NULL || !victim->ready)
        return false;
    if (n_answering(w) > 1)
        return true;
    return (w->scene.canary[0] == '\0' || world_canary_is_evil(w)) && stable_recovers_soon(w);
}

static void note_stable_hurt(struct world *w)
{
    int64_t now = clock_mono_ns();
    w->n_stable_hurt = now - w->stable_hurt_ns < SHORT_LIFE_NS ? w->n_stable_hurt + 1 : 1;
    w->stable_hurt_ns = now;
}

static void hurt(struct world *w, const char *role, uint32_t how, int signal)
{
    const struct status_worker *victim = pick(w, role, how);
    if (victim == NULL)
        return;
    if (strcmp(role, "stable") == 0)
        note_stable_hurt(w);
    world_note_hurt(w, victim->pid);
    kill(victim->pid, signal);
}

/* Stopped, and continued before or after it is found out. */
static void pause_for_a_while(struct world *w, const char *role, uint32_t how)
{
    world_resume(w, true);
    const struct status_worker *victim = pick(w, role, how);
    if (victim == NULL)
        return;
    w->paused = victim->pid;
    w->resume_ns = clock_mono_ns() + (20 + how % 600) * NS_PER_MS;
    hurt(w, role, how, SIGSTOP);
}

static void kill_stable(struct world *w, uint32_t how)
{
    hurt(w, "stable", how, SIGKILL);
}

static void segv_stable(struct world *w, uint32_t how)
{
    hurt(w, "stable", how, SIGSEGV);
}

static void abort_stable(struct world *w, uint32_t how)
{
    hurt(w, "stable", how, SIGABRT);
}

static void stop_stable(struct world *w, uint32_t how)
{
    hurt(w, "stable", how, SIGSTOP);
}

static void pause_stable(struct world *w, uint32_t how)
{
    pause_for_a_while(w, "stable", how);
}

/* --- The canary -------------------------------------------------------------*/

static bool canary_may_be_hurt(struct world *w, uint32_t how)
{
    const struct status_worker *victim = pick(w, "canary", how);
    if (victim == NULL)
        return false;
    return n_answering(w) > (answers(w, victim) ? 1 : 0);
}

static void kill_canary(struct world *w, uint32_t how)
{
    hurt(w, "canary", how, SIGKILL);
}

static void segv_canary(struct world *w, uint32_t how)
{
    hurt(w, "canary", how, SIGSEGV);
}

static void abort_canary(struct world *w, uint32_t how)
{
    hurt(w, "canary", how, SIGABRT);
}

static void stop_canary(struct world *w, uint32_t how)
{
    hurt(w, "canary", how, SIGSTOP);
}

static void pause_canary(struct world *w, uint32_t how)
{
    pause_for_a_while(w, "canary", how);
}

/* --- Whoever else there is --------------------------------------------------*/

static bool has_baseline(struct world *w, uint32_t how)
{
    return pick(w, "baseline", how) != NULL && n_answering(w) > 1;
}

static bool has_next_baseline(struct world *w, uint32_t how)
{
    return pick(w, "next-baseline", how) != NULL;
}

static bool has_candidate(struct world *w, uint32_t how)
{
    return pick(w, "candidate", how) != NULL;
}

static bool has_retired(struct world *w, uint32_t how)
{
    return pick(w, "retired", how) != NULL;
}

static const int lethal[] = {SIGKILL, SIGSEGV, SIGABRT, SIGSTOP};

static void hurt_baseline(struct world *w, uint32_t how)
{
    hurt(w, "baseline", how, lethal[how % 4]);
}

static void pause_baseline(struct world *w, uint32_t how)
{
    pause_for_a_while(w, "baseline", how);
}

static void hurt_next_baseline(struct world *w, uint32_t how)
{
    hurt(w, "next-baseline", how, lethal[how % 4]);
}

static void hurt_candidate(struct world *w, uint32_t how)
{
    hurt(w, "candidate", how, lethal[how % 4]);
}

static void hurt_retired(struct world *w, uint32_t how)
{
    hurt(w, "retired", how, lethal[how % 4]);
}

const struct fault worker_faults[] = {
    {"kill-stable", 8, stable_may_be_hurt, kill_stable},
    {"segv-stable", 3, stable_may_be_hurt, segv_stable},
    {"abort-stable", 3, stable_may_be_hurt, abort_stable},
    {"stop-stable", 5, stable_may_be_hurt, stop_stable},
    {"pause-stable", 4, stable_may_be_hurt, pause_stable},
    {"kill-canary", 8, canary_may_be_hurt, kill_canary},
    {"segv-canary", 3, canary_may_be_hurt, segv_canary},
    {"abort-canary", 3, canary_may_be_hurt, abort_canary},
    {"stop-canary", 5, canary_may_be_hurt, stop_canary},
    {"pause-canary", 4, canary_may_be_hurt, pause_canary},
    {"hurt-baseline", 10, has_baseline, hurt_baseline},
    {"pause-baseline", 3, has_baseline, pause_baseline},
    {"hurt-next-baseline", 2, has_next_baseline, hurt_next_baseline},
    {"hurt-candidate", 2, has_candidate, hurt_candidate},
    {"hurt-retired", 2, has_retired, hurt_retired},
};
const size_t n_worker_faults = sizeof worker_faults / sizeof worker_faults[0];
