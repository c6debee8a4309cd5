/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Clients that ask for predictions in threads of their own, one request at a
 * time each, while the test does something to the server.
 */
#ifndef CANARYD_TESTS_TRAFFIC_H
#define CANARYD_TESTS_TRAFFIC_H

#include <stdint.h>

struct traffic;

struct traffic_report {
    uint64_t n_ok;     /* answers 200 with a prediction */
    uint64_t n_other;  /* other answers */
    uint64_t n_late;   /* those among them that a server which drains may give: 503 "canaryd
                        * stops", to who asks when nobody has for TRAFFIC_QUIET_MS */
    uint64_t n_broken; /* a connection lost or refused, an answer cut off or malformed */
    uint64_t n_cut;    /* those among them where part of an answer had come */
    uint64_t n_canary; /* answers by the canary */
    double longest_ms;
    char first_bad[512]; /* what the first of n_other or n_broken was */
};

#define TRAFFIC_MAX_CLIENTS 64
#define TRAFFIC_QUIET_MS    100

struct traffic *traffic_start(uint16_t port, int n_clients);

/* The same with a new connection for every request. */
struct traffic *traffic_start_knocking(uint16_t port, int n_clients);

/* Waits until n more answers of any kind have come (30 s at most, else the test fails). */
void traffic_wait(struct traffic *t, uint64_t n);

/* Lets every client finish its request, and ends them. */
struct traffic_report traffic_stop(struct traffic **t);

/* For teardowns: ends the traffic that a failed test left running, if any. */
void traffic_abandon(void);

/* No answer but 200 and none missing; else the test fails with the first one. */
void traffic_expect_clean(const struct traffic_report *r);

#endif
