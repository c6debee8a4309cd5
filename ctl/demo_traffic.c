/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Sending predictions; see demo_traffic.h.
 */
#include "ctl/demo_traffic.h"

#include <string.h>

#include "common/clock.h"
#include "ctl/member.h"
#include "ctl/problem.h"

enum { DRAW_EVERY_MS = 100 };

static void draw(const struct printer *p, const struct tally *t, int64_t sent, int64_t n)
{
    print_text(p, STYLE_PLAIN, "  %lld of %lld sent: stable %lld", (long long)sent, (long long)n,
               (long long)t->n_stable);
    if (t->n_stable > 0)
        print_text(p, STYLE_DIM, " (mean %.3f ms)", t->stable_ms / (double)t->n_stable);
    print_text(p, STYLE_PLAIN, ", canary %lld", (long long)t->n_canary);
    if (t->n_canary > 0)
        print_text(p, STYLE_DIM, " (mean %.3f ms)", t->canary_ms / (double)t->n_canary);
    if (t->n_failed > 0)
        print_text(p, STYLE_BAD, ", not answered %lld", (long long)t->n_failed);
}

static void draw_progress(const struct printer *p, const struct tally *t, int64_t sent, int64_t n,
                          int64_t *drawn_ns)
{
    int64_t now = clock_mono_ns();
    if (!p->terminal || now - *drawn_ns < DRAW_EVERY_MS * NS_PER_MS)
        return;
    *drawn_ns = now;
    fputs("\r\033[K", p->out);
    draw(p, t, sent, n);
    fflush(p->out);
}

static void count_failure(struct tally *t, const char *text)
{
    if (t->n_failed++ == 0)
        snprintf(t->first_failure, sizeof t->first_failure, "%s", text);
}

static void count(struct tally *t, const struct answer *a)
{
    const char *arm = member_text(a->json, "model_used", "?");
    double latency_ms = member_number_or(a->json, "latency_ms", 0);
    char text[256];
    if (a->status != 200) {
        problem_text(a, text, sizeof text);
        count_failure(t, text);
    } else if (strcmp(arm, "stable") == 0) {
        t->n_stable++;
        t->stable_ms += latency_ms;
    } else if (strcmp(arm, "canary") == 0) {
        t->n_canary++;
        t->canary_ms += latency_ms;
    } else {
        snprintf(text, sizeof text, "model_used is '%s', neither stable nor canary", arm);
        count_failure(t, text);
    }
    if (a->status == 200 && t->first_answer[0] == '\0')
        snprintf(t->first_answer, sizeof t->first_answer, "%.*s", (int)strcspn(a->text, "\n"),
                 a->text);
}

/* One prediction. -1 when the next one would fare no better. */
static int predict(struct demo *d, const struct question *q, struct tally *t)
{
    struct answer a;
    if (demo_ask_quietly(d, q, &a) != 0)
        return -1;
    bool hopeless = a.status >= 400 && a.status < 500 && a.status != 429;
    if (hopeless)
        problem_print(&d->session->out, q, &a);
    count(t, &a);
    answer_clear(&a);
    return hopeless ? -1 : 0;
}

static cJSON *prediction_body(const struct options *o)
{
    cJSON *body = cJSON_CreateObject();
    cJSON_AddItemToObject(body, "features",
                          cJSON_CreateDoubleArray(o->features, (int)o->n_features));
    return body;
}

int demo_traffic(struct demo *d, int64_t n, int64_t pause_ms, struct tally *t)
{
    const struct printer *p = &d->session->out;
    cJSON *body = prediction_body(d->session->options);
    struct question q = question_post("/predict", body);
    int64_t drawn_ns = 0, sent = 0;
    int rc = 0;
    print_text(p, STYLE_BOLD, "  POST /predict");
    print_text(p, STYLE_PLAIN, ", %lld times\n", (long long)n);
    while (rc == 0 && sent < n) {
        rc = predict(d, &q, t);
        sent++;
        draw_progress(p, t, sent, n, &drawn_ns);
        if (rc == 0)
            rc = demo_pause(d, pause_ms);
    }
    cJSON_Delete(body);
    if (p->terminal)
        fputs("\r\033[K", p->out);
    draw(p, t, sent, n);
    print_text(p, STYLE_PLAIN, "\n");
    if (t->n_failed > 0)
        demo_deviate(d, "%lld of %lld predictions were not answered; the first: %s",
                     (long long)t->n_failed, (long long)sent, t->first_failure);
    return rc;
}
