/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * See world.h.
 */
#include "tests/chaos/world.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/jsonx.h"
#include "common/mem.h"
#include "tests/chaos/orders.h"
#include "tests/support/http.h"

/* Hangs are found soon, predictions have time for several tries, the judge only
 * watches, and workers may be evil. */
static void launch_with(struct world *w, const char *worker)
{
    const char *const args[] = {worker,
                                "--auto-rollback=false",
                                "--crash-limit=5",
                                "--warmup-requests=5",
                                "--try-deadline-ms=150",
                                "--hang-ms=400",
                                "--predict-deadline-ms=8000",
                                "--start-timeout-ms=1500",
                                "--drain-timeout-ms=5000",
                                "--python=",
                                NULL};
    server_launch(w->server, args);
    server_wait_ready(w->server);
}

void world_launch(struct world *w)
{
    const char *build = getenv("CANARYD_BUILD");
    char *path = mem_printf("%s/tests/support/evil_worker", build != NULL ? build : "build");
    char *whole = realpath(path, NULL);
    if (whole == NULL) {
        fprintf(stderr, "chaos: %s is not built\n", path);
        exit(EXIT_FAILURE);
    }
    char *setting = mem_printf("--worker-program=%s", whole);
    launch_with(w, setting);
    free(setting);
    free(whole);
    free(path);
}

void world_start(struct world *w)
{
    w->server = server_prepare();
    w->orders = orders_new(w);
    server_write_config(w->server, "{}");
    operator_write_models(w);
    world_launch(w);
}

static void copy_text(char *to, size_t size, const cJSON *from)
{
    const char *text = cJSON_GetStringValue(from);
    snprintf(to, size, "%s", text != NULL ? text : "");
}

/* Who drains or stops keeps the role's name, but plays it no more. */
static void name_retired(struct status_worker *x)
{
    if (strcmp(x->state, "draining") == 0 || strcmp(x->state, "stopping") == 0)
        snprintf(x->role, sizeof x->role, "retired");
}

static void read_scene(struct scene *s, const struct http_answer *a)
{
    int64_t n = 0;
    const cJSON *requests = jsonx_member(a->json, "requests");
    copy_text(s->state, sizeof s->state, jsonx_member(a->json, "state"));
    const cJSON *canary = jsonx_member(a->json, "canary");
    copy_text(s->canary, sizeof s->canary,
              cJSON_IsObject(canary) ? jsonx_member(canary, "model") : NULL);
    s->n_workers = status_workers(a, s->workers);
    for (int i = 0; i < s->n_workers; i++)
        name_retired(&s->workers[i]);
    s->n_in_flight = jsonx_as_int(jsonx_member(requests, "in_flight"), 0, 1 << 30, &n) ? (int)n : 0;
}

bool world_look(struct world *w)
{
    const struct http_request request = {.path = "/admin/status"};
    struct http_answer a = {0};
    struct err e = {0};
    if (w->eye != NULL && !http_is_idle(w->eye))
        http_close(&w->eye);
    if (w->eye == NULL)
        w->eye = http_open(w->server->port, &e);
    bool seen = w->eye != NULL && http_ask(w->eye, &request, &a, &e) == 0 && a.status == 200 &&
                a.json != NULL;
    if (seen)
        read_scene(&w->scene, &a);
    else
        world_wrong(w, "GET /admin/status", a.head != NULL ? a.head : e.text);
    if (!seen || a.closes)
        http_close(&w->eye);
    http_answer_clear(&a);
    return seen;
}

bool world_is_hurt(const struct world *w, pid_t pid)
{
    for (int i = 0; i < WORLD_MAX_HURT; i++)
        if (w->hurt[i] == pid)
            return true;
    return false;
}

void world_note_hurt(struct world *w, pid_t pid)
{
    w->hurt[w->n_hurt++ % WORLD_MAX_HURT] = pid;
}

void world_note_healed(struct world *w, pid_t pid)
{
    for (int i = 0; i < WORLD_MAX_HURT; i++)
        if (w->hurt[i] == pid)
            w->hurt[i] = 0;
}

bool world_canary_is_evil(const struct world *w)
{
    return strncmp(w->scene.canary, "evil", 4) == 0;
}

void world_resume(struct world *w, bool now)
{
    if (w->paused == 0 || (!now && clock_mono_ns() < w->resume_ns))
        return;
    if (process_lives(w->paused)) {
        kill(w->paused, SIGCONT);
        world_note_healed(w, w->paused);
    }
    w->paused = 0;
}

void world_wrong(struct world *w, const char *what, const char *text)
{
    atomic_fetch_add(&w->n_wrong, 1);
    fprintf(stderr, "chaos: wrong answer to %s: %s\n", what, text);
}
