/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The deployment state machine against every order of events: thousands of
 * random histories, with rooms that are made up here and take the real ones'
 * place at link time. After every event the rooms must agree with each other
 * and with a small model of what may be. ROLLOUT_SEED repeats one history.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/log.h"
#include "common/mem.h"
#include "common/rng.h"
#include "supervisor/fleet.h"
#include "supervisor/journal.h"
#include "supervisor/judge.h"
#include "supervisor/loader.h"
#include "supervisor/modelref.h"
#include "supervisor/proc.h"
#include "supervisor/rollout.h"
#include "supervisor/router.h"
#include "supervisor/settings.h"
#include "supervisor/state.h"
#include "supervisor/store.h"

#define N_SEEDS    10000
#define N_EVENTS   200
#define MAX_ORDERS (N_EVENTS + 8)
#define MAX_SAVES  64
#define NAME_SIZE  32

struct load {
    void (*done)(void *arg, struct modelref *model, const struct err *why);
    void *arg;
    char path[NAME_SIZE];
};

struct proc {
    enum role role;
};

struct slot {
    struct modelref *model;
    bool ready;
    unsigned n_features;
};

struct save {
    void (*done)(void *arg, const struct err *why);
    void *arg;
    char stable[NAME_SIZE], canary[NAME_SIZE];
    double percent; /* 0: canary_percent */
};

struct order { /* a deployment or a promotion that was asked for */
    int n_done;
    bool accepted;
    bool inside; /* its own call has not returned yet */
    char code[40];
};

/* All that the made-up rooms hold, and what the history was so far. */
static struct {
    uint32_t seed;
    int step;
    const char *event;
    struct rng rng;
    struct settings *settings;
    struct rollout *rollout;
    struct load *load;
    struct slot slots[N_ROLES];
    double share;
    bool baseline_drawn;
    bool judging, fired;
    enum arm reference;           /* of the share that is open */
    struct save saves[MAX_SAVES]; /* a queue */
    unsigned first_save, n_saves;
    struct save disk;
    bool disk_is_old; /* a save failed and none has succeeded since */
    struct order orders[MAX_ORDERS];
    int n_orders;
    char stable[NAME_SIZE]; /* the model's own idea of who is stable */
    char promoted_now[256]; /* "": no promotion was told in this event */
    const char *rolled_back_by;
    unsigned n_models;
    bool stopped;
} x;

#define check(condition)                                                                           \
    do {                                                                                           \
        if (!(condition))                                                                          \
            fail_msg("ROLLOUT_SEED=%u, event %d (%s): " #condition, x.seed, x.step, x.event);      \
    } while (0)

static void on_abort(int signal)
{
    (void)signal;
    fprintf(stderr, "aborted at ROLLOUT_SEED=%u, event %d (%s)\n", x.seed, x.step, x.event);
}

static bool chance(uint32_t percent)
{
    return rng_below(&x.rng, 100) < percent;
}

/* --- The rooms: loader ------------------------------------------------------*/

struct load *loader_start(struct loader *l, const struct load_options *options, const char *path,
                          const char *sha256,
                          void (*done)(void *arg, struct modelref *model, const struct err *why),
                          void *arg)
{
    (void)l, (void)options, (void)sha256;
    check(x.load == NULL);
    x.load = mem_alloc(sizeof *x.load);
    x.load->done = done;
    x.load->arg = arg;
    snprintf(x.load->path, sizeof x.load->path, "%s", path);
    return x.load;
}

void loader_cancel(struct load *load)
{
    check(load != NULL && load == x.load);
    free(x.load);
    x.load = NULL;
}

/* --- The rooms: fleet -------------------------------------------------------*/

static void empty(enum role role)
{
    modelref_free(&x.slots[role].model);
    x.slots[role] = (struct slot){0};
}

void fleet_start(struct fleet *f, enum role role, struct modelref *model, unsigned n_tries)
{
    (void)f, (void)n_tries;
    check(x.slots[role].model == NULL);
    x.slots[role] = (struct slot){.model = modelref_keep(model), .n_features = 5};
}

struct proc *fleet_ready(const struct fleet *f, enum role role)
{
    static struct proc procs[N_ROLES];
    (void)f;
    procs[role].role = role;
    return x.slots[role].ready ? &procs[role] : NULL;
}

struct modelref *fleet_model(const struct fleet *f, enum role role)
{
    (void)f;
    return x.slots[role].model;
}

void fleet_move(struct fleet *f, enum role from, enum role to)
{
    (void)f;
    check(x.slots[from].model != NULL && x.slots[to].model == NULL);
    x.slots[to] = x.slots[from];
    x.slots[from] = (struct slot){0};
}

void fleet_retire(struct fleet *f, enum role role)
{
    (void)f;
    check(role == ROLE_STABLE || role == ROLE_BASELINE || role == ROLE_NEXT_BASELINE);
    empty(role);
}

void fleet_kill(struct fleet *f, enum role role, const char *why)
{
    (void)f;
    check((role == ROLE_CANARY || role == ROLE_CANDIDATE) && why != NULL);
    empty(role);
}

void fleet_set_delay(struct fleet *f, enum role role, double ms)
{
    (void)f;
    check(role == ROLE_CANARY && ms >= 0);
}

struct modelref *proc_model(const struct proc *p)
{
    return x.slots[p->role].model;
}

unsigned proc_n_features(const struct proc *p)
{
    return x.slots[p->role].n_features;
}

/* --- The rooms: router, judge, journal --------------------------------------*/

void router_set_share(struct router *r, double percent, bool baseline)
{
    (void)r;
    x.share = percent;
    x.baseline_drawn = baseline;
}

void router_set_salt(struct router *r, const char *text)
{
    (void)r, (void)text;
}

size_t router_n_features(const struct router *r)
{
    (void)r;
    return 5;
}

void router_wake(struct router *r)
{
    (void)r;
}

void judge_begin(struct judge *j, uint64_t deployment)
{
    (void)j;
    check(deployment != 0);
    x.judging = true;
    x.reference = N_ARMS;
    x.fired = false;
}

void judge_open_share(struct judge *j, enum arm reference, int64_t now_ns)
{
    (void)j;
    check(x.judging && now_ns > 0);
    x.reference = reference;
}

void judge_end(struct judge *j)
{
    (void)j;
    check(x.judging);
    x.judging = x.fired = false;
}

void judge_freeze(struct judge *j, const char *by, const char *alarm)
{
    (void)j, (void)alarm;
    check(x.judging && by != NULL);
    x.judging = false;
}

bool judge_has_fired(const struct judge *j)
{
    (void)j;
    return x.fired;
}

cJSON *judge_health(const struct judge *j)
{
    (void)j;
    return cJSON_CreateObject();
}

cJSON *judge_basis(const struct judge *j)
{
    return judge_health(j);
}

const cJSON *judge_frozen_report(const struct judge *j)
{
    (void)j;
    return NULL;
}

void judge_restore_report(struct judge *j, const cJSON *report)
{
    (void)j, (void)report;
    check(!"there is none");
}

void journal_add(struct journal *j, const char *event, cJSON *fields)
{
    (void)j;
    check(event != NULL);
    cJSON_Delete(fields);
}

/* --- The rooms: store -------------------------------------------------------*/

struct modelref *store_open_model(struct store *s, const struct saved_model *saved, struct err *e)
{
    (void)s, (void)saved, (void)e;
    check(!"nothing was saved");
    return NULL;
}

static void copy_name(char name[NAME_SIZE], const struct modelref *m)
{
    snprintf(name, NAME_SIZE, "%s", m != NULL ? m->name : "");
}

void store_save(struct store *s, struct saved_state *state, struct modelref *stable,
                struct modelref *canary, void (*done)(void *arg, const struct err *why), void *arg)
{
    (void)s;
    check(stable != NULL && x.n_saves < MAX_SAVES);
    check((canary != NULL) == (state->percent > 0));
    struct save *save = &x.saves[(x.first_save + x.n_saves++) % MAX_SAVES];
    *save = (struct save){.done = done, .arg = arg};
    save->percent = state->percent_by_settings ? 0 : state->percent;
    copy_name(save->stable, stable);
    copy_name(save->canary, canary);
    saved_state_free(&state);
}

/* The oldest save reaches the disk, or does not. */
static void finish_save(bool well)
{
    struct save save = x.saves[x.first_save];
    struct err e;
    x.first_save = (x.first_save + 1) % MAX_SAVES;
    x.n_saves--;
    err_set(&e, "state-not-saved", "the disk is full");
    if (well)
        x.disk = save;
    x.disk_is_old = !well;
    if (save.done != NULL)
        save.done(save.arg, well ? NULL : &e);
}

/* --- What is told -----------------------------------------------------------*/

static void on_serving(void *arg)
{
    (void)arg;
}

static void on_hopeless(void *arg, const struct err *why, bool may_pass)
{
    (void)arg, (void)why, (void)may_pass;
    check(!"hopeless");
}

static void on_deployed(void *arg, const struct err *why)
{
    struct order *o = arg;
    check(!o->inside);
    check(o->n_done++ == 0);
    snprintf(o->code, sizeof o->code, "%s", why != NULL ? why->code : "");
}

static void on_promoted(void *arg, const struct promotion *p, const struct err *why)
{
    on_deployed(arg, why);
    check((p == NULL) == (why != NULL));
    if (p == NULL)
        return;
    check(strcmp(p->previous, x.stable) == 0 && x.promoted_now[0] == '\0');
    check(strcmp(x.disk.stable, p->now) == 0); /* it is told once it is saved */
    snprintf(x.promoted_now, sizeof x.promoted_now, "%s", p->now);
}

/* --- The events: what operators do ------------------------------------------*/

static bool has_candidate(void)
{
    return x.load != NULL || x.slots[ROLE_CANDIDATE].model != NULL;
}

static bool has_canary(void)
{
    return x.slots[ROLE_CANARY].model != NULL;
}

static struct order *new_order(void)
{
    check(x.n_orders < MAX_ORDERS);
    struct order *o = &x.orders[x.n_orders++];
    *o = (struct order){.inside = true};
    return o;
}

static void order_deployment(bool replace)
{
    char path[NAME_SIZE];
    struct err e = {0};
    struct order *o = new_order();
    bool wanted = !x.stopped && (replace || (!has_candidate() && !has_canary()));
    snprintf(path, sizeof path, "m%u", x.n_models++);
    const struct deploy_request request = {
        .path = path, .percent = chance(50) ? 20 : 0, .replace = replace, .by = BY_REST};
    o->accepted = rollout_deploy(x.rollout, &request, on_deployed, o, &e) == 0;
    o->inside = false;
    check(o->accepted == wanted && o->n_done == 0);
    if (!wanted)
        check(strcmp(e.code, x.stopped         ? "unavailable"
                             : has_candidate() ? "canary-loading"
                                               : "canary-active") == 0);
}

static void deploy(void)
{
    order_deployment(false);
}

static void replace(void)
{
    order_deployment(true);
}

static void order_promotion(bool force)
{
    struct err e = {0};
    struct order *o = new_order();
    bool possible =
        has_canary() && !has_candidate() && x.slots[ROLE_CANARY].ready && (force || !x.fired);
    o->accepted = rollout_promote(x.rollout, force, on_promoted, o, &e) == 0;
    o->inside = false;
    check(o->n_done == 0);
    check(o->accepted == possible || strcmp(e.code, "promotion-pending") == 0);
}

static void promote(void)
{
    order_promotion(false);
}

static void promote_force(void)
{
    order_promotion(true);
}

static void roll_back(void)
{
    struct err e = {0};
    const char *by = "nobody";
    bool out = has_canary() || has_candidate();
    int rc = rollout_rollback(x.rollout, &by, &e);
    check((rc == 0) == (out || x.rolled_back_by != NULL));
    if (rc < 0)
        check(strcmp(e.code, "no-canary") == 0);
    else if (out)
        check(by == NULL && !has_canary() && !has_candidate());
    else
        check(by != NULL && strcmp(by, x.rolled_back_by) == 0);
}

static void toggle_slowdown(void)
{
    bool before = rollout_slowdown(x.rollout);
    check(rollout_toggle_slowdown(x.rollout) == !before);
}

static void change_settings(void)
{
    char name[NAME_SIZE] = "";
    if (chance(60))
        snprintf(name, sizeof name, "s%u", rng_below(&x.rng, 3));
    free(x.settings->canary_model);
    x.settings->canary_model = mem_strdup(name);
    x.settings->canary_percent = 1 + rng_below(&x.rng, 50);
    x.settings->auto_rollback = chance(70);
    x.settings->baseline = chance(70);
    if (x.settings->auto_rollback && x.fired && x.judging)
        x.rolled_back_by = "judge"; /* its alert was only noted before */
    rollout_set_settings(x.rollout, x.settings);
}

static void stop(void)
{
    if (!chance(3))
        return;
    x.stopped = true;
    rollout_stop(x.rollout);
    check(!has_candidate());
}

/* --- The events: news from below --------------------------------------------*/

static struct modelref *new_model(const char *name)
{
    struct modelref *m = mem_alloc(sizeof *m);
    *m = (struct modelref){.path = mem_strdup(name),
                           .name = mem_strdup(name),
                           .version = mem_printf("%s@0", name),
                           .fd = -1,
                           .served_fd = -1,
                           .n_references = 1};
    return m;
}

static void finish_load(void)
{
    struct load *load = x.load;
    struct err e;
    if (load == NULL)
        return;
    x.load = NULL;
    err_set(&e, "model-not-found", "there is no %s", load->path);
    if (chance(80))
        load->done(load->arg, new_model(load->path), NULL);
    else
        load->done(load->arg, NULL, &e);
    free(load);
}

static void come_up(enum role role)
{
    struct slot *s = &x.slots[role];
    if (s->model == NULL || s->ready)
        return;
    s->ready = true;
    if (role == ROLE_CANDIDATE && chance(10))
        s->n_features = 4;
    rollout_on_up(x.rollout, role);
}

static void candidate_up(void)
{
    come_up(ROLE_CANDIDATE);
}

/* A candidate is not restarted: its death is its end, even a moment before it
 * would have been the canary. */
static void candidate_dies(void)
{
    struct err e;
    if (x.slots[ROLE_CANDIDATE].model == NULL)
        return;
    empty(ROLE_CANDIDATE);
    err_set(&e, "model-invalid", "it died");
    rollout_on_failed(x.rollout, ROLE_CANDIDATE, &e, false);
}

static void someone_dies(void)
{
    static const enum role roles[] = {ROLE_STABLE, ROLE_BASELINE, ROLE_CANARY, ROLE_NEXT_BASELINE};
    x.slots[roles[rng_below(&x.rng, 4)]].ready = false;
}

static void stable_up(void)
{
    come_up(ROLE_STABLE);
}

static void canary_up(void)
{
    come_up(ROLE_CANARY);
}

static void baseline_up(void)
{
    come_up(chance(50) ? ROLE_BASELINE : ROLE_NEXT_BASELINE);
}

static void canary_gives_up(void)
{
    if (!has_canary())
        return;
    x.rolled_back_by = "crash-loop";
    rollout_on_gave_up(x.rollout, ROLE_CANARY, "canary died 3 times");
    check(x.slots[ROLE_CANARY].model == NULL);
}

static void verdict(void)
{
    if (!x.judging || x.fired)
        return;
    x.fired = true;
    if (x.settings->auto_rollback)
        x.rolled_back_by = "judge";
    rollout_on_verdict(x.rollout);
    check(has_canary() == !x.settings->auto_rollback);
}

static void save_ends(void)
{
    if (x.n_saves > 0)
        finish_save(chance(90));
}

/* --- The histories ----------------------------------------------------------*/

static const struct {
    const char *name;
    uint32_t weight;
    void (*happen)(void);
} events[] = {
    {"deploy", 12, deploy},
    {"replace", 8, replace},
    {"promote", 6, promote},
    {"promote by force", 4, promote_force},
    {"roll back", 5, roll_back},
    {"slowdown", 2, toggle_slowdown},
    {"settings", 4, change_settings},
    {"load ends", 20, finish_load},
    {"candidate up", 20, candidate_up},
    {"candidate dies", 3, candidate_dies},
    {"someone dies", 6, someone_dies},
    {"stable up", 6, stable_up},
    {"canary up", 6, canary_up},
    {"baseline up", 6, baseline_up},
    {"canary gives up", 3, canary_gives_up},
    {"verdict", 5, verdict},
    {"save ends", 30, save_ends},
    {"stop", 1, stop},
};
#define N_KINDS (sizeof events / sizeof events[0])

/* There is a baseline where one is wanted, of the model that is stable, and the lot knows. */
static void check_baseline(void)
{
    const struct modelref *baseline = x.slots[ROLE_BASELINE].model;
    bool wanted = x.settings->baseline && x.share > 0 && x.share < 50;
    check((baseline != NULL) == wanted && x.baseline_drawn == wanted);
    check(!has_canary() || x.reference == (wanted ? ARM_BASELINE : ARM_STABLE));
    check(!wanted || baseline == x.slots[ROLE_STABLE].model);
    const struct modelref *next = x.slots[ROLE_NEXT_BASELINE].model;
    check(next == NULL || x.slots[ROLE_CANDIDATE].model != NULL);
    check(next == NULL || next == x.slots[ROLE_STABLE].model);
}

static void check_rooms(void)
{
    static const enum rollout_state states[2][2] = {{ROLLOUT_IDLE, ROLLOUT_CANARY},
                                                    {ROLLOUT_LOADING, ROLLOUT_REPLACING}};
    check(x.slots[ROLE_STABLE].model != NULL);
    check(x.load == NULL || x.slots[ROLE_CANDIDATE].model == NULL);
    check(rollout_state(x.rollout) == states[has_candidate()][has_canary()]);
    check(x.share == rollout_percent(x.rollout) && (x.share > 0) == has_canary());
    check((rollout_canary_start_ns(x.rollout) != 0) == has_canary());
    check(x.judging == has_canary());
    check_baseline();
}

/* Only a promotion that is told so changes stable. */
static void check_stable(void)
{
    if (x.promoted_now[0] != '\0')
        memcpy(x.stable, x.promoted_now, sizeof x.stable - 1);
    x.promoted_now[0] = '\0';
    check(strcmp(x.slots[ROLE_STABLE].model->name, x.stable) == 0);
}

/* It has its share once that is saved, and what became of the last is forgotten. */
static void note_new_canary(const struct modelref *before)
{
    const struct modelref *now = x.slots[ROLE_CANARY].model;
    if (now == NULL || now == before)
        return;
    x.rolled_back_by = NULL;
    check(strcmp(x.disk.canary, now->name) == 0);
}

static void happen(size_t kind)
{
    const struct modelref *canary = x.slots[ROLE_CANARY].model;
    x.event = events[kind].name;
    events[kind].happen();
    note_new_canary(canary);
    check_rooms();
    check_stable();
}

static size_t draw_kind(void)
{
    uint32_t sum = 0;
    for (size_t i = 0; i < N_KINDS; i++)
        sum += events[i].weight;
    uint32_t lot = rng_below(&x.rng, sum);
    size_t i = 0;
    for (; lot >= events[i].weight; i++)
        lot -= events[i].weight;
    return i;
}

static void begin(uint32_t seed)
{
    const struct rollout_listener listener = {
        .serving = on_serving, .hopeless = on_hopeless, .changed = on_serving};
    const struct rollout_rooms rooms = {0};
    struct err e = {0};
    memset(&x, 0, sizeof x);
    x.seed = seed;
    x.event = "the start";
    rng_seed(&x.rng, seed);
    x.settings = settings_load(NULL, NULL, 0, &e);
    assert_non_null(x.settings);
    x.rollout = rollout_new(x.settings, &rooms, "", &listener);
    rollout_start(x.rollout, NULL);
    snprintf(x.stable, sizeof x.stable, "%s", x.load->path);
    struct load *load = x.load;
    x.load = NULL;
    load->done(load->arg, new_model(load->path), NULL);
    free(load);
    stable_up();
    check_rooms();
}

/* The helper thread catches up: the disk must say how things are. */
static void check_disk(void)
{
    x.event = "the last saves";
    while (x.n_saves > 0) {
        const struct modelref *canary = x.slots[ROLE_CANARY].model;
        finish_save(true);
        note_new_canary(canary);
        check_rooms();
        check_stable();
    }
    if (x.disk_is_old)
        return;
    const char *canary = has_canary() ? x.slots[ROLE_CANARY].model->name : "";
    check(strcmp(x.disk.stable, x.stable) == 0);
    check(strcmp(x.disk.canary, canary) == 0);
    check(canary[0] == '\0' || x.disk.percent == 0 || x.disk.percent == x.share);
}

static void end(void)
{
    rollout_stop(x.rollout);
    check_disk();
    for (int i = 0; i < x.n_orders; i++)
        check(x.orders[i].n_done == x.orders[i].accepted);
    rollout_free(&x.rollout);
    settings_free(&x.settings);
    for (int role = 0; role < N_ROLES; role++)
        empty((enum role)role);
}

static void live(uint32_t seed)
{
    begin(seed);
    for (x.step = 1; x.step <= N_EVENTS; x.step++)
        happen(draw_kind());
    end();
}

static void test_histories(void **state)
{
    const char *seed = getenv("ROLLOUT_SEED");
    (void)state;
    log_init("seeds", seed != NULL ? LOG_LEVEL_DEBUG : LOG_LEVEL_ERROR);
    signal(SIGABRT, on_abort);
    if (seed != NULL) {
        live((uint32_t)strtoul(seed, NULL, 10));
        return;
    }
    for (uint32_t i = 1; i <= N_SEEDS; i++)
        live(i);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_histories),
    };
    return cmocka_run_group_tests_name("rollout_seeds", tests, NULL, NULL);
}
