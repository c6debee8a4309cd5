/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * See audit.h.
 */
#include "supervisor/audit.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "supervisor/gateway.h"
#include "supervisor/journal.h"
#include "supervisor/peer.h"

#define MAX_VISITORS     32
#define VISIT_NS         (600 * NS_PER_SEC)
#define REFUSAL_NS       (10 * NS_PER_SEC) /* one entry in so long ... */
#define REFUSALS_AT_ONCE 10                /* ... after so many */

struct visitor {
    char peer[PEER_TEXT_SIZE]; /* without what changes with each connection */
    bool by_token;
    int64_t told_ns;
};

struct audit {
    struct journal *journal;
    struct visitor visitors[MAX_VISITORS];
    size_t next_visitor;
    double n_refusals_left;
    int64_t refusals_ns;
    uint64_t n_left_out;
};

struct audit *audit_new(struct journal *journal)
{
    struct audit *a = mem_alloc(sizeof *a);
    *a = (struct audit){.journal = journal, .n_refusals_left = REFUSALS_AT_ONCE};
    a->refusals_ns = clock_mono_ns();
    return a;
}

void audit_free(struct audit **a)
{
    free(*a);
    *a = NULL;
}

/* Cuts off the port or the pid. */
static void cut_peer(char *peer)
{
    char *colon = strrchr(peer, ':');
    peer[strcspn(peer, ",")] = '\0';
    if (colon != NULL)
        *colon = '\0';
}

/* Whether this visitor has not been seen for a while; remembers it. */
static bool is_news(struct audit *a, const struct admin_call *call)
{
    char peer[PEER_TEXT_SIZE];
    int64_t now_ns = clock_mono_ns();
    struct visitor *v = NULL;
    strncpy(peer, call->peer, sizeof peer - 1);
    peer[sizeof peer - 1] = '\0';
    cut_peer(peer);
    for (size_t i = 0; i < MAX_VISITORS && v == NULL; i++)
        if (strcmp(a->visitors[i].peer, peer) == 0 && a->visitors[i].by_token == call->by_token)
            v = &a->visitors[i];
    if (v != NULL && now_ns - v->told_ns < VISIT_NS)
        return false;
    if (v == NULL)
        v = &a->visitors[a->next_visitor++ % MAX_VISITORS];
    *v = (struct visitor){.by_token = call->by_token, .told_ns = now_ns};
    memcpy(v->peer, peer, sizeof peer);
    return true;
}

static bool may_tell_refusal(struct audit *a)
{
    int64_t now_ns = clock_mono_ns();
    a->n_refusals_left += (double)(now_ns - a->refusals_ns) / (double)REFUSAL_NS;
    a->refusals_ns = now_ns;
    if (a->n_refusals_left > REFUSALS_AT_ONCE)
        a->n_refusals_left = REFUSALS_AT_ONCE;
    if (a->n_refusals_left < 1) {
        a->n_left_out++;
        return false;
    }
    a->n_refusals_left -= 1;
    return true;
}

static bool is_refused(int status)
{
    return status == 401 || status == 403 || status == 429;
}

static bool is_worth_an_entry(struct audit *a, const struct admin_call *call)
{
    if (is_refused(call->status))
        return may_tell_refusal(a);
    return call->is_change || is_news(a, call);
}

void audit_call(void *arg, const struct admin_call *call)
{
    struct audit *a = arg;
    if (!is_worth_an_entry(a, call))
        return;
    cJSON *fields = cJSON_CreateObject();
    cJSON_AddStringToObject(fields, "peer", call->peer);
    cJSON_AddBoolToObject(fields, "token", call->by_token);
    cJSON_AddStringToObject(fields, "method", call->method);
    cJSON_AddStringToObject(fields, "path", call->path);
    cJSON_AddNumberToObject(fields, "status", call->status);
    cJSON_AddStringToObject(fields, "request_id", call->request_id);
    if (is_refused(call->status)) {
        log_warn("admin: %s %s from %s was refused: %d", call->method, call->path, call->peer,
                 call->status);
        if (a->n_left_out > 0)
            cJSON_AddNumberToObject(fields, "left_out", (double)a->n_left_out);
        a->n_left_out = 0;
    }
    journal_add(a->journal, "admin", fields);
}
