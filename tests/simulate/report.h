/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What was simulated, for people (text or Markdown) and for programs (JSON).
 */
#ifndef CANARYD_TESTS_SIMULATE_REPORT_H
#define CANARYD_TESTS_SIMULATE_REPORT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "tests/simulate/figures.h"

struct report {
    const struct cell *cells;
    const struct figures *figures; /* of each cell */
    const bool *wanted;            /* the others were not run */
    size_t n;
    size_t n_runs;
    uint64_t seed;
};

void report_print(const struct report *r, bool markdown, FILE *out);

/* What does not keep its promise, a line each; how many those are. */
int report_print_departures(const struct report *r, FILE *out);

void report_print_json(const struct report *r, FILE *out);

#endif
