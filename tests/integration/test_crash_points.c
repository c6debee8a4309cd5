/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * SIGKILL before each step of a deployment, a promotion and a rollback: every
 * call by which canaryd changes files or processes is a step (tripwire.c), and the
 * steps are gone through until the order is carried out to its end. The next start
 * must find the deployment before the order or the one after it, and no worker of
 * the first may be left.
 */
#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/clock.h"
#include "common/mem.h"
#include "tests/support/answer.h"
#include "tests/support/evil.h"
#include "tests/support/server.h"
#include "tests/support/status.h"
#include "tests/support/tripwire.h"
#include "tests/support/workdir.h"

#define ENDS    4 /* runs that were not killed, in a row */
#define GONE_NS (5 * NS_PER_SEC)

static const char *const by_hand[] = {"--auto-rollback=false", "--warmup-requests=1", NULL};

struct deployment {
    const char *stable, *canary; /* canary NULL: none */
};

static const struct order {
    const char *name, *path, *body;
    struct deployment before, after;
    const char *state, *event; /* once it is carried out; the journal's */
    bool is_durable;           /* once it is answered */
} orders[] = {
    {"deployment",
     "/admin/deploy-canary",
     "{\"model_path\":\"model_v2.json\",\"percent\":20}",
     {"model_v1.json", NULL},
     {"model_v1.json", "model_v2.json"},
     "canary",
     "\"event\":\"deployed\"",
     true},
    {"promotion",
     "/admin/promote-canary",
     "{\"force\":true}",
     {"model_v1.json", "model_v2.json"},
     {"model_v2.json", NULL},
     "idle",
     "\"event\":\"promoted\"",
     true},
    {"rollback", /* does not wait for the disk */
     "/admin/rollback-canary",
     NULL,
     {"model_v1.json", "model_v2.json"},
     {"model_v1.json", NULL},
     "idle",
     "\"event\":\"rolled-back\"",
     false},
};

static char wire[EVIL_PATH_SIZE]; /* the file that arms it */

/* In the child that becomes canaryd. */
static void preload(void *arg)
{
    char library[EVIL_PATH_SIZE];
    (void)arg;
    built_program(library, "tests/support/tripwire.so");
    setenv("LD_PRELOAD", library, 1);
    setenv(TRIPWIRE_VARIABLE, wire, 1);
}

/* A server in the deployment before the order, whose n-th step kills it. */
static struct server *begin(const struct order *o, int n)
{
    char text[16];
    struct server *s = server_prepare();
    snprintf(wire, sizeof wire, "%s", server_path(s, "tripwire"));
    server_set_before(s, preload, NULL);
    server_launch(s, by_hand);
    server_wait_ready(s);
    if (o->before.canary != NULL)
        answer_is(server_post(s, orders[0].path, orders[0].body), 200);
    snprintf(text, sizeof text, "%d", n);
    workdir_write_text(s->dir, "tripwire.new", text);
    assert_int_equal(rename(server_path(s, "tripwire.new"), wire), 0);
    return s;
}

/* Whether it was answered, and well. */
static bool give(struct server *s, const struct order *o)
{
    const struct http_request request = {.method = "POST", .path = o->path, .body = o->body};
    struct http_answer a = {0};
    struct err e = {0};
    struct http *h = http_open(s->port, &e);
    bool done = h != NULL && http_ask(h, &request, &a, &e) == 0 && a.status == 200;
    http_answer_clear(&a);
    http_close(&h);
    return done;
}

static bool is_dead(const struct server *s)
{
    siginfo_t info = {0};
    return waitid(P_PID, (id_t)s->pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid != 0;
}

static bool file_says(struct server *s, const char *name, const char *text)
{
    char *content = workdir_read(server_path(s, name));
    bool says = content != NULL && strstr(content, text) != NULL;
    free(content);
    return says;
}

/* The files agree: neither the journal nor a rollback is waited for. */
static bool is_written(struct server *s, const struct order *o)
{
    bool is_without = file_says(s, "state/state.json", "\"canary\":\tnull");
    return is_without == (o->after.canary == NULL) && file_says(s, "state/journal.jsonl", o->event);
}

/* The state that the order leads to, and nobody on the way out. */
static bool is_carried_out(const struct http_answer *a, const struct order *o)
{
    struct status_worker workers[STATUS_MAX_PIDS];
    int n = status_workers(a, workers), n_ready = 0;
    for (int i = 0; i < n; i++)
        n_ready += workers[i].ready;
    return n_ready == n && strcmp(answer_string(a, "state"), o->state) == 0;
}

static bool is_done(struct server *s, const struct order *o)
{
    const struct http_request request = {.path = "/admin/status"};
    struct http_answer a = {0};
    struct err e = {0};
    struct http *h = http_open(s->port, &e);
    bool done = h != NULL && http_ask(h, &request, &a, &e) == 0 && a.status == 200 &&
                is_carried_out(&a, o) && is_written(s, o);
    http_answer_clear(&a);
    http_close(&h);
    return done;
}

/* Waits until it has died, or has carried out the order: whether it died. */
static bool died(struct server *s, const struct order *o)
{
    int64_t end_ns = clock_mono_ns() + GONE_NS;
    while (!is_dead(s) && !is_done(s, o)) {
        if (clock_mono_ns() > end_ns)
            fail_msg("the %s has no end", o->name);
        workdir_sleep_ms(2);
    }
    return is_dead(s);
}

/* Orphans become ours: all must end, unasked. */
static void expect_no_orphans(const char *step)
{
    int64_t end_ns = clock_mono_ns() + GONE_NS;
    for (;;) {
        pid_t pid = waitpid(-1, NULL, WNOHANG);
        if (pid < 0 && errno == ECHILD)
            return;
        if (pid == 0)
            workdir_sleep_ms(1);
        if (clock_mono_ns() > end_ns)
            fail_msg("%s: a worker lives on", step);
    }
}

static bool is_deployment(const struct http_answer *a, const struct deployment *d)
{
    const cJSON *canary = answer_member(a, "canary");
    if (strcmp(answer_string(a, "stable.model"), d->stable) != 0)
        return false;
    if (cJSON_IsNull(canary) || d->canary == NULL)
        return cJSON_IsNull(canary) && d->canary == NULL;
    return strcmp(answer_string(a, "canary.model"), d->canary) == 0;
}

static bool is_at_rest(struct server *s, void *arg)
{
    const char *state = answer_string(status_get(s), "state");
    (void)arg;
    return strcmp(state, "idle") == 0 || strcmp(state, "canary") == 0;
}

/* Which of the two it came back as. */
static bool is_after(struct server *s, const struct order *o, const char *step)
{
    server_launch(s, by_hand);
    server_wait_ready(s);
    server_wait_until(s, is_at_rest, NULL, "a deployment at rest", SERVER_START_MS);
    const struct http_answer *a = status_get(s);
    bool after = is_deployment(a, &o->after);
    if (!after && !is_deployment(a, &o->before))
        fail_msg("%s: it came back as neither before nor after: %s", step, a->body);
    server_predict(s);
    server_stop(s);
    expect_no_orphans(step);
    return after;
}

/* The line of the log that tells where it was killed, without its line feed. */
static char *step_of(struct server *s, const char *name, int n)
{
    const char *told = strstr(server_log(s), TRIPWIRE_TELLS);
    if (told == NULL)
        fail_msg("%s, step %d: killed, but not by the tripwire", name, n);
    told += strlen(TRIPWIRE_TELLS);
    return mem_printf("%s, step %d: %.*s", name, n, (int)strcspn(told, "\n"), told);
}

/* Whether the n-th step was reached; *n_after counts who came back as after it. */
static bool play(const struct order *o, int n, int *n_after)
{
    struct server *s = begin(o, n);
    bool answered = give(s, o);
    bool is_reached = died(s, o);
    if (!is_reached)
        server_signal(s, SIGKILL); /* its ordinary end has steps, too */
    assert_int_equal(server_wait_exit(s, 5000), 128 + SIGKILL);
    server_forget(s);
    if (!is_reached) {
        assert_true(answered);
        expect_no_orphans(o->name);
        return false;
    }
    char *step = step_of(s, o->name, n);
    expect_no_orphans(step);
    server_set_before(s, NULL, NULL);
    bool after = is_after(s, o, step);
    if (answered && o->is_durable && !after)
        fail_msg("%s: it was answered, and is undone", step);
    *n_after += after;
    free(step);
    return true;
}

/* The loop and its helper thread make more or fewer calls from run to run: the end
 * is where several runs in a row have none that many. */
static void enumerate(const struct order *o)
{
    int n_reached = 0, n_after = 0, n_missed = 0;
    for (int n = 1; n_missed < ENDS; n++) {
        bool is_reached = play(o, n, &n_after);
        n_reached += is_reached;
        n_missed = is_reached ? 0 : n_missed + 1;
    }
    assert_in_range(n_reached, 5, INT_MAX); /* fewer: nothing was counted */
    assert_true(n_after < n_reached);
    print_message("%s: killed before %d steps; %d times as before it, %d times as after it\n",
                  o->name, n_reached, n_reached - n_after, n_after);
}

static void test_deployment(void **state)
{
    (void)state;
    enumerate(&orders[0]);
}

static void test_promotion(void **state)
{
    (void)state;
    enumerate(&orders[1]);
}

static void test_rollback(void **state)
{
    (void)state;
    enumerate(&orders[2]);
}

#ifdef __SANITIZE_ADDRESS__
#define CRASH_TEST(test) cmocka_unit_test(skipped) /* it wants to be the first library */
static void skipped(void **state)
{
    (void)state, (void)test_deployment, (void)test_promotion, (void)test_rollback;
    skip();
}
#else
#define CRASH_TEST(test) SERVER_TEST(test)
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        CRASH_TEST(test_deployment),
        CRASH_TEST(test_promotion),
        CRASH_TEST(test_rollback),
    };
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    return cmocka_run_group_tests_name("crash points", tests, NULL, NULL);
}
