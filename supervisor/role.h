/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The roles that worker processes play (the fleet gives them), and how many
 * processes that makes at most: what is sized by it includes this.
 */
#ifndef CANARYD_ROLE_H
#define CANARYD_ROLE_H

#include "supervisor/settings.h"

enum role {
    ROLE_STABLE,
    ROLE_BASELINE, /* the stable model again: what the canary is compared with */
    ROLE_CANARY,
    ROLE_CANDIDATE,     /* loading and warming up; becomes the canary, or nothing */
    ROLE_NEXT_BASELINE, /* is as old as the candidate; becomes the baseline, or nothing */
    N_ROLES
};

/* In every role, and as many again that are retired and finish their calls. */
#define ROLE_MAX_PROCESSES ((N_ROLES + 1) * SETTINGS_MAX_WORKERS)

#endif
