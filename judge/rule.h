/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The one door to the statistics: draws and the calls that came of them go in,
 * a report with a verdict comes out. The supervisor and canaryctl know the
 * judge's rows by this header only. A rule belongs to one deployment; the next
 * gets a new one. Nothing here acts on a verdict, reads a clock or keeps time:
 * times are ns on a clock of the caller's that never goes back.
 */
#ifndef CANARYD_RULE_H
#define CANARYD_RULE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "judge/arm.h"
#include "judge/rule_report.h"
#include "judge/rule_settings.h"

struct rule;

/* settings are copied. About 40 us. */
struct rule *rule_new(const struct rule_settings *settings);
void rule_free(struct rule **rule); /* *rule may be NULL */

/* A new share: open blocks are dropped and a new one begins. reference:
 * ARM_BASELINE, or ARM_STABLE where stable is the baseline. */
void rule_open_share(struct rule *rule, enum arm reference, int64_t now_ns);

/* What a draw's call is to come back with. Plain data, of the rule that gave it. */
struct rule_ticket {
    enum arm arm;
    uint64_t draw; /* from 1 */
    uint64_t block[N_RULE_CLOCKS];
    uint64_t place[N_RULE_CLOCKS];
};

/* One request was drawn by lot; ends_group: it was the last of its urn's group.
 * A share must be open. O(1). */
struct rule_ticket rule_draw(struct rule *rule, enum arm arm, bool ends_group, int64_t now_ns);

struct rule_sample {
    enum outcome outcome;
    uint64_t round_trip_ns; /* both are read for OUTCOME_OK only */
    uint64_t service_ns;
    bool has_service; /* false: a replay without that column */
    bool stalled;     /* the round trip holds a pause of the asker's own and is not weighed */
};

/* The call of that draw has ended: once per ticket, in any order. A ticket of
 * before the last rule_open_share counts among the textbook's samples only.
 * Returns whether a block was weighed, so that there may be something new. */
bool rule_end_call(struct rule *rule, const struct rule_ticket *ticket,
                   const struct rule_sample *sample);

/* A stable answer while no share is open: for the textbook's moments only. */
void rule_add_stable(struct rule *rule, uint64_t round_trip_ns);

/* Fills *report with the state of things; some 50 us. Verdicts are found when a
 * block is weighed, not here. */
void rule_look(const struct rule *rule, struct rule_report *report);

/* What rule_look would report as the verdict. O(1). */
enum verdict rule_verdict(const struct rule *rule);

/* Whether the verdict is to roll back; it stands from then on. O(1). */
bool rule_has_fired(const struct rule *rule);

/* Whether the verdict has been to promote. O(1). */
bool rule_has_promoted(const struct rule *rule);

/* The rule's memory, as plain bytes of this machine and build, in two parts: the
 * counts change with every call that ends, the evidence with every block that
 * is weighed. Open blocks are in neither. Both return the length. */
#define RULE_COUNTS_MAX   2048
#define RULE_EVIDENCE_MAX 49152
size_t rule_save_counts(const struct rule *rule, void *bytes, size_t size);
size_t rule_save_evidence(const struct rule *rule, void *bytes, size_t size);

struct rule_memory {
    const void *counts;
    size_t n_counts;
    const void *evidence; /* none (0 bytes): no block had been weighed */
    size_t n_evidence;
};

/* A rule that goes on where the saved one was, once its share is opened again; or
 * NULL when the bytes are not of this build or cannot be true. */
struct rule *rule_restore(const struct rule_memory *memory);

/* Adds what a replica with the same settings has seen: moments merge, wealths
 * multiply. Open blocks stay whose they are. */
void rule_merge(struct rule *into, const struct rule *from);

#endif
