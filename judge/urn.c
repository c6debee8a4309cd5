/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * 10 % is one place in every group of 10, 15 % three in every 20. A share with
 * no such group (0.1 %, 33.33 %) has one place in each stratum (c / share,
 * (c + 1) / share], so that totals are never more than one off share x draws.
 * The baseline has as many.
 */
#include "judge/urn.h"

#include <assert.h>
#include <math.h>

/* Draws of a stratum; nobody lives to see its end, and it fits 64 bits. */
#define MAX_STRATUM     0x1p62
#define WHOLE_TOLERANCE 1e-9 /* 0.1 * 10 is not quite 1 in binary */

void urn_set_share(struct urn *u, double percent, bool baseline)
{
    assert(percent >= 0 && percent <= URN_MAX_PERCENT);
    u->share = percent / 100;
    u->has_baseline = baseline && percent < URN_MAX_PERCENT;
    u->group = u->places = u->left_canary = u->left_baseline = 0;
    u->left = u->n_groups = u->n_drawn = u->n_placed = 0;
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
        u->left_canary = u->places;
    } else { /* at least two draws wherever there is a baseline: its share is below one half */
        double end = floor((double)u->n_groups / u->share);
        u->left = (uint64_t)fmin(end - (double)u->n_drawn, MAX_STRATUM);
        u->left_canary = 1;
    }
    u->left_baseline = u->has_baseline ? u->left_canary : 0;
}

/* Uniform over 0 .. n-1. Above 32 bits no number comes more than 5 in 4 times as
 * often as another: nobody draws so many. */
static uint64_t below(struct rng *r, uint64_t n)
{
    return n <= UINT32_MAX ? rng_below(r, (uint32_t)n) : rng_next(r) % n;
}

static double users_in_group(const struct urn *u)
{
    return u->group > 0 ? u->group : ceil(1 / u->share);
}

struct urn_draw urn_draw(struct urn *u)
{
    struct urn_draw draw = {.arm = ARM_STABLE};
    if (u->share <= 0)
        return draw;
    if (u->left == 0)
        next_group(u);
    uint64_t lot = below(&u->rng, u->left);
    if (lot < u->left_canary) {
        draw.arm = ARM_CANARY;
        u->left_canary--;
    } else if (lot - u->left_canary < u->left_baseline) {
        draw.arm = ARM_BASELINE;
        u->left_baseline--;
    }
    u->n_drawn++;
    draw.ends_group = --u->left == 0;
    return draw;
}

struct urn_draw urn_place(struct urn *u, double position)
{
    struct urn_draw draw = {.arm = ARM_STABLE};
    if (u->share <= 0)
        return draw;
    if (position < u->share)
        draw.arm = ARM_CANARY;
    else if (u->has_baseline && position >= 1 - u->share)
        draw.arm = ARM_BASELINE;
    u->n_placed++;
    draw.ends_group = u->left == 0 && (double)u->n_placed >= users_in_group(u);
    if (draw.ends_group)
        u->n_placed = 0;
    return draw;
}
