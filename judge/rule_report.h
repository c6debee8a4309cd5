/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What a rule has to say: its verdict and everything behind it.
 */
#ifndef CANARYD_RULE_REPORT_H
#define CANARYD_RULE_REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/moments.h"
#include "judge/bet.h"
#include "judge/rule_settings.h"

enum verdict {
    VERDICT_NONE,         /* a version has fewer than two samples: nothing can be said */
    VERDICT_CONTINUE,     /* too few weighed samples for a look at latencies */
    VERDICT_INCONCLUSIVE, /* looked: neither side is shown */
    VERDICT_PROMOTE,      /* shown: the canary is not worse than the margin */
    VERDICT_ROLLBACK,     /* shown: the canary is worse */
    N_VERDICTS
};

#define RULE_MAX_BETS 5

/* What a metric's evidence and threshold are computed from. */
struct rule_basis {
    uint64_t n_blocks;     /* that the row has weighed */
    uint64_t first_look;   /* row M: how many there were at its first look; 0: none yet */
    double mean, variance; /* row M: of the differences; in ns */
    double vif;            /* row M: of them */
    size_t n_bets;         /* rows T and E */
    struct bet_basis bets[RULE_MAX_BETS];
};

/* One guarded metric: evidence against the canary, and how much of it fires.
 * Strings are static. */
struct rule_metric {
    enum rule_row row;
    const char *test;       /* "mean", "tail", "errors" */
    const char *clock;      /* "round_trip", "service" or NULL */
    double alpha;           /* this metric's part of the settings' alpha */
    double evidence;        /* NAN: none can be computed yet; may be INFINITY */
    double threshold;       /* evidence of so much fires */
    double anytime_p_value; /* NAN: none; valid however often one looks */
    struct rule_basis basis;
    bool observe;      /* told only */
    uint64_t fired_at; /* the last draw of the block at which it first fired; 0: it has not */
};

/* The difference that one clock shows, canary minus reference, margin not taken
 * off; in ns. */
struct rule_effect {
    uint64_t n_blocks;           /* weighed */
    uint64_t n_samples[N_SIDES]; /* weighed */
    double difference;           /* mean over the blocks; NAN: none */
    double standard_error;       /* of it; NAN: fewer than two blocks */
    double interval_low;         /* valid however often one looks; NAN before the first look */
    double interval_high;
    double interval_level;     /* 1 - alpha of the clock's row M */
    double minimum_detectable; /* what could be found now with probability .8 */
};

/* What one clock shows on the way to promotion; evidence and thresholds as in
 * struct rule_metric, NAN where there is none yet. */
struct rule_promotion_clock {
    bool counts;        /* its row M may give verdicts, and it has weighed something */
    bool has_samples;   /* the least number of the settings */
    bool mean_is_shown; /* the canary's mean is not worse than the margin */
    bool tail_is_shown; /* less than twice the reference's slow answers */
    double margin_ns;   /* that is allowed */
    double spare_ns;    /* how far below it the canary's mean is, over the blocks */
    double mean_evidence;
    double mean_threshold;
    double tail_evidence;
    double tail_threshold;
};

/* Where the canary stands on its way to promotion: all that count must be shown
 * at one look, errors be fine, and no verdict against it. */
struct rule_promotion {
    struct rule_promotion_clock clock[N_RULE_CLOCKS];
    bool errors_are_fine; /* no larger part of its calls failed than of the reference's */
    uint64_t promoted_at; /* last draw of the block at which all was so; 0: not yet */
};

/* If all goes on as so far: NAN where nothing can be foreseen, 0 when decided. */
struct rule_expected {
    double rollback_ns;    /* until the present effect fires a row M */
    double promotion_ns;   /* until an equal canary is shown to be one */
    double rollback_draws; /* the same, in requests */
    double promotion_draws;
};

struct rule_report {
    enum verdict verdict;
    const char *test;    /* of the row that fired first, NULL while none has; static */
    const char *clock;   /* and its clock, or NULL */
    const char *subject; /* what is higher: "latency", "tail latency", "error rate" */
    struct rule_settings settings;
    enum arm reference;                  /* ARM_BASELINE, or ARM_STABLE where it is the baseline */
    struct moments round_trip[N_ARMS];   /* all answers by lot, raw, in ns */
    struct moments stable_version;       /* of ARM_STABLE and ARM_BASELINE together */
    bool has_welch;                      /* two samples in each version; else the next two are 0 */
    struct welch plain;                  /* canary against the stable version: the textbook's */
    double minimum_detectable_effect_ns; /* by the plain test at alpha, power .8 */
    struct rule_metric metrics[N_RULE_ROWS];
    size_t n_metrics;
    struct rule_effect effect[N_RULE_CLOCKS];
    struct rule_promotion promotion;
    struct rule_expected expected;
    uint64_t n_draws; /* since the first share was opened */
    uint64_t n_outcomes[N_ARMS][N_OUTCOMES];
    uint64_t n_stalled;   /* answers whose round trip was of no use */
    uint64_t n_displaced; /* draws of one side for which a block had no room */
};

const char *verdict_name(enum verdict verdict); /* "none", "continue", "inconclusive", ... */

#endif
