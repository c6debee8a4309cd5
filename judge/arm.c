/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * See arm.h.
 */
#include "judge/arm.h"

static const char *const arm_names[N_ARMS] = {
    [ARM_STABLE] = "stable", [ARM_BASELINE] = "baseline", [ARM_CANARY] = "canary"};

static const char *const outcome_names[N_OUTCOMES] = {
    [OUTCOME_OK] = "ok",       [OUTCOME_FAULT] = "fault",     [OUTCOME_TIMEOUT] = "timeout",
    [OUTCOME_DEATH] = "death", [OUTCOME_UNASKED] = "unasked",
};

const char *arm_name(enum arm arm)
{
    return arm_names[arm];
}

const char *outcome_name(enum outcome outcome)
{
    return outcome_names[outcome];
}
