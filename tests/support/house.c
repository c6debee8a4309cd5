/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The rooms wired for tests; see house.h.
 */
#include "tests/support/house.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <event2/event.h>

#include "common/clock.h"
#include "common/jsonx.h"
#include "common/log.h"
#include "common/mem.h"
#include "supervisor/chores.h"
#include "supervisor/journal.h"
#include "supervisor/judge.h"
#include "supervisor/loader.h"
#include "supervisor/modelref.h"
#include "supervisor/rollout.h"
#include "supervisor/settings.h"
#include "supervisor/store.h"
#include "supervisor/turn.h"
#include "tests/support/scratch.h"

/* --- News -------------------------------------------------------------------*/

static void on_up(void *arg, enum role role)
{
    struct house *h = arg;
    h->n_up[role]++;
    if (h->without_rollout)
        router_wake(h->router);
    else
        rollout_on_up(h->rollout, role);
}

static void on_failed(void *arg, enum role role, const struct err *why, bool may_pass)
{
    struct house *h = arg;
    h->n_failed[role]++;
    h->may_pass = may_pass;
    snprintf(h->code, sizeof h->code, "%s", why->code);
    snprintf(h->text, sizeof h->text, "%s", why->text);
    if (!h->without_rollout)
        rollout_on_failed(h->rollout, role, why, may_pass);
}

static void on_gave_up(void *arg, enum role role, const char *why)
{
    struct house *h = arg;
    h->n_gave_up[role]++;
    snprintf(h->text, sizeof h->text, "%s", why);
    if (!h->without_rollout)
        rollout_on_gave_up(h->rollout, role, why);
}

static void on_buried(void *arg)
{
    struct house *h = arg;
    h->n_buried++;
}

static struct judge_ticket on_draw(void *arg, enum arm arm, bool ends_group, int64_t now_ns)
{
    struct house *h = arg;
    return judge_draw(h->judge, arm, ends_group, now_ns);
}

static void on_call_ended(void *arg, const struct judge_ticket *ticket,
                          const struct rule_sample *sample)
{
    struct house *h = arg;
    h->n_outcomes[ticket->draw.arm][sample->outcome]++;
    h->n_samples[ticket->draw.arm] += sample->outcome == OUTCOME_OK;
    judge_end_call(h->judge, ticket, sample);
}

static void on_stable_answer(void *arg, int64_t round_trip_ns)
{
    struct house *h = arg;
    h->n_samples[ARM_STABLE]++;
    judge_add_stable(h->judge, round_trip_ns);
}

static void on_verdict(void *arg)
{
    struct house *h = arg;
    h->n_verdicts++;
    if (!h->without_rollout)
        rollout_on_verdict(h->rollout);
}

static void on_serving(void *arg)
{
    struct house *h = arg;
    h->n_serving++;
}

static void on_hopeless(void *arg, const struct err *why, bool may_pass)
{
    struct house *h = arg;
    (void)may_pass;
    h->n_hopeless++;
    snprintf(h->code, sizeof h->code, "%s", why->code);
}

static void on_changed(void *arg)
{
    struct house *h = arg;
    h->n_changed++;
}

/* --- Building and taking down -----------------------------------------------*/

static struct settings *quiet_settings(const char *model_dir, const char *stable)
{
    char dir[SCRATCH_PATH_SIZE + 16], model[80];
    struct err e = {0};
    snprintf(dir, sizeof dir, "model_dir=%s", model_dir);
    snprintf(model, sizeof model, "stable_model=%s", stable);
    const char *const overrides[] = {dir,
                                     model,
                                     "warmup_requests=0",
                                     "min_samples=30",
                                     "block_ms=0", /* a group of draws is a block */
                                     "service_block_ms=0",
                                     "baseline=off", /* whoever tests it switches it on */
                                     "predict_deadline_ms=60000",
                                     "try_deadline_ms=60000",
                                     "hang_ms=60000",
                                     "start_timeout_ms=60000",
                                     "worker_user=", /* scripts of root's are workers too */
                                     "python="};
    struct settings *s = settings_load(NULL, overrides, sizeof overrides / sizeof overrides[0], &e);
    if (s == NULL)
        fail_msg("%s", e.text);
    return s;
}

static void build(struct house *h)
{
    char dir[SCRATCH_PATH_SIZE];
    struct err e = {0};
    const struct fleet_listener fleet_news = {
        .up = on_up, .failed = on_failed, .gave_up = on_gave_up, .buried = on_buried, .arg = h};
    const struct router_listener router_news = {
        .draw = on_draw, .ended = on_call_ended, .stable = on_stable_answer, .arg = h};
    const struct judge_listener judge_news = {.bad = on_verdict, .arg = h};
    const struct rollout_listener rollout_news = {
        .serving = on_serving, .hopeless = on_hopeless, .changed = on_changed, .arg = h};
    scratch_path(dir, "");
    h->base = event_base_new();
    h->chores = chores_new(h->base);
    h->journal = journal_open(dir, h->chores, &e);
    assert_non_null(h->journal);
    h->loader = loader_new(h->base, h->chores);
    h->workers = (struct worker_programs){.native = h->program, .python = h->python_program};
    h->fleet = fleet_new(h->base, h->settings, &h->workers, NULL, &fleet_news);
    h->turn = turn_new(h->base);
    h->router = router_new(h->base, h->fleet, h->turn, h->settings, &router_news);
    h->judge = judge_new(h->settings, NULL, NULL, &judge_news);
    h->store = store_new(dir, h->chores);
    const struct rollout_rooms rooms = {.loader = h->loader,
                                        .fleet = h->fleet,
                                        .router = h->router,
                                        .judge = h->judge,
                                        .journal = h->journal,
                                        .store = h->store};
    h->rollout = rollout_new(h->settings, &rooms, "", &rollout_news);
}

int house_setup(void **state)
{
    char dir[SCRATCH_PATH_SIZE];
    struct house *h = mem_alloc(sizeof *h);
    *state = h;
    log_init("house", LOG_LEVEL_ERROR);
    if (scratch_setup(state) < 0)
        return -1;
    scratch_path(dir, "");
    built_program(h->program, "tests/support/evil_worker");
    h->settings = quiet_settings(dir, "stable.json");
    build(h);
    return 0;
}

int house_setup_without_rollout(void **state)
{
    int rc = house_setup(state);
    struct house *h = *state;
    h->without_rollout = true;
    h->settings->crash_limit = 1000;
    return rc;
}

int house_setup_real(void **state)
{
    struct house *h = mem_alloc(sizeof *h);
    *state = h;
    log_init("house", LOG_LEVEL_ERROR);
    if (scratch_setup(state) < 0)
        return -1;
    built_program(h->program, "canary-worker");
    h->settings = quiet_settings("models", "model_v1.json");
    build(h);
    return 0;
}

int house_teardown(void **state)
{
    struct house *h = *state;
    rollout_stop(h->rollout);
    fleet_kill_all(h->fleet);
    loop_until(h->base, fleet_n_procs(h->fleet) == 0 && !loader_is_busy(h->loader) &&
                            !store_is_busy(h->store) && router_counts(h->router)->n_in_flight == 0);
    rollout_free(&h->rollout);
    judge_free(&h->judge);
    router_free(&h->router);
    fleet_free(&h->fleet);
    loader_free(&h->loader);
    chores_free(&h->chores);
    store_free(&h->store);
    journal_free(&h->journal);
    turn_free(&h->turn);
    event_base_free(h->base);
    settings_free(&h->settings);
    free(h);
    return scratch_teardown(state);
}

/* --- Doing things -----------------------------------------------------------*/

void house_start(struct house *h, enum role role, const char *file)
{
    struct err e = {0};
    struct modelref *m = modelref_open(h->settings->model_dir, file, INT64_C(1) << 30, &e);
    if (m == NULL)
        fail_msg("%s", e.text);
    m->served_fd = m->fd;
    fleet_start(h->fleet, role, m, 1);
    modelref_free(&m);
}

void house_start_evil(struct house *h, enum role role, const char *script)
{
    char file[40];
    int n = h->n_up[role];
    snprintf(file, sizeof file, "%s.json", role_name(role));
    evil_write(file, script);
    house_start(h, role, file);
    assert_null(fleet_ready(h->fleet, role)); /* no news from inside */
    loop_until(h->base, h->n_up[role] > n);
    assert_non_null(fleet_ready(h->fleet, role));
}

void house_serve(struct house *h)
{
    if (strcmp(h->settings->stable_model, "stable.json") == 0)
        evil_write("stable.json", "ready");
    rollout_start(h->rollout, NULL);
    loop_until(h->base, h->n_serving > 0 || h->n_hopeless > 0);
    assert_int_equal(h->n_serving, 1);
}

struct promoting {
    bool done;
    int rc;
    struct promotion *promotion;
    struct err *e;
};

static void on_promoted(void *arg, const struct promotion *p, const struct err *why)
{
    struct promoting *waiting = arg;
    waiting->done = true;
    waiting->rc = p != NULL ? 0 : -1;
    if (p != NULL)
        *waiting->promotion = *p;
    else
        *waiting->e = *why;
}

int house_promote(struct house *h, bool force, struct promotion *p, struct err *e)
{
    struct promoting waiting = {.promotion = p, .e = e};
    if (rollout_promote(h->rollout, force, on_promoted, &waiting, e) < 0)
        return -1;
    assert_false(waiting.done); /* never from inside */
    loop_until(h->base, waiting.done);
    return waiting.rc;
}

static void on_predicted(void *arg, const struct prediction *answer, const struct err *why)
{
    struct asked *a = arg;
    a->n_done++;
    if (answer != NULL) {
        a->output = answer->output;
        a->arm = answer->arm;
        snprintf(a->version, sizeof a->version, "%s", answer->version);
    } else {
        snprintf(a->code, sizeof a->code, "%s", why->code);
        snprintf(a->text, sizeof a->text, "%s", why->text);
    }
}

void house_ask_with(struct house *h, struct asked *a, enum routing routing, double first)
{
    const double features[EVIL_FEATURES] = {first, 1, 2, 3, 4};
    const struct wish wish = {.routing = routing, .user = (uint64_t)first};
    struct err e = {0};
    *a = (struct asked){.house = h};
    if (router_predict(h->router, features, EVIL_FEATURES, &wish, on_predicted, a, &e) < 0)
        fail_msg("%s", e.text);
    assert_int_equal(a->n_done, 0); /* never from inside */
}

void house_ask(struct house *h, struct asked *a, enum routing routing)
{
    house_ask_with(h, a, routing, 7.5);
}

void house_ask_all(struct house *h, struct asked *a, int n, enum routing routing)
{
    for (int i = 0; i < n; i++)
        house_ask(h, &a[i], routing);
    house_await(h, a, n);
}

static bool all_done(const struct asked *a, int n)
{
    for (int i = 0; i < n; i++)
        if (a[i].n_done == 0)
            return false;
    return true;
}

void house_await(struct house *h, const struct asked *a, int n)
{
    loop_until(h->base, all_done(a, n));
    for (int i = 0; i < n; i++)
        assert_int_equal(a[i].n_done, 1);
}

static void feed_one(struct house *h, enum arm arm, bool ends_group, double ms)
{
    const struct rule_sample sample = {.outcome = OUTCOME_OK,
                                       .round_trip_ns = (uint64_t)(ms * NS_PER_MS),
                                       .service_ns = (uint64_t)(ms * NS_PER_MS),
                                       .has_service = true};
    struct judge_ticket ticket = judge_draw(h->judge, arm, ends_group, clock_mono_ns());
    judge_end_call(h->judge, &ticket, &sample);
}

void house_feed(struct house *h, int n, double stable_ms, double canary_ms)
{
    for (int i = 0; i < n; i++) {
        double noise = 1 + i % 7 * 0.01; /* without any there is no test */
        feed_one(h, ARM_STABLE, false, stable_ms * noise);
        feed_one(h, ARM_CANARY, true, canary_ms * noise);
    }
}

int house_n_events(const struct house *h, const char *event)
{
    cJSON *recent = journal_recent(h->journal);
    int n = 0;
    for (const cJSON *entry = recent->child; entry != NULL; entry = entry->next)
        n += strcmp(jsonx_member(entry, "event")->valuestring, event) == 0;
    cJSON_Delete(recent);
    return n;
}
