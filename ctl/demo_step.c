/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The demo's steps that change the server; see demo_step.h. Those that look at
 * what came of it are in demo_check.c.
 */
#include "ctl/demo_step.h"

#include <stdlib.h>
#include <string.h>

#include "common/jsonx.h"
#include "common/mem.h"
#include "ctl/member.h"
#include "ctl/print_answer.h"

static void set_stable(struct demo *d, const char *model)
{
    free(d->stable);
    d->stable = model == NULL ? NULL : mem_strdup(model);
}

/* The endpoint only toggles: should somebody else have toggled too, once more. */
static int set_slowdown(struct demo *d, bool on)
{
    struct question q = question_post("/admin/toggle-slowdown", NULL);
    for (int i = 0; i < 2; i++) {
        struct answer a;
        if (demo_ask(d, &q, &a) != 0)
            return -1;
        d->slowed = member_true(a.json, "simulate_slowdown");
        print_text(&d->session->out, STYLE_PLAIN, "  %s\n", member_text(a.json, "message", ""));
        answer_clear(&a);
        if (d->slowed == on)
            return 0;
    }
    return demo_deviate(d, "the slowdown would not go %s; is somebody else toggling it?",
                        on ? "on" : "off");
}

static bool canary_is_out(const cJSON *status)
{
    const char *state = member_text(status, "state", "");
    return member_object(status, "canary") != NULL || strcmp(state, "loading") == 0 ||
           strcmp(state, "canary") == 0 || strcmp(state, "replacing") == 0;
}

static int check_canary(struct demo *d, const cJSON *status)
{
    const char *model = member_text(member_object(status, "canary"), "model", "one still loading");
    if (!canary_is_out(status))
        return 0;
    d->replace = options_given(d->session->options, OPTION_REPLACE);
    if (!d->replace)
        return demo_deviate(d,
                            "a canary is out already (%s); end it with 'canaryctl rollback' or "
                            "let the demo take its place with --replace",
                            model);
    demo_note(d, "a canary is out (%s); --replace: the demo takes its place", model);
    return 0;
}

int step_prepare(struct demo *d)
{
    struct question q = question_get("/admin/status");
    struct answer a;
    if (demo_ask(d, &q, &a) != 0)
        return -1;
    const cJSON *stable = member_object(a.json, "stable");
    const cJSON *settings = member_object(a.json, "settings");
    set_stable(d, member_text(stable, "model", NULL));
    d->slowdown_ms = member_number_or(settings, "slowdown_ms", 10);
    d->percent = member_number_or(a.json, "canary_percent",
                                  member_number_or(settings, "canary_percent", 10));
    if (options_given(d->session->options, OPTION_PERCENT))
        d->percent = d->session->options->percent;
    if (!(d->percent > 0))
        d->percent = 10;
    demo_note(d, "canaryd %s serves %s as stable", member_text(a.json, "version", ""),
              d->stable == NULL ? "its model" : d->stable);
    bool slow = member_true(a.json, "simulate_slowdown");
    int rc = check_canary(d, a.json);
    answer_clear(&a);
    if (rc != 0 || !slow)
        return rc;
    demo_note(d, "the simulated slowness is on: off with it");
    return set_slowdown(d, false);
}

int step_deploy(struct demo *d)
{
    const char *model = d->session->options->model;
    cJSON *body = session_deploy_body(d->session, model, d->replace);
    struct question q = question_post("/admin/deploy-canary", body);
    struct answer a;
    d->deployed = true; /* until the server says that it isn't: the answer may get lost */
    int rc = demo_ask(d, &q, &a);
    cJSON_Delete(body);
    if (rc != 0) {
        d->deployed = d->status != 0;
        const char *dot = strrchr(model, '.');
        if (d->status == 0 && (dot == NULL || strcmp(dot, ".json") != 0))
            demo_note(d, "a native model needs no Python: try --model models/model_v2.json");
        return -1;
    }
    print_text(&d->session->out, STYLE_PLAIN, "  ");
    print_answer(&d->session->out, a.json);
    answer_clear(&a);
    d->replace = false;
    demo_note(d, "%g of every 100 predictions now go to the canary, the others to stable",
              d->percent);
    return 0;
}

int step_slow_down(struct demo *d)
{
    if (set_slowdown(d, true) != 0)
        return -1;
    demo_note(d, "each of the canary's predictions now takes %g ms longer; stable is untouched",
              d->slowdown_ms);
    return 0;
}

int step_end_slowness(struct demo *d)
{
    if (set_slowdown(d, false) != 0)
        return -1;
    demo_note(d, "the next canary starts unhindered");
    return 0;
}

int step_roll_back(struct demo *d)
{
    struct question q = question_post("/admin/rollback-canary", NULL);
    struct answer a;
    if (demo_ask(d, &q, &a) != 0)
        return -1;
    const char *by = member_text(a.json, "rolled_back_by", "operator");
    bool automatic = strcmp(by, "operator") != 0;
    d->deployed = false;
    print_text(&d->session->out, STYLE_GOOD, "  %s\n", member_text(a.json, "message", ""));
    if (automatic)
        demo_note(d, "the %s had rolled it back by itself, before we asked", by);
    else
        demo_note(d, "rolled back by us; all predictions go to stable");
    answer_clear(&a);
    return 0;
}

int step_promote(struct demo *d)
{
    struct question q = question_post("/admin/promote-canary", NULL);
    struct answer a;
    if (demo_ask(d, &q, &a) != 0)
        return -1;
    const char *before = member_text(a.json, "previous_stable_model", NULL);
    const char *after = member_text(a.json, "new_stable_model", NULL);
    d->deployed = false;
    print_text(&d->session->out, STYLE_GOOD, "  %s\n", member_text(a.json, "message", ""));
    if (before != NULL && d->stable != NULL && strcmp(before, d->stable) != 0)
        demo_deviate(d, "the previous stable model is %s, but it was %s", before, d->stable);
    if (after == NULL)
        demo_deviate(d, "the answer names no new_stable_model");
    else
        demo_note(d, "%s was stable, %s is", before == NULL ? "another" : before, after);
    set_stable(d, after);
    answer_clear(&a);
    return 0;
}
