/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The textbook rule: Welch's one-sided test on round trips, margin taken off
 * the canary; fires when p < alpha and both arms have min_samples. alpha holds
 * for one look: of an equal canary that is looked at after every sample it
 * rolls back about one in three over 10,000 requests.
 * Its metric: evidence -ln p, threshold -ln alpha, no anytime p-value.
 */
#ifndef CANARYD_RULE_WELCH_H
#define CANARYD_RULE_WELCH_H

#include "judge/rule.h"

extern const struct rule_kind rule_welch;

#endif
