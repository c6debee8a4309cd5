/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The judge on duty: gives the rule every sample, looks at once, and keeps the
 * report of a verdict as it was at the decision until the next deployment.
 */
#ifndef CANARYD_JUDGE_H
#define CANARYD_JUDGE_H

#include <stdint.h>

#include "judge/health.h"
#include "judge/rule.h"

struct board;
struct judge;
struct settings;

struct judge_listener {
    void (*bad)(void *arg); /* the rule has fired: once per deployment */
    void *arg;
};

/* board: where the rule's memory is kept beside the samples; may be NULL. */
struct judge *judge_new(const struct settings *settings, struct board *board,
                        const struct judge_listener *listener);
void judge_free(struct judge **j);
void judge_set_settings(struct judge *j, const struct settings *settings);

/* What the supervisor before us left on the board: n bytes about a deployment.
 * Used if judge_begin names that very one. */
void judge_remember(struct judge *j, uint64_t deployment, const void *bytes, size_t n);

/* A canary gets its share: evidence begins anew, or goes on if this deployment is
 * the one remembered. */
void judge_begin(struct judge *j, uint64_t deployment);

/* The canary has gone by its operator's will: there is nothing to report. */
void judge_end(struct judge *j);

/* It was rolled back without asking: the report stays. by: "judge" or
 * "crash-loop"; alarm: a sentence, or NULL for the rule's own. Both are copied. */
void judge_freeze(struct judge *j, const char *by, const char *alarm);

/* An answered request that was drawn by lot. May call the listener. */
void judge_add_sample(struct judge *j, enum arm arm, int64_t round_trip_ns, int64_t service_ns);

/* Whether the rule has fired in this deployment. */
bool judge_has_fired(const struct judge *j);

/* The health report. The caller owns it. */
cJSON *judge_health(const struct judge *j);

/* The report of a rollback that nobody asked for, or NULL. Borrowed. */
const cJSON *judge_frozen_report(const struct judge *j);

/* Takes such a report up again after a restart. Copied. */
void judge_restore_report(struct judge *j, const cJSON *report);

#endif
