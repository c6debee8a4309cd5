/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Where simulated latencies come from: for each shape a stream of numbers for
 * each arm, equal in law for all arms, with whatever ties neighbours together.
 */
#ifndef CANARYD_TESTS_SIMULATE_SOURCE_H
#define CANARYD_TESTS_SIMULATE_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/rng.h"
#include "judge/arm.h"

struct source;

/* A kind of latencies. */
struct shape {
    const char *name;  /* "normal" */
    const char *title; /* for a table */
    const char *means; /* one line: how they come about */
    double rate;       /* requests a second; 0: 1,000 */
    double offset_ms;  /* added to every latency, faults aside, so that none is below 0 */
    double (*next)(struct source *s, enum arm arm);
    double parameter, parameter_2; /* of next */
    bool has_load;                 /* next looks at the common load */
};

/* One arm's state. */
struct source_arm {
    double level;    /* of an autoregression, standard deviation 1 */
    int burst_left;  /* samples that the present pause still spoils */
    double phase_ms; /* of its collector's clock */
};

struct source {
    const struct shape *shape;
    struct rng rng;
    double time_ms; /* now */
    uint64_t n_drawn;
    double spare;  /* a normal number that is left over, or NAN */
    double common; /* the load that all arms share, standard deviation 1 */
    struct source_arm arm[N_ARMS];
};

void source_begin(struct source *s, const struct shape *shape, uint64_t seed);

/* The next request is there: time goes on by an exponential wait, the common
 * load by a step. */
void source_advance(struct source *s, double rate);

/* What that request takes on that arm, in ms, without offset_ms. */
double source_latency(struct source *s, enum arm arm);

double source_uniform(struct source *s); /* above 0, below 1 */
double source_normal(struct source *s);

/* NULL after the last. */
const struct shape *source_shape(size_t i);
const struct shape *source_shape_by_name(const char *name); /* which must be there */

/* What faults are measured by. */
struct shape_figures {
    double mean;
    double sd;  /* of one latency, ms */
    double q99; /* 99th percentile, ms */
};

/* From a sample of 200,000 with a seed of its own. */
struct shape_figures source_figures(const struct shape *shape);

#endif
