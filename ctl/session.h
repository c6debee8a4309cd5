/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * One run of canaryctl: where it asks, where it prints, what it was told.
 */
#ifndef CANARYD_CTL_SESSION_H
#define CANARYD_CTL_SESSION_H

#include "ctl/client.h"
#include "ctl/options.h"
#include "ctl/print.h"

#define SESSION_REFUSED 1 /* exit code: the server refused, or the demo saw a deviation */

struct session {
    struct client *client; /* NULL for a command that asks no server */
    const struct options *options;
    struct printer out;     /* answers */
    struct printer trouble; /* refusals and failures */
};

/* A question with the timeout that suits it. body may be NULL and stays the caller's. */
struct question question_get(const char *path);
struct question question_post(const char *path, const cJSON *body);

/* Asks; when that fails, or the server refuses, says so on s->trouble. 0 with
 * *a filled (2xx; answer_clear it), or the exit code with *a empty. */
int session_ask(struct session *s, const struct question *q, struct answer *a);

/* The exit code for a failure of client_ask: EX_UNAVAILABLE or EX_PROTOCOL. */
int session_exit_code(const struct err *e);

/* With --json: prints the answer as it came, and returns true. */
bool session_print_raw(struct session *s, const struct answer *a);

/* The body of POST /admin/deploy-canary as the options say. The caller owns it. */
cJSON *session_deploy_body(const struct session *s, const char *model_path, bool replace);

#endif
