/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The demo's steps that send traffic and look at what came of it; see demo_step.h.
 */
#include <math.h>
#include <string.h>

#include "common/jsonx.h"
#include "ctl/demo_step.h"
#include "ctl/demo_traffic.h"
#include "ctl/member.h"
#include "ctl/print_health.h"

enum { CONFIRMATIONS = 20 };

/* The figures of a health report that the demo decides by. */
struct report {
    bool alert, rolled_back, active;
    double n_canary, min_samples;
};

static int ask_health(struct demo *d, struct report *r)
{
    struct question q = question_get("/admin/check-canary-health");
    struct answer a;
    if (demo_ask(d, &q, &a) != 0)
        return -1;
    print_text(&d->session->out, STYLE_PLAIN, "  ");
    print_health(&d->session->out, a.json);
    *r = (struct report){
        .alert = member_true(a.json, "alert_triggered"),
        .rolled_back = member_true(a.json, "rolled_back"),
        .active = !cJSON_IsFalse(jsonx_member(a.json, "canary_active")),
        .n_canary = member_number_or(a.json, "canary_sample_count", 0),
        .min_samples = member_number_or(a.json, "min_samples", 36),
    };
    answer_clear(&a);
    return 0;
}

int step_traffic(struct demo *d)
{
    const struct options *o = d->session->options;
    struct tally t = {0};
    int rc = demo_traffic(d, o->requests, o->pause_ms, &t);
    double expected = (double)o->requests * d->percent / 100;
    if (rc == 0 && t.n_canary == 0 && expected >= 2)
        demo_deviate(d, "no prediction came from the canary; about %.0f should have", expected);
    return rc;
}

int step_expect_no_alert(struct demo *d)
{
    struct report r;
    if (ask_health(d, &r) != 0)
        return -1;
    if (r.alert)
        return demo_deviate(d, "an alert stands, though nothing has slowed the canary down");
    if (!r.active)
        return demo_deviate(d, "the server says that no canary is active");
    if (r.n_canary < r.min_samples)
        demo_note(d, "no alert, as expected; %.0f samples of the %.0f that an alert needs",
                  r.n_canary, r.min_samples);
    else
        demo_note(d, "no alert, as expected");
    return 0;
}

static int send_more(struct demo *d)
{
    const struct options *o = d->session->options;
    struct tally t = {0};
    demo_note(d, "no alert yet: the evidence is not enough; as much traffic once more");
    return demo_traffic(d, o->requests, o->pause_ms, &t);
}

/* Requests per batch so that two batches give the canary min_samples, with a tenth to spare. */
static double enough_requests(const struct demo *d, double min_samples)
{
    return ceil(min_samples * 1.1 / (2 * d->percent / 100) / 50) * 50;
}

int step_expect_alert(struct demo *d)
{
    struct report r;
    if (ask_health(d, &r) != 0)
        return -1;
    if (!r.alert && r.n_canary >= r.min_samples) {
        if (send_more(d) != 0 || ask_health(d, &r) != 0)
            return -1;
    }
    if (r.alert && r.rolled_back)
        demo_note(d, "the alert stands, as expected, and the canary is out already");
    else if (r.alert)
        demo_note(d, "the alert stands, as expected");
    else if (r.n_canary < r.min_samples)
        demo_deviate(d,
                     "no alert: it can't stand with %.0f of %.0f samples from the canary; try "
                     "--requests %.0f",
                     r.n_canary, r.min_samples, enough_requests(d, r.min_samples));
    else
        demo_deviate(d, "no alert after %.0f samples from a canary that is slowed down",
                     r.n_canary);
    return 0;
}

/* The server's own view: no canary, and the stable model that we expect. */
static int confirm_status(struct demo *d)
{
    struct question q = question_get("/admin/status");
    struct answer a;
    if (demo_ask(d, &q, &a) != 0)
        return -1;
    const char *model = member_text(member_object(a.json, "stable"), "model", NULL);
    bool as_expected = true;
    if (member_object(a.json, "canary") != NULL) {
        demo_deviate(d, "the server still names a canary");
        as_expected = false;
    }
    if (d->stable != NULL && model != NULL && strcmp(model, d->stable) != 0) {
        demo_deviate(d, "stable is %s; it should be %s", model, d->stable);
        as_expected = false;
    }
    if (as_expected)
        demo_note(d, "%s is stable, and there is no canary", model == NULL ? "the model" : model);
    answer_clear(&a);
    return 0;
}

/* At a share of 10 % any twenty in a row would hold a canary's answer. */
int step_confirm(struct demo *d)
{
    struct tally t = {0};
    if (demo_traffic(d, CONFIRMATIONS, 0, &t) != 0)
        return -1;
    print_text(&d->session->out, STYLE_PLAIN, "  the first answer: %s\n", t.first_answer);
    if (t.n_canary > 0)
        demo_deviate(d, "%lld of %d predictions came from a canary that should be gone",
                     (long long)t.n_canary, CONFIRMATIONS);
    else if (t.n_failed == 0)
        demo_note(d, "every prediction came from stable");
    return confirm_status(d);
}
