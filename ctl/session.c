/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Asking on behalf of a command; see session.h.
 */
#include "ctl/session.h"

#include <string.h>
#include <sysexits.h>

#include "ctl/problem.h"

enum {
    ASK_TIMEOUT_MS = 10000,
    DEPLOY_TIMEOUT_MS = 180000, /* a worker may need start_timeout_ms, and a model may be copied */
};

struct question question_get(const char *path)
{
    return (struct question){.method = "GET", .path = path, .timeout_ms = ASK_TIMEOUT_MS};
}

struct question question_post(const char *path, const cJSON *body)
{
    bool deploys = strcmp(path, "/admin/deploy-canary") == 0;
    return (struct question){
        .method = "POST",
        .path = path,
        .body = body,
        .timeout_ms = deploys ? DEPLOY_TIMEOUT_MS : ASK_TIMEOUT_MS,
    };
}

int session_exit_code(const struct err *e)
{
    bool improper = e->code != NULL && strcmp(e->code, "bad-answer") == 0;
    return improper ? EX_PROTOCOL : EX_UNAVAILABLE;
}

int session_ask(struct session *s, const struct question *q, struct answer *a)
{
    struct err e = {0};
    if (client_ask(s->client, q, a, &e) != 0) {
        print_text(&s->trouble, STYLE_BAD, "canaryctl: ");
        print_text(&s->trouble, STYLE_PLAIN, "%s\n", e.text);
        return session_exit_code(&e);
    }
    if (a->status >= 200 && a->status < 300)
        return 0;
    problem_print(&s->trouble, q, a);
    answer_clear(a);
    return SESSION_REFUSED;
}

bool session_print_raw(struct session *s, const struct answer *a)
{
    if (!options_given(s->options, OPTION_JSON))
        return false;
    fwrite(a->text, 1, a->n, s->out.out);
    if (a->n > 0 && a->text[a->n - 1] != '\n')
        putc('\n', s->out.out);
    return true;
}

cJSON *session_deploy_body(const struct session *s, const char *model_path, bool replace)
{
    const struct options *o = s->options;
    cJSON *body = cJSON_CreateObject();
    cJSON_AddStringToObject(body, "model_path", model_path);
    if (options_given(o, OPTION_PERCENT))
        cJSON_AddNumberToObject(body, "percent", o->percent);
    if (options_given(o, OPTION_SHA256))
        cJSON_AddStringToObject(body, "sha256", o->sha256);
    if (replace)
        cJSON_AddTrueToObject(body, "replace");
    return body;
}
