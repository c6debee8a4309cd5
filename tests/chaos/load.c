/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * See load.h. A client asks at fixed times, not so long after its last answer:
 * what a stalled server makes it miss it makes up for, so the load is constant.
 */
#include "tests/chaos/load.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/histogram.h"
#include "common/mem.h"
#include "tests/chaos/oracle.h"
#include "tests/support/http.h"
#include "tests/support/workdir.h"

#define MAX_TOLD 20 /* failures told in full */

struct client {
    pthread_t thread;
    struct load *load;
    int number;
    struct http *http;
    uint64_t n_asked;
    size_t question; /* of the request under way */
    int64_t asked_ns;
    char id[64];
};

struct load {
    struct load_options options;
    atomic_bool stop;
    int64_t start_ns;
    pthread_mutex_t lock; /* of what follows */
    char mark[96];
    int64_t mark_ns;
    struct load_report report;
    struct histogram latencies;
    struct client *clients;
};

static void tell_failure(struct client *c, const char *what)
{
    struct load *l = c->load;
    pthread_mutex_lock(&l->lock);
    int64_t now = clock_mono_ns();
    if (l->report.n_failed++ < MAX_TOLD)
        fprintf(stderr, "chaos: at %.3f s, %.3f s after %s: %s, asked %.0f ms ago: %s\n",
                ns_to_ms((double)(now - l->start_ns)) / 1000,
                ns_to_ms((double)(now - l->mark_ns)) / 1000, l->mark, c->id,
                ns_to_ms((double)(now - c->asked_ns)), what);
    pthread_mutex_unlock(&l->lock);
}

static void fail_answer(struct client *c, const char *what, const struct http_answer *a)
{
    char *text = mem_printf("%s:\n%s%s", what, a->head, a->body);
    tell_failure(c, text);
    free(text);
}

/* --- One answer -------------------------------------------------------------*/

static void count_answer(struct client *c, const struct http_answer *a, int64_t ns)
{
    struct load *l = c->load;
    const char *arm = http_header(a, "X-Canary-Arm");
    pthread_mutex_lock(&l->lock);
    histogram_add(&l->latencies, (uint64_t)ns);
    if (ns_to_ms((double)ns) > l->report.slowest_ms)
        l->report.slowest_ms = ns_to_ms((double)ns);
    l->report.n_by_canary += arm != NULL && strcmp(arm, "canary") == 0;
    pthread_mutex_unlock(&l->lock);
}

static void check_answer(struct client *c, const struct http_answer *a)
{
    const char *id = http_header(a, "X-Request-ID");
    const char *version = http_header(a, "X-Model-Version");
    const cJSON *first = a->json != NULL ? a->json->child : NULL;
    if (a->status != 200)
        fail_answer(c, "not 200", a);
    else if (id == NULL || strcmp(id, c->id) != 0)
        fail_answer(c, "an answer to another request", a);
    else if (version == NULL || !cJSON_IsNumber(first))
        fail_answer(c, "no prediction, or of no version", a);
    else if (!oracle_agrees(c->load->options.oracle, c->question, version, first->valuedouble))
        fail_answer(c, "not what that version predicts", a);
}

/* Bytes while nothing was asked: an answer too many, or the server hung up. */
static void check_quiet(struct client *c)
{
    struct http_answer a = {0};
    struct err e = {0};
    if (c->http == NULL || http_is_idle(c->http))
        return;
    if (http_receive(c->http, false, &a, &e) == 1)
        fail_answer(c, "a second answer", &a);
    else if (!c->load->options.may_break)
        tell_failure(c, e.code != NULL ? e.text : "the server closed a connection in use");
    http_answer_clear(&a);
    http_close(&c->http);
}

static void ask_once(struct client *c)
{
    const struct load_options *o = &c->load->options;
    struct http_answer a = {0};
    struct err e = {0};
    char headers[128];
    check_quiet(c);
    c->question = (c->n_asked * (size_t)o->n_connections + (size_t)c->number) % oracle_n(o->oracle);
    snprintf(c->id, sizeof c->id, "c%d-%llu", c->number, (unsigned long long)c->n_asked++);
    snprintf(headers, sizeof headers, "Content-Type: application/json\r\nX-Request-ID: %s\r\n",
             c->id);
    const struct http_request request = {.method = "POST",
                                         .path = "/predict",
                                         .headers = headers,
                                         .body = oracle_body(o->oracle, c->question)};
    c->asked_ns = clock_mono_ns();
    if (c->http == NULL && (c->http = http_open(o->port, &e)) != NULL)
        http_set_timeout(c->http, o->give_up_ms);
    if (c->http == NULL || http_ask(c->http, &request, &a, &e) != 0) {
        if (!o->may_break)
            tell_failure(c, e.text);
        http_close(&c->http);
        workdir_sleep_ms(50);
    } else {
        count_answer(c, &a, clock_mono_ns() - c->asked_ns);
        check_answer(c, &a);
        if (a.closes)
            http_close(&c->http);
    }
    http_answer_clear(&a);
}

/* --- The clients ------------------------------------------------------------*/

static void count_request(struct load *l)
{
    pthread_mutex_lock(&l->lock);
    l->report.n_requests++;
    pthread_mutex_unlock(&l->lock);
}

static void *run_client(void *arg)
{
    struct client *c = arg;
    struct load *l = c->load;
    int64_t period = l->options.n_connections * NS_PER_SEC / l->options.rate;
    int64_t next = l->start_ns + period * c->number / l->options.n_connections;
    while (!atomic_load(&l->stop)) {
        int64_t early = next - clock_mono_ns();
        if (early > 0)
            workdir_sleep_ms((int)(early / NS_PER_MS) + 1);
        else if (early < -NS_PER_SEC) /* what was missed long ago is not made up for */
            next = clock_mono_ns();
        next += period;
        count_request(l);
        ask_once(c);
    }
    workdir_sleep_ms(20); /* for an answer too many */
    check_quiet(c);
    http_close(&c->http);
    return NULL;
}

struct load *load_start(const struct load_options *options)
{
    struct load *l = mem_alloc(sizeof *l);
    l->options = *options;
    l->start_ns = l->mark_ns = clock_mono_ns();
    snprintf(l->mark, sizeof l->mark, "the start");
    pthread_mutex_init(&l->lock, NULL);
    l->clients = mem_array((size_t)options->n_connections, sizeof *l->clients);
    for (int i = 0; i < options->n_connections; i++) {
        l->clients[i] = (struct client){.load = l, .number = i};
        if (pthread_create(&l->clients[i].thread, NULL, run_client, &l->clients[i]) != 0)
            abort();
    }
    return l;
}

void load_mark(struct load *l, const char *what)
{
    pthread_mutex_lock(&l->lock);
    snprintf(l->mark, sizeof l->mark, "%s", what);
    l->mark_ns = clock_mono_ns();
    pthread_mutex_unlock(&l->lock);
}

void load_look(struct load *l, struct load_report *r)
{
    pthread_mutex_lock(&l->lock);
    *r = l->report;
    r->p99_ms = ns_to_ms(histogram_quantile(&l->latencies, 0.99));
    pthread_mutex_unlock(&l->lock);
}

void load_stop(struct load **l, struct load_report *r)
{
    atomic_store(&(*l)->stop, true);
    for (int i = 0; i < (*l)->options.n_connections; i++)
        pthread_join((*l)->clients[i].thread, NULL);
    load_look(*l, r);
    pthread_mutex_destroy(&(*l)->lock);
    free((*l)->clients);
    free(*l);
    *l = NULL;
}
