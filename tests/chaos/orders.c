/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * See orders.h.
 */
#include "tests/chaos/orders.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"
#include "tests/chaos/world.h"
#include "tests/support/http.h"

#define MAX_ORDERS 16
#define OVERDUE_MS 30000

struct order {
    struct http *http; /* NULL: a free place */
    char what[256];    /* path and body, for messages */
    char expected[48];
    bool evil;
};

struct orders {
    struct world *world;
    struct order orders[MAX_ORDERS];
    unsigned next;
};

struct orders *orders_new(struct world *w)
{
    struct orders *o = mem_alloc(sizeof *o);
    o->world = w;
    return o;
}

void orders_free(struct orders **o)
{
    if (*o == NULL)
        return;
    for (int i = 0; i < MAX_ORDERS; i++)
        http_close(&(*o)->orders[i].http);
    free(*o);
    *o = NULL;
}

/* Blocks until the answer is there. */
static void finish(struct orders *o, struct order *x)
{
    struct http_answer a = {0};
    struct err e = {0};
    char status[16];
    int rc = http_receive(x->http, false, &a, &e);
    snprintf(status, sizeof status, "%d", a.status);
    if (rc != 1)
        world_wrong(o->world, x->what, rc < 0 ? e.text : "closed without an answer");
    else if (strstr(x->expected, status) == NULL || a.json == NULL) {
        char *text = mem_printf("%s%s (expected %s)", a.head, a.body, x->expected);
        world_wrong(o->world, x->what, text);
        free(text);
    }
    http_answer_clear(&a);
    http_close(&x->http);
}

void orders_post(struct orders *o, const char *path, const char *body, const char *expected)
{
    struct order *x = &o->orders[o->next++ % MAX_ORDERS];
    struct err e = {0};
    if (x->http != NULL)
        finish(o, x);
    const struct http_request request = {
        .method = "POST",
        .path = path,
        .headers = body != NULL ? "Content-Type: application/json\r\n" : NULL,
        .body = body};
    snprintf(x->what, sizeof x->what, "%s %s", path, body != NULL ? body : "");
    snprintf(x->expected, sizeof x->expected, "%s", expected);
    x->evil = body != NULL && strstr(body, "evil") != NULL;
    x->http = http_open(o->world->server->port, &e);
    if (x->http == NULL) {
        world_wrong(o->world, x->what, e.text);
        return;
    }
    http_set_timeout(x->http, OVERDUE_MS);
    if (http_send_request(x->http, &request, &e) < 0) {
        world_wrong(o->world, x->what, e.text);
        http_close(&x->http);
    }
}

void orders_collect(struct orders *o)
{
    for (int i = 0; i < MAX_ORDERS; i++)
        if (o->orders[i].http != NULL && !http_is_idle(o->orders[i].http))
            finish(o, &o->orders[i]);
}

void orders_await(struct orders *o)
{
    for (int i = 0; i < MAX_ORDERS; i++)
        if (o->orders[i].http != NULL)
            finish(o, &o->orders[i]);
}

bool orders_has_evil(const struct orders *o)
{
    for (int i = 0; i < MAX_ORDERS; i++)
        if (o->orders[i].http != NULL && o->orders[i].evil)
            return true;
    return false;
}
