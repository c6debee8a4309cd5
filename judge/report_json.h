/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The parts of a rule's report in JSON. Latencies in ms; what has no value (NaN,
 * infinity) is null. The caller owns what is returned.
 */
#ifndef CANARYD_REPORT_JSON_H
#define CANARYD_REPORT_JSON_H

#include <cjson/cJSON.h>

#include "judge/rule_report.h"

/* {"test", "clock", "alpha", "evidence", "threshold", "anytime_p_value", "fired_at"} */
cJSON *report_metric_to_json(const struct rule_metric *m);

/* What the metrics were computed from, entry by entry: [{"test", "clock", "blocks",
 * "first_look", "mean_ns", "variance_ns2", "vif"}, {"test", "clock", "blocks",
 * "bets": [{"ln_wealths": [...], "vif"}, ...]}, ...] */
cJSON *report_basis_to_json(const struct rule_report *r);

/* {"difference_ms", "interval_ms": [low, high], "interval_level",
 * "minimum_detectable_effect_ms", "blocks", "reference_samples", "canary_samples"} */
cJSON *report_effect_to_json(const struct rule_effect *e);

/* {"shown", "promoted_at", "errors_are_fine", "clocks": [...]}, of the clocks that count. */
cJSON *report_promotion_to_json(const struct rule_promotion *p);

/* {"rollback_s", "rollback_requests", "promotion_s", "promotion_requests"}: from now on. */
cJSON *report_expected_to_json(const struct rule_expected *e);

/* {"stable": {"ok", "fault", "timeout", "death"}, "baseline": ..., "canary": ...} */
cJSON *report_outcomes_to_json(const struct rule_report *r);

/* Adds a member: a number, or null where it is not finite; a text, or null. */
void report_add_number(cJSON *object, const char *name, double value);
void report_add_text(cJSON *object, const char *name, const char *text);

/* An array of two. */
void report_add_interval(cJSON *object, const char *name, double low, double high);

#endif
