/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * kill -9 of canaryd itself, again and again: at rest, under load, and in the
 * middle of an order. No worker may outlive it by 100 ms, and the next one must
 * come back into the deployment as it was before the order or after it.
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
