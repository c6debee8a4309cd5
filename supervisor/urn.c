/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * 10 % is one place in every group of 10, 15 % three in every 20. A share with
 * no such group (0.1 %, 33.33 %) has one place in each stratum (c / share,
 * (c + 1) / share], so that totals are never more than one off share x draws.
 */
#include "supervisor/urn.h"

#include <math.h>

#define WHOLE_TOLERANCE 1e-9 /* 0.1 * 10 is not quite 1 in binary */

void urn_set_share(struct urn *u, double percent)
{
    u->share = percent / 100;
    u->group = u->places = u->left = u->to_place = 0;
    u->n_groups = u->n_drawn = 0;
    for (uint32_t g = 1; g <= URN_MAX_GROUP && u->group == 0; g++) {
        double places = u->share * g;
        if (places > 0.5 && fabs(places - round(places)) < WHOLE_TOLERANCE) {
            u->group = g;
            u->places = (uint32_t)round(places);
        }
    }
}

static void next_group(struct urn *u)
{
    u->n_groups++;
    if (u->group > 0) {
        u->left = u->group;
        u->to_place = u->places;
    } else {
        u->left = (uint32_t)(floor((double)u->n_groups / u->share) - (double)u->n_drawn);
        u->to_place = 1;
    }
}

bool urn_draw(struct urn *u)
{
    if (u->share <= 0)
        return false;
    if (u->left == 0)
        next_group(u);
    bool is_canary = rng_below(&u->rng, u->left) < u->to_place;
    u->left--;
    u->n_drawn++;
    if (is_canary)
        u->to_place--;
    return is_canary;
}
