/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The demo's traffic: predictions one after the other, and who answered them.
 */
#ifndef CANARYD_CTL_DEMO_TRAFFIC_H
#define CANARYD_CTL_DEMO_TRAFFIC_H

#include "ctl/demo_talk.h"

struct tally {
    int64_t n_stable, n_canary;
    int64_t n_failed;            /* refused, or answered by nobody we know */
    double stable_ms, canary_ms; /* sums of latency_ms as the server measured it */
    char first_failure[256];
    char first_answer[256]; /* the JSON of the first one answered */
};

/* Sends n predictions with pause_ms between two, and draws the tally as it goes
 * (on a terminal) and at the end. Failures below HTTP and signals end it, and so
 * does a 4xx, which every further request would get. 0, or -1 with the deviation
 * written down. Refused requests are counted and written down as one deviation. */
int demo_traffic(struct demo *d, int64_t n, int64_t pause_ms, struct tally *t);

#endif
