/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * See status.h. Workers are looked for anywhere in the answer: an object with
 * a "pid" and a "role" is one.
 */
#include "tests/support/status.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/clock.h"
#include "common/jsonx.h"
#include "common/mem.h"
#include "tests/support/answer.h"
#include "tests/support/workdir.h"

#define WAIT_MS 20000

const struct http_answer *status_get(struct server *s)
{
    const struct http_answer *a = server_get(s, "/admin/status");
    answer_is(a, 200);
    answer_string(a, "state");
    return a;
}

/* Goes to the next node in document order; NULL at the end. The stack has one
 * place per level, and strict JSON bounds those. */
struct walk {
    const cJSON *stack[JSONX_MAX_DEPTH + 1];
    int depth;
};

static const cJSON *walk_next(struct walk *w)
{
    while (w->depth > 0) {
        const cJSON *at = w->stack[w->depth - 1];
        if (at == NULL) {
            w->depth--;
            continue;
        }
        w->stack[w->depth - 1] = at->next;
        if (at->child != NULL)
            w->stack[w->depth++] = at->child;
        return at;
    }
    return NULL;
}

static pid_t pid_of(const cJSON *node)
{
    int64_t pid = 0;
    if (!cJSON_IsString(jsonx_member(node, "role")) ||
        !jsonx_as_int(jsonx_member(node, "pid"), 2, 1 << 30, &pid))
        return 0;
    return (pid_t)pid;
}

static bool member_is(const cJSON *node, const char *name, const char *value)
{
    const char *got = cJSON_GetStringValue(jsonx_member(node, name));
    return got != NULL && strcmp(got, value) == 0;
}

static void copy_member(char *to, size_t size, const cJSON *node, const char *name)
{
    const char *text = cJSON_GetStringValue(jsonx_member(node, name));
    snprintf(to, size, "%s", text != NULL ? text : "");
}

int status_workers(const struct http_answer *a, struct status_worker workers[STATUS_MAX_PIDS])
{
    int n = 0;
    struct walk w = {.stack = {a->json}, .depth = 1};
    for (const cJSON *node = walk_next(&w); node != NULL && n < STATUS_MAX_PIDS;
         node = walk_next(&w)) {
        struct status_worker *worker = &workers[n];
        worker->pid = pid_of(node);
        if (worker->pid == 0)
            continue;
        worker->ready = member_is(node, "state", "ready");
        copy_member(worker->role, sizeof worker->role, node, "role");
        copy_member(worker->state, sizeof worker->state, node, "state");
        n++;
    }
    return n;
}

pid_t status_pid(struct server *s, const char *role)
{
    struct status_worker workers[STATUS_MAX_PIDS];
    int n = status_workers(status_get(s), workers);
    for (int i = 0; i < n; i++)
        if (workers[i].ready && strcmp(workers[i].role, role) == 0)
            return workers[i].pid;
    return 0;
}

int status_pids(struct server *s, pid_t pids[STATUS_MAX_PIDS])
{
    struct status_worker workers[STATUS_MAX_PIDS];
    int n = status_workers(status_get(s), workers);
    for (int i = 0; i < n; i++)
        pids[i] = workers[i].pid;
    return n;
}

struct wanted {
    const char *text;
    pid_t old, found;
};

static bool is_in_state(struct server *s, void *arg)
{
    const struct wanted *w = arg;
    return member_is(status_get(s)->json, "state", w->text);
}

void status_wait_state(struct server *s, const char *state)
{
    struct wanted w = {.text = state};
    server_wait_until(s, is_in_state, &w, state, WAIT_MS);
}

static bool has_other_pid(struct server *s, void *arg)
{
    struct wanted *w = arg;
    w->found = status_pid(s, w->text);
    return w->found != 0 && w->found != w->old;
}

pid_t status_wait_pid(struct server *s, const char *role, pid_t old)
{
    struct wanted w = {.text = role, .old = old};
    char *what = mem_printf("a ready %s worker other than %d", role, (int)old);
    server_wait_until(s, has_other_pid, &w, what, WAIT_MS);
    free(what);
    return w.found;
}

static bool has_baseline(struct server *s, void *arg)
{
    const cJSON *baseline = jsonx_member(status_get(s)->json, "baseline");
    (void)arg;
    return cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(baseline, "ready"));
}

void status_wait_baseline(struct server *s)
{
    server_wait_until(s, has_baseline, NULL, "a baseline that takes calls", WAIT_MS);
}

bool process_lives(pid_t pid)
{
    char path[64], line[512] = "";
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *f = fopen(path, "re");
    if (f == NULL)
        return false;
    const char *got = fgets(line, sizeof line, f);
    fclose(f);
    const char *end = got == NULL ? NULL : strrchr(line, ')');
    return end != NULL && end[1] != '\0' && strchr("ZX", end[2]) == NULL;
}

void process_wait_gone(pid_t pid, int ms)
{
    int64_t deadline = clock_mono_ns() + ms * NS_PER_MS;
    while (process_lives(pid)) {
        if (clock_mono_ns() > deadline)
            fail_msg("process %d is still there after %d ms", (int)pid, ms);
        workdir_sleep_ms(2);
    }
}
