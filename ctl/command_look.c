/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The commands that only look: status, health.
 */
#include "ctl/command.h"
#include "ctl/print_health.h"
#include "ctl/print_status.h"
#include "ctl/session.h"

int command_status(struct session *s)
{
    struct question q = question_get("/admin/status");
    struct answer a;
    int status = session_ask(s, &q, &a);
    if (status != 0)
        return status;
    if (!session_print_raw(s, &a))
        print_status(&s->out, a.json, client_url(s->client));
    answer_clear(&a);
    return 0;
}

int command_health(struct session *s)
{
    struct question q = question_get("/admin/check-canary-health");
    struct answer a;
    int status = session_ask(s, &q, &a);
    if (status != 0)
        return status;
    if (!session_print_raw(s, &a))
        print_health(&s->out, a.json);
    answer_clear(&a);
    return 0;
}
