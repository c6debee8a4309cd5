/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What everybody builds first: Welch's one-sided test of the canary against the
 * baseline, looked at after every sample. For comparison only.
 */
#ifndef CANARYD_TESTS_SIMULATE_NAIVE_H
#define CANARYD_TESTS_SIMULATE_NAIVE_H

#include <stdbool.h>

#include "common/moments.h"

struct naive {
    struct moments reference, canary;
};

#define NAIVE_ALPHA       0.05
#define NAIVE_MIN_SAMPLES 36

/* The next latency; true when p is below alpha with it. */
bool naive_add(struct naive *n, bool is_canary, double latency);

#endif
