/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The words that all of the judge shares: who may be asked, what may come of
 * it, and by which clock it is timed.
 */
#ifndef CANARYD_ARM_H
#define CANARYD_ARM_H

/* The baseline is a second worker of the stable version, as fresh and as busy as
 * the canary: what the canary is compared with. */
enum arm { ARM_STABLE, ARM_BASELINE, ARM_CANARY, N_ARMS };

const char *arm_name(enum arm arm); /* "stable", "baseline", "canary" */

enum outcome {
    OUTCOME_OK,
    OUTCOME_FAULT,   /* the model's worker said that it could not */
    OUTCOME_TIMEOUT, /* no answer in its time */
    OUTCOME_DEATH,   /* the worker died with it */
    OUTCOME_UNASKED, /* drawn, but never asked of that arm: counts nowhere */
    N_OUTCOMES
};

/* "ok", "fault", "timeout", "death", "unasked": in reports, and in logs of samples
 * that are read again. */
const char *outcome_name(enum outcome outcome);

enum rule_clock {
    RULE_ROUND_TRIP, /* the supervisor's: sees queues and sockets too */
    RULE_SERVICE,    /* the worker's own */
    N_RULE_CLOCKS
};

/* The two sides of a comparison. Where there is no baseline, stable is the
 * reference. */
enum side { SIDE_REFERENCE, SIDE_CANARY, N_SIDES, SIDE_NONE = N_SIDES };

#endif
