/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The lot: which of the next requests go to the canary, and which to the
 * baseline that it is compared with. Exact and random at once: out of every
 * group of draws a fixed number of each, at random places.
 */
#ifndef CANARYD_URN_H
#define CANARYD_URN_H

#include <stdbool.h>
#include <stdint.h>

#include "common/rng.h"
#include "judge/arm.h"

/* The smallest group of at most so many draws in which the share is whole. */
#define URN_MAX_GROUP 100

/* Of settings, requests and saved states too: above, two equal arms would have
 * more than all. */
#define URN_MAX_PERCENT 50

struct urn {
    struct rng rng;
    double share;           /* 0 .. 0.5 */
    bool has_baseline;      /* as many places as the canary's */
    uint32_t group;         /* draws in a group; 0: no group fits, see urn.c */
    uint32_t places;        /* canary places in a group */
    uint64_t left;          /* draws left in this group */
    uint32_t left_canary;   /* canary places left in it */
    uint32_t left_baseline; /* likewise */
    uint64_t n_groups;      /* completed or begun, since the share was set */
    uint64_t n_drawn;
    uint64_t n_placed; /* of this group of users */
};

struct urn_draw {
    enum arm arm;
    bool ends_group; /* the last draw of its group */
};

/* percent: 0 .. URN_MAX_PERCENT; 0 draws nothing but stable, in no group at all. baseline: it
 * gets as many places as the canary, but for none at 50 %, where stable is the baseline. A new
 * share begins a new group. The urn's rng is the caller's to seed. */
void urn_set_share(struct urn *u, double percent, bool baseline);

/* O(1). */
struct urn_draw urn_draw(struct urn *u);

/* The arm of a user who stands at position (0 <= position < 1) for good: canary below
 * the share, baseline as far from the other end, so that a larger share adds users
 * to both and takes none away. The lot of others is not touched. As many users as
 * draws make a group; one does not end inside a group of draws. */
struct urn_draw urn_place(struct urn *u, double position);

#endif
