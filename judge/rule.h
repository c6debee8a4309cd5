/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The one door to the statistics: samples go in, a report with a verdict comes
 * out. The supervisor and canaryctl know rules by this header only, whatever
 * the test behind it is. A rule belongs to one deployment; the next gets a new
 * one. Nothing here acts on a verdict.
 */
#ifndef CANARYD_RULE_H
#define CANARYD_RULE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/moments.h"
#include "judge/welch.h"

/* Who answers. The baseline is a second worker of the stable model with the canary's share. */
enum arm { ARM_STABLE, ARM_BASELINE, ARM_CANARY, N_ARMS };

enum verdict {
    VERDICT_NONE,     /* an arm has fewer than two samples: nothing can be said */
    VERDICT_CONTINUE, /* nothing speaks against the canary, or not enough yet */
    VERDICT_ROLLBACK, /* the canary is worse */
    N_VERDICTS
};

struct rule_settings {
    double alpha;         /* above 0, below 1: chance of rolling back an equal canary */
    uint64_t min_samples; /* in each arm before a rollback; below 2 counts as 2 */
    struct welch_margin margin;
};

/* One guarded metric: evidence against the canary, and how much of it fires. */
struct rule_metric {
    const char *test;       /* "mean" */
    const char *clock;      /* "round_trip", "service" or NULL */
    double alpha;           /* this metric's part of the settings' alpha */
    double evidence;        /* NAN: none can be computed yet; may be INFINITY */
    double threshold;       /* evidence above it fires */
    double anytime_p_value; /* NAN: the test has none */
    bool fires;             /* at this look */
    uint64_t fired_at;      /* samples of both arms when it first fired; 0: it has not */
};

#define RULE_METRICS_MAX 8

/* What a health report shows. Latencies in ns, raw but for decisive. Strings
 * are static. */
struct rule_report {
    enum verdict verdict;
    const char *test; /* of the metric that fired first, NULL while none has */
    struct rule_settings settings;
    struct moments round_trip[N_ARMS];
    bool has_welch;                      /* two samples in each arm; else the next three are 0 */
    struct welch plain;                  /* canary against stable, for p_value and its company */
    struct welch decisive;               /* the same with the margin taken off the canary */
    double minimum_detectable_effect_ns; /* by the plain test at alpha, power .8 */
    struct rule_metric metrics[RULE_METRICS_MAX];
    size_t n_metrics;
};

/* What a rule looks at. */
struct rule_input {
    const struct moments *round_trip; /* [N_ARMS], ns */
    const struct rule_settings *settings;
};

/* A kind of rule. look gets a report that holds all but decisive and metrics,
 * and fills these; a metric's fired_at is not its business. */
struct rule_kind {
    const char *name;
    void (*look)(const struct rule_input *in, struct rule_report *report);
};

struct rule;

/* settings are copied. kind must outlive the rule. */
struct rule *rule_new(const struct rule_kind *kind, const struct rule_settings *settings);
void rule_free(struct rule **rule); /* *rule may be NULL */

/* One answered request that was drawn by lot; durations in ns. O(1). */
void rule_add_sample(struct rule *rule, enum arm arm, uint64_t round_trip_ns, uint64_t service_ns);

/* Fills *report with the state of things; about 2 us. A rollback stands from the
 * look that found it, whatever samples follow, while the numbers go on. */
void rule_look(struct rule *rule, struct rule_report *report);

/* Enough for any rule's memory. */
#define RULE_MEMORY_MAX 32768

/* Writes the rule's memory, settings included, as plain bytes of this machine:
 * its length, at most RULE_MEMORY_MAX. */
size_t rule_save(const struct rule *rule, void *bytes, size_t size);

/* A rule that goes on where the saved one was, or NULL when the bytes are not of
 * this kind and build of rule. */
struct rule *rule_restore(const struct rule_kind *kind, const void *bytes, size_t n);

const char *rule_name(const struct rule *rule);
const char *verdict_name(enum verdict verdict); /* "none", "continue", "rollback" */

#endif
