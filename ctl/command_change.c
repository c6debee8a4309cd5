/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The commands that change what is served: deploy, promote, rollback, slowdown.
 */
#include "ctl/command.h"
#include "ctl/member.h"
#include "ctl/print_answer.h"
#include "ctl/session.h"

/* Takes body, which may be NULL. */
static int post(struct session *s, const char *path, cJSON *body, const char *next)
{
    struct question q = question_post(path, body);
    struct answer a;
    int status = session_ask(s, &q, &a);
    cJSON_Delete(body);
    if (status != 0)
        return status;
    if (!session_print_raw(s, &a)) {
        print_answer(&s->out, a.json);
        if (next != NULL)
            print_text(&s->out, STYLE_DIM, "%s\n", next);
    }
    answer_clear(&a);
    return 0;
}

int command_deploy(struct session *s)
{
    bool replace = options_given(s->options, OPTION_REPLACE);
    return post(s, "/admin/deploy-canary", session_deploy_body(s, s->options->words[1], replace),
                "Watch it with 'canaryctl health'; end it with 'promote' or 'rollback'.");
}

int command_promote(struct session *s)
{
    cJSON *body = NULL;
    if (options_given(s->options, OPTION_FORCE)) {
        body = cJSON_CreateObject();
        cJSON_AddTrueToObject(body, "force");
    }
    return post(s, "/admin/promote-canary", body, NULL);
}

int command_rollback(struct session *s)
{
    return post(s, "/admin/rollback-canary", NULL, NULL);
}

int command_slowdown(struct session *s)
{
    return post(s, "/admin/toggle-slowdown", NULL, "Calling it again turns it round.");
}
