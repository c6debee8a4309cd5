/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The health report as people and programs read it: a rule's report in JSON,
 * with a sentence, and with what was left out of it.
 */
#ifndef CANARYD_HEALTH_H
#define CANARYD_HEALTH_H

#include <stdbool.h>
#include <stdint.h>

#include <cjson/cJSON.h>

#include "judge/rule.h"

struct health {
    bool canary_active;
    const char *rolled_back_by; /* "judge", "crash-loop", or NULL: it was not */
    const char *alarm;          /* a sentence that stands for the rule's own, or NULL */
    const char *baseline;       /* its state in plain words, or NULL for the rule's own */
    uint64_t n_forced;          /* answers to requests that chose their arm by header */
    uint64_t n_by_user;         /* requests whose user, not the lot, chose the arm */
    uint64_t n_retried;         /* answers at a second or later try */
    struct rule_report report;
};

/* An object with the specification's seven fields first. Latencies in ms; what
 * has no value is null. The caller owns it. */
cJSON *health_to_json(const struct health *h);

#endif
