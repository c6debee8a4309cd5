/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A job is one request on its way. Each failed try ends in router_route(), which
 * picks a process that has not been asked yet, waits for one (router_wait.c), or
 * gives up.
 *
 * What was in flight when a process died is suspect: it is asked alone, of a
 * process that is held for it, so that the innocent ones pass and the one that
 * kills is known for sure. All that costs nothing while nobody dies.
 */
#include "supervisor/router.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/mem.h"
#include "supervisor/fleet.h"
#include "supervisor/modelref.h"
#include "supervisor/quarantine.h"
#include "supervisor/router_private.h"
#include "supervisor/settings.h"

#define MAX_DEATHS        2 /* processes that died while they did nothing else: it is poison */
#define TOKENS_PER_FLIGHT 2 /* the retry budget's burst, times max_in_flight */

static const struct {
    const char *user_name;
    enum role role;
    unsigned n_tries;          /* of different processes, before another arm is asked */
    enum arm next[N_ARMS - 1]; /* those, in this order */
} arms[N_ARMS] = {
    [ARM_STABLE] = {"stable", ROLE_STABLE, 2, {ARM_BASELINE, ARM_CANARY}},
    [ARM_BASELINE] = {"stable", ROLE_BASELINE, 1, {ARM_STABLE, ARM_CANARY}},
    [ARM_CANARY] = {"canary", ROLE_CANARY, 1, {ARM_STABLE, ARM_BASELINE}},
};

const char *arm_user_name(enum arm arm)
{
    return arms[arm].user_name;
}

enum role router_role(enum arm arm)
{
    return arms[arm].role;
}

/* --- Endings ----------------------------------------------------------------*/

static void end_job(struct job *job, const struct prediction *answer, const struct err *why)
{
    struct router *r = job->router;
    router_unask_draw(job);
    r->counts.n_in_flight--;
    router_note_room(r);
    if (answer == NULL)
        r->counts.n_failed++;
    job->done(job->arg, answer, why);
    for (size_t i = 0; i < job->n_faults; i++)
        modelref_free(&job->faulted[i]);
    free(job);
}

void router_give_up(struct job *job, const char *code, const char *text)
{
    struct err why;
    err_set(&why, code, "%s", text);
    end_job(job, NULL, &why);
}

/* Only what the lot gave an arm, at the first try, is evidence about that arm. Stable
 * answers for a baseline that is not there: these are samples of stable. */
static bool is_sample(const struct job *job)
{
    bool stands_in = job->drawn == ARM_BASELINE && job->asked == ARM_STABLE;
    return !router_is_forced(job) && job->n_tries == 1 && (job->asked == job->drawn || stands_in);
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
    end_job(job, &prediction, NULL);
}

/* --- Asking -----------------------------------------------------------------*/

static uint64_t max_tokens(const struct router *r)
{
    return (uint64_t)r->settings->max_in_flight * TOKENS_PER_FLIGHT;
}

/* With each new request; max_in_flight may have become less since. */
static void add_token(struct router *r)
{
    r->n_tokens = r->n_tokens < max_tokens(r) ? r->n_tokens + 1 : max_tokens(r);
}

static bool has_faulted(const struct job *job, const struct modelref *m)
{
    for (size_t i = 0; i < job->n_faults; i++)
        if (job->faulted[i] == m)
            return true;
    return false;
}

static bool may_ask(const struct job *job, enum arm arm)
{
    const struct modelref *m = fleet_model(job->router->fleet, arms[arm].role);
    return m != NULL && job->tried[arm].n < arms[arm].n_tries && !has_faulted(job, m);
}

/* Whether somebody else could be asked if this try fails. */
static bool has_alternative(const struct job *job, enum arm asked)
{
    for (enum arm arm = 0; arm < N_ARMS; arm++) {
        size_t n_others = fleet_n_ready(job->router->fleet, arms[arm].role);
        n_others -= arm == asked && n_others > 0;
        if (n_others > 0 && may_ask(job, arm))
            return true;
    }
    return false;
}

/* One worker's time for this call; who else could be asked is left the half. */
static int64_t try_deadline(const struct job *job, enum arm arm, int64_t now)
{
    int64_t left = job->deadline_ns - now;
    int64_t time = job->router->settings->try_deadline_ms * NS_PER_MS;
    if (time > left / 2 && has_alternative(job, arm))
        time = left / 2;
    return now + (time < left ? time : left);
}

static void on_result(struct proc_call *call, const struct call_result *result);

static void ask(struct job *job, enum arm arm, struct proc *p, int64_t now)
{
    struct router *r = job->router;
    if (job->n_tries > 0 && r->n_tokens == 0) {
        r->counts.n_over_budget++;
        router_give_up(job, "unavailable",
                       "too many requests had to be asked again: the retry budget is spent");
        return;
    }
    if (job->n_tries++ > 0) {
        r->n_tokens--;
        r->counts.n_retried++;
    }
    if (arm != job->drawn)
        router_unask_draw(job);
    job->asked = arm;
    job->tried[arm].n++;
    job->tried[arm].last = p;
    job->is_impatient = false;
    if (job->is_suspect)
        proc_hold(p, true);
    proc_predict(p, &job->call, job->features, job->n_features, 1, try_deadline(job, arm, now),
                 is_sample(job));
}

/* --- Choosing ---------------------------------------------------------------*/

enum chance {
    CHANCE_NONE, /* nobody there, or all were asked */
    CHANCE_SOON, /* a process is held, for this suspect or another */
    CHANCE_NOW,
};

struct choice {
    enum arm arm;
    struct proc *proc;
};

static enum chance look_at_arm(const struct job *job, enum arm arm, struct choice *c)
{
    struct fleet *f = job->router->fleet;
    if (!may_ask(job, arm))
        return CHANCE_NONE;
    bool holding = fleet_is_holding(f, arms[arm].role);
    if (job->is_suspect && holding)
        return CHANCE_SOON;
    struct proc *p = fleet_pick(f, arms[arm].role, job->tried[arm].last);
    if (p == NULL)
        return holding ? CHANCE_SOON : CHANCE_NONE;
    if (proc_n_features(p) != job->n_features)
        return CHANCE_NONE;
    if (job->is_suspect && proc_counts(p).n_in_flight > 0) {
        proc_hold(p, true); /* until it has answered the others */
        return CHANCE_SOON;
    }
    *c = (struct choice){.arm = arm, .proc = p};
    return CHANCE_NOW;
}

/* The arm that was drawn if one of its processes can be asked, else another. */
static enum chance choose(const struct job *job, struct choice *c)
{
    enum chance best = look_at_arm(job, job->drawn, c);
    if (best == CHANCE_SOON && !job->is_impatient)
        return best;
    for (size_t i = 0; i < N_ARMS - 1 && best != CHANCE_NOW; i++) {
        enum chance chance = look_at_arm(job, arms[job->drawn].next[i], c);
        if (chance > best)
            best = chance;
    }
    return best;
}

/* Whether every model there is has said that it can't answer this. */
static bool all_faulted(const struct job *job)
{
    for (enum arm arm = 0; arm < N_ARMS; arm++) {
        const struct modelref *m = fleet_model(job->router->fleet, arms[arm].role);
        if (m != NULL && !has_faulted(job, m))
            return false;
    }
    return job->n_faults > 0;
}

static const char poison_text[] =
    "workers died while this request was the only one that they worked on";

void router_route(struct job *job)
{
    struct router *r = job->router;
    struct choice c;
    int64_t now = clock_mono_ns();
    if (quarantine_has(r->quarantine, job->features, job->n_features, now)) {
        r->counts.n_poison++;
        router_give_up(job, "poison-request", poison_text);
        return;
    }
    if (job->deadline_ns <= now) {
        router_give_up(job, "deadline", "no worker answered within predict_deadline_ms");
        return;
    }
    enum chance chance = choose(job, &c);
    if (chance == CHANCE_NONE) { /* all were asked: a second round, as long as there is time */
        memset(job->tried, 0, sizeof job->tried);
        chance = choose(job, &c);
    }
    if (chance == CHANCE_NOW)
        ask(job, c.arm, c.proc, now);
    else if (chance == CHANCE_NONE && all_faulted(job))
        router_give_up(job, "model-fault", job->fault);
    else if (chance == CHANCE_NONE && r->stopping)
        router_give_up(job, "unavailable", "canaryd stops");
    else
        router_wait(job, chance == CHANCE_SOON);
}

/* --- Results ----------------------------------------------------------------*/

static void note_fault(struct job *job, const struct call_result *result)
{
    if (job->n_faults < MAX_FAULTS)
        job->faulted[job->n_faults++] = modelref_keep(proc_model(job->call.proc));
    snprintf(job->fault, sizeof job->fault, "the model can't answer this: %s", result->text);
}

/* Alone is who was all that the worker owed: not even a late answer beside it. A
 * canary may die of anything, and stable would answer: only the stable model's
 * deaths (a baseline's are that too), of which nobody is left to save it, make a
 * request poison. */
static void note_death(struct job *job, const struct call_result *result)
{
    struct router *r = job->router;
    if (proc_was_let_go(job->call.proc))
        return;
    job->is_suspect = true;
    job->n_deaths += result->n_owed == 1 && job->asked != ARM_CANARY;
    if (job->n_deaths == MAX_DEATHS)
        quarantine_add(r->quarantine, job->features, job->n_features, clock_mono_ns());
}

/* A worker that was let go died of our own doing. */
static enum outcome outcome_of(const struct job *job, const struct call_result *result)
{
    static const enum outcome outcomes[N_CALL_OUTCOMES] = {
        [CALL_OK] = OUTCOME_OK,
        [CALL_FAULT] = OUTCOME_FAULT,
        [CALL_TIMEOUT] = OUTCOME_TIMEOUT,
        [CALL_LOST] = OUTCOME_DEATH,
    };
    if (result->outcome == CALL_LOST && proc_was_let_go(job->call.proc))
        return OUTCOME_UNASKED;
    return outcomes[result->outcome];
}

/* Of its first call, to the arm that was drawn; later ones find the draw's end told. */
static void note_sample(struct job *job, const struct call_result *result)
{
    struct router *r = job->router;
    struct rule_sample sample = {.outcome = outcome_of(job, result),
                                 .round_trip_ns = (uint64_t)result->round_trip_ns,
                                 .service_ns = (uint64_t)result->service_ns,
                                 .has_service = true};
    if (job->has_ticket)
        router_end_draw(job, &sample, result->start_ns);
    else if (result->outcome == CALL_OK && is_sample(job) && job->asked == ARM_STABLE)
        r->listener.stable(r->listener.arg, result->round_trip_ns);
}

static void on_result(struct proc_call *call, const struct call_result *result)
{
    struct job *job = (struct job *)call;
    struct router *r = job->router;
    struct proc *p = call->proc;
    note_sample(job, result);
    if (result->outcome == CALL_FAULT)
        note_fault(job, result);
    else if (result->outcome == CALL_LOST)
        note_death(job, result);
    if (result->outcome == CALL_OK)
        answer(job, result);
    else
        router_route(job);
    router_settle(r, p);
}

/* --- For the owner ----------------------------------------------------------*/

struct router *router_new(struct event_base *base, struct fleet *fleet, struct turn *turn,
                          const struct settings *settings, const struct router_listener *listener)
{
    struct router *r = mem_alloc(sizeof *r);
    *r = (struct router){.fleet = fleet, .turn = turn, .settings = settings, .listener = *listener};
    r->n_tokens = max_tokens(r);
    rng_seed_from_system(&r->urn.rng);
    r->quarantine = quarantine_new();
    router_wait_init(r, base);
    router_door_init(r, base);
    return r;
}

void router_free(struct router **r)
{
    if (*r == NULL)
        return;
    assert((*r)->counts.n_in_flight == 0);
    router_wait_clear(*r);
    router_door_free(*r);
    quarantine_free(&(*r)->quarantine);
    free(*r);
    *r = NULL;
}

void router_set_settings(struct router *r, const struct settings *settings)
{
    r->settings = settings;
    router_note_room(r); /* max_in_flight may have grown */
}

size_t router_n_features(const struct router *r)
{
    return r->n_features;
}

/* 0, or -1 with err: this one must not even be tried. */
static int refuse_at_the_door(struct router *r, const double *features, size_t n, int64_t now,
                              struct err *e)
{
    if (quarantine_has(r->quarantine, features, n, now)) {
        r->counts.n_poison++;
        return err_set(e, "poison-request", "%s; it is refused for %d s", poison_text,
                       QUARANTINE_SECONDS);
    }
    if (r->stopping)
        return err_set(e, "unavailable", "canaryd stops");
    return 0;
}

/* The lot is drawn here, not at the door: blocks hold what was asked in their time. */
void router_begin(struct job *job)
{
    struct router *r = job->router;
    router_draw(job);
    r->counts.n_requests++;
    r->counts.n_in_flight++;
    add_token(r);
    router_route(job);
}

int router_predict(struct router *r, const double *features, size_t n, const struct wish *wish,
                   predicted *done, void *arg, struct err *e)
{
    int64_t now = clock_mono_ns();
    if (refuse_at_the_door(r, features, n, now, e) < 0)
        return -1;
    struct job *job = mem_malloc(sizeof *job + n * sizeof *features);
    *job = (struct job){.call.done = on_result,
                        .router = r,
                        .done = done,
                        .arg = arg,
                        .deadline_ns = now + r->settings->predict_deadline_ms * NS_PER_MS,
                        .wish = *wish,
                        .n_features = n};
    memcpy(job->features, features, n * sizeof *features);
    router_enter(job);
    return 0;
}

const struct router_counts *router_counts(const struct router *r)
{
    return &r->counts;
}
