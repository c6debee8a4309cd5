/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The judge, offline: recorded draws go through the same door as a server's,
 * each call ending before the next draw.
 */
#ifndef CANARYD_CTL_REPLAY_H
#define CANARYD_CTL_REPLAY_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "ctl/sample_file.h"
#include "judge/rule.h"

struct replay_settings {
    struct rule_settings rule;
    double percent;     /* the canary's share: gives the size of the urn's groups */
    enum arm reference; /* ARM_BASELINE or ARM_STABLE */
    bool has_groups;    /* rows say where groups end, whatever percent says */
    bool has_time;      /* else a block is one group of draws, whatever block_ns says */
};

struct replay;

/* out stays the caller's. */
struct replay *replay_new(const struct replay_settings *settings, FILE *out);
void replay_free(struct replay **r); /* *r may be NULL */

/* The next draw. Prints a JSON line when the verdict changes:
 * {"request":1234,"verdict":"rollback","test":"mean","clock":"round_trip",...} */
void replay_row(struct replay *r, const struct sample_row *row);

/* The health report as the last line. */
void replay_end(struct replay *r);

#endif
