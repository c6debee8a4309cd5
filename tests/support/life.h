/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * One worker process under a test's observation: from its start to its
 * obituary, with the questions that it is asked.
 */
#ifndef CANARYD_TESTS_LIFE_H
#define CANARYD_TESTS_LIFE_H

#include <stdbool.h>
#include <sys/types.h>

#include "supervisor/line.h"
#include "supervisor/proc.h"

struct event_base;

#define LIFE_LONG_MS 60000 /* never reached by a test that passes */
#define KILLED_BY_US "signal 9 (Killed)"

struct life {
    struct event_base *base;
    struct lines lines;
    struct proc *p; /* NULL once it is dead */
    pid_t pid;
    int n_ready, n_dead;
    struct obituary o; /* its texts are the copies */
    char how[80], why[200], refusal[500], last_words[700];
};

struct question {
    struct proc_call call; /* first */
    struct life *life;
    int n_done;
    enum call_outcome outcome;
    double output;
    char text[100];
    bool before_obituary;
    bool before_reaping; /* the process still had its pid */
};

struct life_limits { /* 0: for ever */
    int start_ms, hang_ms, drain_ms;
};

/* A worker of that program, or the evil one, with the script for a model. */
void life_begin_program(struct life *l, const char *program, const char *script,
                        const struct life_limits *limits);
void life_begin(struct life *l, const char *script, const struct life_limits *limits);

/* ... and waits until it is READY. */
void life_begin_ready(struct life *l, const char *script, const struct life_limits *limits);

/* Waits for the death, and that it is told once. */
void life_end(struct life *l);

/* Five features, the first of them 7.5. */
void life_ask(struct life *l, struct question *q, int deadline_ms);
void life_ask_wide(struct life *l, struct question *q, const double *features, size_t n);
void life_ask_all(struct life *l, struct question *questions, int n);

/* Each of them ended once, so, and before the obituary. */
void life_assert_all(const struct question *questions, int n, enum call_outcome outcome);

#endif
