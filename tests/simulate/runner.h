/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * All runs of all cells, spread over the cores: processes take the next few
 * runs from a common counter and write what they found into common memory.
 */
#ifndef CANARYD_TESTS_SIMULATE_RUNNER_H
#define CANARYD_TESTS_SIMULATE_RUNNER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "tests/simulate/plan.h"

struct runner_settings {
    uint64_t seed;
    size_t n_runs; /* of each cell */
    int n_jobs;
    FILE *progress; /* a terminal, or NULL */
};

/* Runs the wanted ones of the n cells: an array [n][n_runs], to be given to
 * runner_free, or NULL when a process died or could not be started. A run's
 * result depends on seed, its cell's place and its own number only. */
struct trial_result *runner_run(const struct cell *cells, size_t n, const bool *wanted,
                                const struct runner_settings *settings);
void runner_free(struct trial_result *results, size_t n, size_t n_runs);

#endif
