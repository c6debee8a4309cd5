/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A child process that answers as canaryd does (and, where its plan says so, as
 * it should not), for the tests of canaryctl. It decides nothing by clock or
 * chance: one of every ten predictions is the canary's, and the alert comes with
 * the third slow one, or as the plan says.
 *
 * Beside the real paths it has /test/state (what it thinks) and those of fake_odd.h.
 */
#ifndef CANARYD_TESTS_FAKE_CANARYD_H
#define CANARYD_TESTS_FAKE_CANARYD_H

#include <stdbool.h>

struct fake_plan {
    bool canary_at_start;
    bool slowdown_at_start;
    bool auto_rollback;    /* the alert takes the canary out */
    bool false_alarm;      /* alerts from the first sample on */
    bool never_alerts;     /* whatever is slow */
    bool canary_stays;     /* a rollback says success and changes nothing */
    bool promotion_lies;   /* a promotion says success and leaves the old model */
    bool no_python;        /* 422 for everything but .json */
    bool dies_at_rollback; /* exits instead of answering */
    int fail_every;        /* every so many-th prediction is a 503; 0: none */
    int min_samples;       /* 0: 36 */
    int slow_samples;      /* as many slow ones make the alert; 0: 3 */
};

struct fake;

/* Listens on a free port of 127.0.0.1 before it returns. */
struct fake *fake_start(const struct fake_plan *plan);
void fake_stop(struct fake **f);

int fake_port(const struct fake *f);
const char *fake_url(const struct fake *f); /* "http://localhost:PORT" */

#endif
