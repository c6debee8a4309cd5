/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The judge on duty: gives the rule every draw and what became of it, tells when
 * it has fired, and keeps the report of a verdict as it was at the decision
 * until the next deployment.
 */
#ifndef CANARYD_JUDGE_H
#define CANARYD_JUDGE_H

#include <stdbool.h>
#include <stdint.h>

#include "judge/health.h"
#include "judge/rule.h"

struct board;
struct judge;
struct sample_log;
struct settings;

/* What a report tells beside the rule's own. */
struct judge_surroundings {
    bool lacks_baseline; /* there should be one, and it takes no calls now */
    uint64_t n_forced;   /* requests so far that named their arm */
    uint64_t n_by_user;  /* ... that went to their user's arm while there was a share */
    uint64_t n_retried;  /* tries so far that were not the first */
};

struct judge_listener {
    void (*bad)(void *arg); /* the rule has fired: once per deployment */
    void (*look_around)(void *arg, struct judge_surroundings *s); /* for a report; may be NULL */
    void *arg;
};

/* board: where the rule's memory is kept beside the samples; log: where samples go that
 * are to be replayed. Both may be NULL; borrowed. */
struct judge *judge_new(const struct settings *settings, struct board *board,
                        struct sample_log *log, const struct judge_listener *listener);
void judge_free(struct judge **j);
void judge_set_settings(struct judge *j, const struct settings *settings);

/* What the supervisor before us left on its board (NULL: there was none). Used if judge_begin names
 * the deployment that it is about. */
void judge_remember(struct judge *j, const struct board *last);

/* A canary is out: evidence begins anew, or goes on if this deployment is the one
 * remembered. Its share is still to be opened. */
void judge_begin(struct judge *j, uint64_t deployment);

/* The canary's share is opened, or another one than before. reference: who it is
 * compared with, ARM_BASELINE or ARM_STABLE. now_ns: monotonic, as everywhere here; the
 * deployment's samples are logged from here on. */
void judge_open_share(struct judge *j, enum arm reference, int64_t now_ns);

/* The canary has gone by its operator's will: there is nothing to report. */
void judge_end(struct judge *j);

/* It was rolled back without asking: the report stays. by: "judge" or
 * "crash-loop"; alarm: a sentence, or NULL for the rule's own. Both are copied. */
void judge_freeze(struct judge *j, const char *by, const char *alarm);

/* What a draw's call is to come back with. Plain data. */
struct judge_ticket {
    uint64_t era; /* of the rule that was told of it; 0: none was */
    uint64_t log_place;
    struct rule_ticket draw;
};

/* One request was drawn by lot. O(1). */
struct judge_ticket judge_draw(struct judge *j, enum arm arm, bool ends_group, int64_t now_ns);

/* What became of it: once per ticket, which may be of a deployment that has ended.
 * May call the listener. */
void judge_end_call(struct judge *j, const struct judge_ticket *ticket,
                    const struct rule_sample *sample);

/* Stable's answer to one that was not drawn for it, or not drawn at all: told, and no evidence. */
void judge_add_stable(struct judge *j, int64_t round_trip_ns);

/* Whether the rule has fired in this deployment. */
bool judge_has_fired(const struct judge *j);

/* The health report. The caller owns it. */
cJSON *judge_health(const struct judge *j);

/* What that report's evidence is computed from, row by row: for the journal, so that a
 * decision can be replayed. The caller owns it. */
cJSON *judge_basis(const struct judge *j);

/* The report of a rollback that nobody asked for, or NULL. Borrowed. */
const cJSON *judge_frozen_report(const struct judge *j);

/* Takes such a report up again after a restart. Copied. */
void judge_restore_report(struct judge *j, const cJSON *report);

#endif
