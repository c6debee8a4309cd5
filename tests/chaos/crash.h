/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * kill -9 of canaryd itself, again and again: at rest, after some load, and in
 * the middle of an order. Workers are gone within 100 ms (the median; within a
 * second at the worst, on a busy machine), and the next canaryd must come back
 * into the deployment as it was before the order or after it.
 */
#ifndef CANARYD_TESTS_CRASH_H
#define CANARYD_TESTS_CRASH_H

struct oracle;
struct rng;
struct world;

struct crash_options {
    long seconds;
    int n_connections, rate;
    const struct oracle *oracle;
};

/* Returns how many problems there were; each was told. */
unsigned crash_run(struct world *w, struct rng *rng, const struct crash_options *options);

#endif
