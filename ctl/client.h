/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A synchronous HTTP/1.1 client for one server: one question, one answer. The
 * connection is kept and used again. It knows JSON and nothing of canaryd.
 * Programs that use it ignore SIGPIPE.
 */
#ifndef CANARYD_CTL_CLIENT_H
#define CANARYD_CTL_CLIENT_H

#include <stddef.h>

#include <cjson/cJSON.h>

#include "common/err.h"

#define CLIENT_MAX_BODY_BYTES (8L * 1024 * 1024)

struct client;

struct question {
    const char *method; /* "GET" or "POST" */
    const char *path;   /* "/admin/status" */
    const cJSON *body;  /* NULL: none; stays the caller's */
    int timeout_ms;     /* for the whole exchange, connecting included */
};

struct answer {
    int status;     /* 200 */
    char *text;     /* the body as it came, NUL after n bytes */
    size_t n;       /* its length */
    cJSON *json;    /* the body read; NULL when it is empty, or no JSON in a refusal */
    char arm[16];   /* X-Canary-Arm, or "" */
    char model[64]; /* X-Model-Version, or "" */
};

/* url: http://HOST:PORT or unix:PATH. Nothing is connected yet. The caller owns the result.
 * NULL with err "bad-url". */
struct client *client_new(const char *url, struct err *e);
void client_free(struct client **c);

/* Sends the token with every question from now on (Authorization: Bearer). 0, or
 * -1 with err "bad-token" when it isn't one word of visible ASCII. */
int client_set_token(struct client *c, const char *token, struct err *e);

/* The url as it was given. */
const char *client_url(const struct client *c);

/* Asks and waits. 0 with *a filled (answer_clear it), whatever its status; or -1 with err:
 *     "unreachable"  no address of the host takes a connection
 *     "timeout"      connected, but no whole answer in q->timeout_ms
 *     "bad-answer"   cut off, not HTTP, above CLIENT_MAX_BODY_BYTES, or a 2xx that is no JSON
 * *a is empty then. A question is never sent twice. */
int client_ask(struct client *c, const struct question *q, struct answer *a, struct err *e);

void answer_clear(struct answer *a);

#endif
