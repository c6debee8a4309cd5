/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * One simulated deployment: draws from the urn, latencies from a source, a
 * fault in the canary, all through the judge's own door, on a virtual clock.
 */
#ifndef CANARYD_TESTS_SIMULATE_TRIAL_H
#define CANARYD_TESTS_SIMULATE_TRIAL_H

#include <stdbool.h>
#include <stdint.h>

#include "judge/rule.h"
#include "tests/simulate/source.h"

enum fault_kind {
    FAULT_NONE,
    FAULT_PLUS_SD, /* every latency has amount standard deviations more */
    FAULT_PLUS_MS, /* every latency has amount ms more */
    FAULT_TIMES,   /* every latency is amount times as long */
    FAULT_SLOWEST, /* those above the 99th percentile are */
};

struct fault {
    enum fault_kind kind;
    double amount;
    uint64_t from_sample; /* canary samples before it begins */
};

/* How calls fail: the chance of each, and of blocks in which all do. */
struct failures {
    double canary, others;
    double outage; /* chance that one begins at a request; it lasts 100 requests */
};

struct trial {
    const struct shape *shape;    /* NULL: no latencies, failures only */
    struct shape_figures figures; /* of it, where the fault needs them */
    struct fault fault;
    struct failures failures;
    double rate;      /* requests a second; 0: the shape's */
    int64_t block_ns; /* 0: one group of draws a block */
    bool service;     /* a second clock, independent and of the same shape */
    bool margins;     /* the product's, not 0 */
    bool blocks;      /* the product's, not block_ns */
    bool promotion;   /* until it is promoted or rolled back */
    bool one_by_one;  /* a client that asks again 1/rate s after each answer; its round trip is the
                         service time and some 60 us */
    bool naive;       /* look with Welch's test too */
    bool to_the_end;  /* go on after the verdict, so that each row's is known */
    uint64_t n_requests; /* at most */
};

#define TRIAL_NEVER UINT64_MAX

struct trial_result {
    uint64_t verdict;          /* the request at which it was to roll back, or TRIAL_NEVER */
    uint64_t row[N_RULE_ROWS]; /* at which that row fired; all known only to_the_end */
    uint64_t promoted;         /* the request at which it was to promote, or TRIAL_NEVER */
    uint64_t naive;            /* p below .05 for the first time, from 36 samples on */
};

/* 80/10/10; margins are 0 and all else is as the product has it, unless the trial says so. */
struct trial_result trial_run(const struct trial *trial, uint64_t seed);

#endif
