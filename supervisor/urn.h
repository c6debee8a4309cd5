/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The lot: which of the next requests go to the canary. Exact and random at
 * once: out of every group of draws a fixed number, at random places.
 */
#ifndef CANARYD_URN_H
#define CANARYD_URN_H

#include <stdbool.h>
#include <stdint.h>

#include "common/rng.h"

/* The smallest group of at most so many draws in which the share is whole. */
#define URN_MAX_GROUP 100

struct urn {
    struct rng rng;
    double share;      /* 0 .. 0.5 */
    uint32_t group;    /* draws in a group; 0: no group fits, see urn.c */
    uint32_t places;   /* canary places in a group */
    uint64_t left;     /* draws left in this group */
    uint32_t to_place; /* canary places left in it */
    uint64_t n_groups; /* completed or begun, since the share was set */
    uint64_t n_drawn;
};

/* percent: 0 .. 50; 0 draws nothing but stable. A new share begins a new group. */
void urn_set_share(struct urn *u, double percent);
bool urn_draw(struct urn *u); /* true: canary */

#endif
