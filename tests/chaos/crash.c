/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * See crash.h. A round: some orders to get anywhere, some load, a look; then at
 * most one more order, the kill, a restart, and another look.
 */
#include "tests/chaos/crash.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/histogram.h"
#include "common/jsonx.h"
#include "common/mem.h"
#include "common/rng.h"
#include "tests/chaos/load.h"
#include "tests/chaos/orders.h"
#include "tests/chaos/watch.h"
#include "tests/chaos/world.h"
#include "tests/support/http.h"
#include "tests/support/workdir.h"

#define OUTLIVE_MS   100 /* at the median: a busy machine may take its time */
#define OUTLIVE_MAX  1000
#define COME_BACK_NS (10 * NS_PER_SEC)

/* What must survive. */
struct memory {
    char state[16];
    char stable[96], canary[96]; /* versions */
    double percent;
    bool slowdown;
    double n_stable, n_canary; /* samples */
};

struct order {
    const char *path;
    char body[120];     /* "": none */
    struct memory next; /* what follows if it is carried out */
    bool is_durable;    /* once it is answered */
};

struct crash {
    struct world *world;
    struct rng *rng;
    const struct crash_options *options;
    unsigned n_rounds, n_problems, n_quiet, n_before, n_after;
    struct histogram deaths; /* until the last worker was gone */
};

static void problem(struct crash *c, const char *text)
{
    c->n_problems++;
    fprintf(stderr, "chaos: crash %u: %s\n", c->n_rounds, text);
}

/* --- Looking ----------------------------------------------------------------*/

static bool get(struct world *w, const char *path, struct http_answer *a)
{
    const struct http_request request = {.path = path};
    struct err e = {0};
    struct http *h = http_open(w->server->port, &e);
    bool ok = h != NULL && http_ask(h, &request, a, &e) == 0 && a->status == 200 && a->json != NULL;
    http_close(&h);
    return ok;
}

static void copy_version(char *to, size_t size, const cJSON *root, const char *role)
{
    const cJSON *x = jsonx_member(root, role);
    const char *version = cJSON_GetStringValue(jsonx_member(x, "model_version"));
    snprintf(to, size, "%s", version != NULL ? version : "");
}

static double number_of(const cJSON *root, const char *name)
{
    const cJSON *x = jsonx_member(root, name);
    return cJSON_IsNumber(x) ? x->valuedouble : 0;
}

static bool look(struct crash *c, struct memory *m)
{
    struct http_answer status = {0}, health = {0};
    *m = (struct memory){0};
    bool ok = get(c->world, "/admin/status", &status) &&
              get(c->world, "/admin/check-canary-health", &health);
    if (ok) {
        const cJSON *canary = jsonx_member(status.json, "canary");
        const char *state = cJSON_GetStringValue(jsonx_member(status.json, "state"));
        snprintf(m->state, sizeof m->state, "%s", state != NULL ? state : "");
        copy_version(m->stable, sizeof m->stable, status.json, "stable");
        copy_version(m->canary, sizeof m->canary, status.json, "canary");
        m->percent = number_of(canary, "percent");
        m->slowdown = cJSON_IsTrue(jsonx_member(status.json, "simulate_slowdown"));
        m->n_stable = number_of(health.json, "stable_sample_count");
        m->n_canary = number_of(health.json, "canary_sample_count");
    } else {
        problem(c, "no status, or no health report");
    }
    http_answer_clear(&status);
    http_answer_clear(&health);
    return ok;
}

static bool same_deployment(const struct memory *a, const struct memory *b)
{
    return strcmp(a->stable, b->stable) == 0 && strcmp(a->canary, b->canary) == 0 &&
           a->percent == b->percent && a->slowdown == b->slowdown;
}

static bool same_samples(const struct memory *a, const struct memory *b)
{
    return a->n_stable == b->n_stable && a->n_canary == b->n_canary;
}

static void tell(const char *what, const struct memory *m)
{
    fprintf(stderr, "chaos: %s: %s, stable %s, canary \"%s\" %g %%, slowdown %d, samples %g %g\n",
            what, m->state, m->stable, m->canary, m->percent, m->slowdown, m->n_stable,
            m->n_canary);
}

/* --- Orders -----------------------------------------------------------------*/

static void draw_deployment(struct crash *c, const struct memory *now, struct order *o)
{
    unsigned model = rng_below(c->rng, 2) + 1, percent = rng_below(c->rng, 50) + 1;
    o->path = "/admin/deploy-canary";
    snprintf(o->body, sizeof o->body,
             "{\"model_path\":\"model_v%u.json\",\"percent\":%u,\"replace\":true}", model, percent);
    o->next = *now;
    snprintf(o->next.canary, sizeof o->next.canary, "model_v%u@", model);
    o->next.percent = percent;
    o->is_durable = true;
}

static void draw_order(struct crash *c, const struct memory *now, struct order *o)
{
    uint32_t lot = rng_below(c->rng, 10);
    *o = (struct order){.path = "/admin/rollback-canary", .next = *now};
    if (lot < 5 || now->canary[0] == '\0') {
        draw_deployment(c, now, o);
        return;
    }
    o->next.canary[0] = '\0';
    o->next.percent = 0;
    if (lot < 8) {
        o->path = "/admin/promote-canary";
        snprintf(o->body, sizeof o->body, "{\"force\":true}");
        memcpy(o->next.stable, now->canary, sizeof o->next.stable);
        o->is_durable = true;
    }
}

/* A version that is known but for its checksum agrees with all that begin so. */
static void complete(char *version, size_t size, const char *seen)
{
    size_t n = strlen(version);
    if (n > 0 && version[n - 1] == '@' && strncmp(version, seen, n) == 0)
        snprintf(version, size, "%s", seen);
}

static struct http *send_order(struct crash *c, const struct order *o)
{
    struct err e = {0};
    const struct http_request request = {
        .method = "POST", .path = o->path, .body = o->body[0] != '\0' ? o->body : NULL};
    struct http *h = http_open(c->world->server->port, &e);
    if (h == NULL || http_send_request(h, &request, &e) < 0)
        problem(c, e.text);
    return h;
}

/* Was it answered, and well, before the end? */
static bool was_done(struct http **h)
{
    struct http_answer a = {0};
    bool done = *h != NULL && http_receive(*h, false, &a, NULL) == 1 && a.status == 200;
    http_answer_clear(&a);
    http_close(h);
    return done;
}

/* --- A round ----------------------------------------------------------------*/

static void load_for(struct crash *c, int ms)
{
    struct load_report r;
    const struct load_options options = {.port = c->world->server->port,
                                         .n_connections = c->options->n_connections,
                                         .rate = c->options->rate,
                                         .give_up_ms = WORLD_GIVE_UP_MS,
                                         .oracle = c->options->oracle};
    struct load *l = load_start(&options);
    workdir_sleep_ms(ms);
    load_stop(&l, &r);
    if (r.n_failed > 0)
        problem(c, "requests failed");
}

static void prepare(struct crash *c)
{
    struct memory now;
    struct order o;
    for (uint32_t i = rng_below(c->rng, 3); i > 0 && look(c, &now); i--) {
        draw_order(c, &now, &o);
        struct http *h = send_order(c, &o);
        if (!was_done(&h))
            problem(c, "an order at rest was not carried out");
    }
    if (rng_below(c->rng, 8) == 0)
        orders_post(c->world->orders, "/admin/toggle-slowdown", NULL, "200");
    orders_await(c->world->orders);
    load_for(c, 50 + (int)rng_below(c->rng, 300));
}

/* Of the server, dying or dead. It may be dying for longer than its workers: its
 * helper thread must leave the disk first. */
static int n_workers_left(pid_t server)
{
    int n = watch_children(server, NULL, 0) + watch_children(getpid(), NULL, 0);
    return n - process_lives(server);
}

/* Kills it, and waits until no worker is left. */
static void kill_server(struct crash *c)
{
    struct server *s = c->world->server;
    int64_t start = clock_mono_ns();
    server_signal(s, SIGKILL);
    int64_t ns = 0;
    while (n_workers_left(s->pid) > 0 && ns < OUTLIVE_MAX * NS_PER_MS) {
        workdir_sleep_ms(1);
        ns = clock_mono_ns() - start;
    }
    histogram_add(&c->deaths, (uint64_t)ns);
    if (ns >= OUTLIVE_MAX * NS_PER_MS)
        problem(c, "a worker outlived it");
    server_wait_exit(s, 5000);
    watch_bury(0);
}

/* After a restart a canary is loaded again first. */
static bool come_back(struct crash *c, struct memory *m)
{
    int64_t end = clock_mono_ns() + COME_BACK_NS;
    world_launch(c->world);
    while (look(c, m)) {
        if (strcmp(m->state, "idle") == 0 || strcmp(m->state, "canary") == 0)
            return true;
        if (clock_mono_ns() > end) {
            problem(c, "it did not come back");
            return false;
        }
        workdir_sleep_ms(5);
    }
    return false;
}

static void wrong_memory(struct crash *c, const char *what, const struct memory *before,
                         const struct memory *next, const struct memory *now)
{
    problem(c, what);
    tell("before", before);
    if (next != NULL)
        tell("asked for", next);
    tell("came back", now);
}

static void crash_at_rest(struct crash *c)
{
    struct memory before, now;
    if (!look(c, &before))
        return;
    kill_server(c);
    if (!come_back(c, &now))
        return;
    c->n_quiet++;
    if (!same_deployment(&before, &now))
        wrong_memory(c, "another deployment", &before, NULL, &now);
    else if (before.canary[0] != '\0' && !same_samples(&before, &now))
        wrong_memory(c, "other samples", &before, NULL, &now);
}

static void sleep_us(uint32_t us)
{
    const struct timespec t = {.tv_sec = us / 1000000, .tv_nsec = (long)(us % 1000000) * 1000};
    nanosleep(&t, NULL);
}

static void crash_in_order(struct crash *c)
{
    struct memory before, now;
    struct order o;
    if (!look(c, &before))
        return;
    draw_order(c, &before, &o);
    uint32_t us = rng_below(c->rng, 30000);
    struct http *h = send_order(c, &o);
    sleep_us(us);
    kill_server(c);
    bool done = was_done(&h);
    if (!come_back(c, &now))
        return;
    complete(o.next.canary, sizeof o.next.canary, now.canary);
    bool is_after = same_deployment(&o.next, &now);
    c->n_after += is_after;
    c->n_before += !is_after;
    if (!is_after && !same_deployment(&before, &now))
        wrong_memory(c, "neither as before nor as after", &before, &o.next, &now);
    else if (!is_after && done && o.is_durable)
        wrong_memory(c, "what was answered is lost", &before, &o.next, &now);
}

/* The first save is written beside the first requests. */
static bool keeps_state(const struct crash *c)
{
    const char *path = server_path(c->world->server, "state/state.json");
    for (int i = 0; i < 100 && !workdir_exists(path); i++)
        workdir_sleep_ms(10);
    return workdir_exists(path);
}

static void report(struct crash *c)
{
    double median_ms = ns_to_ms(histogram_quantile(&c->deaths, 0.5));
    printf("chaos: %u crashes: %u at rest, %u came back as before the order, %u as after it; "
           "workers gone after %.1f ms (median), %.0f ms (most)\n",
           c->n_rounds, c->n_quiet, c->n_before, c->n_after, median_ms,
           ns_to_ms(histogram_quantile(&c->deaths, 1)));
    if (median_ms > OUTLIVE_MS)
        problem(c, "workers outlive it");
}

unsigned crash_run(struct world *w, struct rng *rng, const struct crash_options *options)
{
    static struct crash c; /* its histogram is not for the stack */
    c = (struct crash){.world = w, .rng = rng, .options = options};
    int64_t end = clock_mono_ns() + options->seconds * NS_PER_SEC;
    if (!keeps_state(&c)) {
        printf("chaos: SKIP: this canaryd keeps no state.json\n");
        return 0;
    }
    while (clock_mono_ns() < end) {
        c.n_rounds++;
        prepare(&c);
        if (rng_below(rng, 3) == 0)
            crash_at_rest(&c);
        else
            crash_in_order(&c);
    }
    report(&c);
    return c.n_problems;
}
