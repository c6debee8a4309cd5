/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Row M of the guard: is the canary's mean higher? A paired t over the blocks'
 * differences against the Robbins-Siegmund boundary (statistics: boundary.h,
 * dependence.h).
 */
#ifndef CANARYD_ROW_MEAN_H
#define CANARYD_ROW_MEAN_H

#include <stdbool.h>
#include <stdint.h>

#include "judge/boundary.h"
#include "judge/dependence.h"
#include "judge/rule_report.h"

/* Plain data; all zero is empty. */
struct row_mean {
    struct series differences; /* ns, margin taken off */
};

/* A block's difference. */
void row_mean_weigh(struct row_mean *row, double difference_ns);

/* first_look: blocks at the first look. */
bool row_mean_fires(const struct row_mean *row, const struct boundary *b, uint64_t first_look);

/* evidence: the deviate z_t with 1 - Phi(z_t) = P(T > t); threshold: the boundary.
 * No p-value where the difference does not speak against the canary. */
void row_mean_describe(const struct row_mean *row, const struct boundary *b, uint64_t first_look,
                       struct rule_metric *out);

#endif
