/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * See traffic.h. Clients pause a little between requests, so that a test
 * machine of two cores is busy and not drowned. They never call cmocka: its
 * failures jump, and a thread must not.
 */
#include "tests/support/traffic.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/clock.h"
#include "common/mem.h"
#include "tests/support/http.h"
#include "tests/support/server.h"
#include "tests/support/workdir.h"

struct client {
    pthread_t thread;
    struct traffic *traffic;
    struct http *http;
};

struct traffic {
    uint16_t port;
    int n_clients;
    bool knocks; /* a new connection for every request */
    atomic_bool stop;
    atomic_uint_fast64_t n_done;
    pthread_mutex_t lock; /* of the report */
    struct traffic_report report;
    int64_t last_ok_ns; /* when the latest request that was answered 200 was sent */
    struct client clients[TRAFFIC_MAX_CLIENTS];
};

static struct traffic *running; /* at most one at a time */

static bool is_late(const struct traffic *t, const struct http_answer *a, int64_t now)
{
    return a->status == 503 && a->body != NULL && strstr(a->body, "canaryd stops") != NULL &&
           now - t->last_ok_ns >= TRAFFIC_QUIET_MS * NS_PER_MS;
}

static void note_answer(struct traffic *t, const struct http_answer *a, int64_t start)
{
    const char *arm = http_header(a, "X-Canary-Arm");
    bool ok = a->status == 200 && a->json != NULL;
    int64_t now = clock_mono_ns();
    double ms = ns_to_ms((double)(now - start));
    pthread_mutex_lock(&t->lock);
    struct traffic_report *r = &t->report;
    r->n_ok += ok;
    r->n_canary += ok && arm != NULL && strcmp(arm, "canary") == 0;
    r->n_late += is_late(t, a, now);
    if (ok && start > t->last_ok_ns)
        t->last_ok_ns = start;
    if (ms > r->longest_ms)
        r->longest_ms = ms;
    if (!ok && r->n_other++ + r->n_broken == 0)
        snprintf(r->first_bad, sizeof r->first_bad, "%s%s", a->head, a->body);
    pthread_mutex_unlock(&t->lock);
}

static void note_broken(struct traffic *t, const struct err *e)
{
    pthread_mutex_lock(&t->lock);
    struct traffic_report *r = &t->report;
    if (r->n_other + r->n_broken++ == 0)
        snprintf(r->first_bad, sizeof r->first_bad, "%s", e->text);
    r->n_cut += e->code != NULL && strcmp(e->code, "bad-answer") == 0;
    pthread_mutex_unlock(&t->lock);
}

static void ask_once(struct client *c)
{
    static const struct http_request request = {.method = "POST",
                                                .path = "/predict",
                                                .headers = "Content-Type: application/json\r\n",
                                                .body = GOOD_FEATURES};
    struct http_answer a = {0};
    struct err e = {0};
    int64_t start = clock_mono_ns();
    if (c->http != NULL && (c->traffic->knocks || !http_is_idle(c->http)))
        http_close(&c->http); /* the server may hang up between two requests: its right */
    if (c->http == NULL)
        c->http = http_open(c->traffic->port, &e);
    if (c->http == NULL || http_ask(c->http, &request, &a, &e) != 0) {
        note_broken(c->traffic, &e);
        http_close(&c->http);
        workdir_sleep_ms(10);
    } else {
        note_answer(c->traffic, &a, start);
        if (a.closes)
            http_close(&c->http);
    }
    http_answer_clear(&a);
}

static void *run_client(void *arg)
{
    struct client *c = arg;
    while (!atomic_load(&c->traffic->stop)) {
        ask_once(c);
        atomic_fetch_add(&c->traffic->n_done, 1);
        workdir_sleep_ms(2);
    }
    http_close(&c->http);
    return NULL;
}

static struct traffic *start(uint16_t port, int n_clients, bool knocks)
{
    struct traffic *t = mem_alloc(sizeof *t);
    assert_in_range(n_clients, 1, TRAFFIC_MAX_CLIENTS);
    assert_null(running);
    running = t;
    t->port = port;
    t->n_clients = n_clients;
    t->knocks = knocks;
    pthread_mutex_init(&t->lock, NULL);
    for (int i = 0; i < n_clients; i++) {
        t->clients[i].traffic = t;
        assert_int_equal(pthread_create(&t->clients[i].thread, NULL, run_client, &t->clients[i]),
                         0);
    }
    return t;
}

struct traffic *traffic_start(uint16_t port, int n_clients)
{
    return start(port, n_clients, false);
}

struct traffic *traffic_start_knocking(uint16_t port, int n_clients)
{
    return start(port, n_clients, true);
}

void traffic_wait(struct traffic *t, uint64_t n)
{
    uint64_t wanted = atomic_load(&t->n_done) + n;
    int64_t deadline = clock_mono_ns() + 30 * NS_PER_SEC;
    while (atomic_load(&t->n_done) < wanted) {
        if (clock_mono_ns() > deadline)
            fail_msg("the traffic stands: %llu answers in 30 s were not to be had",
                     (unsigned long long)n);
        workdir_sleep_ms(2);
    }
}

struct traffic_report traffic_stop(struct traffic **t)
{
    atomic_store(&(*t)->stop, true);
    for (int i = 0; i < (*t)->n_clients; i++)
        pthread_join((*t)->clients[i].thread, NULL);
    struct traffic_report r = (*t)->report;
    pthread_mutex_destroy(&(*t)->lock);
    free(*t);
    *t = NULL;
    running = NULL;
    return r;
}

void traffic_abandon(void)
{
    if (running != NULL)
        traffic_stop(&(struct traffic *){running});
}

void traffic_expect_clean(const struct traffic_report *r)
{
    if (r->n_other + r->n_broken > 0)
        fail_msg(
            "%llu answers were not 200 and %llu requests broke (%llu were fine); the first: %s",
            (unsigned long long)r->n_other, (unsigned long long)r->n_broken,
            (unsigned long long)r->n_ok, r->first_bad);
}
