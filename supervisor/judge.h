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

struct judge;
struct settings;

struct judge_listener {
    void (*bad)(void *arg); /* the rule has fired: once per deployment */
    void *arg;
};

struct judge *judge_new(const struct settings *settings, const struct judge_listener *listener);
void judge_free(struct judge **j);
void judge_set_settings(struct judge *j, const struct settings *settings);

/* A canary gets its share: evidence begins anew. */
void judge_begin(struct judge *j);

/* The canary has gone by its operator's will: there is nothing to report. */
void judge_end(struct judge *j);

/* It was rolled back without asking: the report stays. by: "judge" or
 * "crash-loop"; alarm: a sentence, or NULL for the rule's own. Both are copied. */
void judge_freeze(struct judge *j, const char *by, const char *alarm);

/* An answered request that was drawn by lot. May call the listener. */
void judge_add_sample(struct judge *j, enum arm arm, int64_t round_trip_ns, int64_t service_ns);

/* Whether the rule has fired in this deployment. */
bool judge_has_fired(const struct judge *j);

/* The texts in it live as long as the judge changes nothing. */
void judge_health(const struct judge *j, struct health *h);

#endif
