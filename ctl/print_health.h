/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The health report for people: the verdict first, then what it rests on.
 */
#ifndef CANARYD_CTL_PRINT_HEALTH_H
#define CANARYD_CTL_PRINT_HEALTH_H

#include "ctl/print.h"

/* health: the answer of GET /admin/check-canary-health; missing members are left out. */
void print_health(const struct printer *p, const cJSON *health);

#endif
