/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Asking aloud and keeping account; see demo_talk.h.
 */
#include "ctl/demo_talk.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/clock.h"
#include "ctl/problem.h"

void demo_note(struct demo *d, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    char *text = print_format(fmt, ap);
    va_end(ap);
    print_text(&d->session->out, STYLE_PLAIN, "  => %s\n", text);
    free(text);
}

int demo_deviate(struct demo *d, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    char *text = print_format(fmt, ap);
    va_end(ap);
    print_text(&d->session->out, STYLE_BAD, "  => NOT AS IT SHOULD BE: ");
    print_text(&d->session->out, STYLE_PLAIN, "%s\n", text);
    if (d->n_deviations < DEMO_MAX_DEVIATIONS)
        d->deviations[d->n_deviations++] = text;
    else
        free(text);
    return -1;
}

int demo_ask_quietly(struct demo *d, const struct question *q, struct answer *a)
{
    struct err e = {0};
    if (client_ask(d->session->client, q, a, &e) == 0)
        return 0;
    d->lost = d->lost || strcmp(e.code, "unreachable") == 0;
    d->status = session_exit_code(&e);
    return demo_deviate(d, "%s", e.text);
}

static void show_question(struct demo *d, const struct question *q)
{
    char *body = q->body == NULL ? NULL : cJSON_PrintUnformatted(q->body);
    print_text(&d->session->out, STYLE_BOLD, "  %s %s", q->method, q->path);
    print_text(&d->session->out, STYLE_PLAIN, "%s%s\n", body == NULL ? "" : " ",
               body == NULL ? "" : body);
    fflush(d->session->out.out); /* the answer may take a while */
    cJSON_free(body);
}

int demo_ask(struct demo *d, const struct question *q, struct answer *a)
{
    char text[1024];
    show_question(d, q);
    if (demo_ask_quietly(d, q, a) != 0)
        return -1;
    if (a->status >= 200 && a->status < 300)
        return 0;
    problem_print(&d->session->out, q, a);
    problem_text(a, text, sizeof text);
    answer_clear(a);
    return demo_deviate(d, "%s %s was refused: %s", q->method, q->path, text);
}

void demo_signals(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGINT);
    sigaddset(set, SIGTERM);
    sigaddset(set, SIGHUP);
}

int demo_pause(struct demo *d, int64_t ms)
{
    struct timespec wait = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * NS_PER_MS};
    sigset_t set;
    demo_signals(&set);
    int signal = sigtimedwait(&set, NULL, &wait);
    if (signal < 0)
        return 0; /* EAGAIN: the time is over */
    return demo_deviate(d, "ended early by signal %d (%s)", signal, strsignal(signal));
}
