/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The steps that the demo's workflows are made of. Each returns 0 to go on, or
 * -1 when the workflow can't; what was not as it should be is written down in
 * either case (demo_talk.h).
 */
#ifndef CANARYD_CTL_DEMO_STEP_H
#define CANARYD_CTL_DEMO_STEP_H

#include "ctl/demo_talk.h"

int step_prepare(struct demo *d); /* before the first: a server fit for a demo? */
int step_deploy(struct demo *d);
int step_traffic(struct demo *d);
int step_expect_no_alert(struct demo *d);
int step_slow_down(struct demo *d);
int step_expect_alert(struct demo *d);
int step_roll_back(struct demo *d);
int step_end_slowness(struct demo *d);
int step_promote(struct demo *d);
int step_confirm(struct demo *d); /* only d->stable answers */

#endif
