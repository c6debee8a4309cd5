/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * See promotion.h.
 */
#include "judge/promotion.h"

#include <math.h>

#include "judge/paired.h"

#define SLOW_PART     0.05 /* of the reference lies above c95 */
#define LARGEST_STAKE 0.95 /* of the bets' lambdas */

void promotion_weigh(struct promotion *p, double margin, const struct comparison *c,
                     const double parts[])
{
    /* mean_c = mean_b + raw, so that what both have in common cancels first */
    series_add(&p->spare, margin * c->side[SIDE_REFERENCE].mean - c->raw);
    if (parts != NULL)
        bet_add(&p->tail, (2 * parts[SIDE_REFERENCE] - parts[SIDE_CANARY]) / 2);
}

/* What the canary's mean may be above the reference's: 1 + ratio, and more. */
struct allowance {
    double ratio;
    double ns; /* in all */
    bool is_clocks;
};

static struct allowance allowance_of(const struct promotion_view *v)
{
    double mean = v->latency[SIDE_REFERENCE].mean;
    double own = v->settings->promotion_margin * mean;
    double clocks = v->margin->ratio * mean + v->margin->absolute_ns;
    if (clocks > own)
        return (struct allowance){v->margin->ratio, clocks, true};
    return (struct allowance){v->settings->promotion_margin, own, false};
}

/* Without the floor lucky runs of a skewed canary promote a bad one. */
static double floor_of(const struct promotion_view *v, const struct allowance *a)
{
    const struct moments *reference = &v->latency[SIDE_REFERENCE];
    double n_reference = (double)reference->n;
    double n_canary = (double)v->latency[SIDE_CANARY].n;
    return (1 + a->ratio) * sqrt(moments_variance(reference) * (1 / n_canary + 1 / n_reference));
}

/* With the clock's margin D is the guard's own difference with its sign turned:
 * (1 + ratio) mean_b + absolute - mean_c = -(1 + ratio) d. */
static struct paired spare_of(const struct promotion_view *v, const struct allowance *a)
{
    uint64_t first_look = v->promotion->first_look;
    struct paired p = paired_of(a->is_clocks ? v->decisive : &v->promotion->spare, first_look);
    if (a->is_clocks) {
        p.difference *= -(1 + a->ratio);
        p.standard_error *= 1 + a->ratio;
    }
    return paired_with_floor(&p, floor_of(v, a));
}

bool promotion_holds(const struct promotion_view *v)
{
    const struct bet *tail = &v->promotion->tail;
    double threshold = bet_threshold(v->settings->promotion_alpha);
    if (v->promotion->first_look == 0 || bet_upper_bound(tail) < threshold ||
        bet_ln_e(tail) < threshold)
        return false;
    struct allowance a = allowance_of(v);
    struct paired p = spare_of(v, &a);
    return boundary_is_crossed(v->boundary, p.t, p.df, p.ln_r);
}

void promotion_look(const struct promotion_view *v, struct rule_promotion_clock *out)
{
    struct allowance a = allowance_of(v);
    struct paired p = spare_of(v, &a);
    bool may = v->promotion->first_look > 0;
    const struct bet *tail = &v->promotion->tail;
    *out = (struct rule_promotion_clock){
        .margin_ns = v->latency[SIDE_REFERENCE].n > 0 ? a.ns : NAN,
        .spare_ns = p.difference,
        .mean_threshold = boundary_z(v->boundary, p.ln_r),
        .mean_evidence = may && !isnan(p.t) ? boundary_deviate(p.t, p.df) : NAN,
        .tail_threshold = bet_threshold(v->settings->promotion_alpha),
        .tail_evidence = tail->g.x.n > 0 ? bet_ln_e(tail) : NAN,
    };
    out->has_samples = may;
    out->mean_is_shown = may && boundary_is_crossed(v->boundary, p.t, p.df, p.ln_r);
    out->tail_is_shown = may && out->tail_evidence >= out->tail_threshold;
}

/* Of an equal canary D is the allowance itself. */
static double mean_growth(const struct promotion_view *v)
{
    struct allowance a = allowance_of(v);
    struct paired p = spare_of(v, &a);
    double n_canary = (double)v->latency[SIDE_CANARY].n;
    double samples = (double)v->settings->promotion_min_samples / n_canary;
    p.t = a.ns / p.standard_error;
    return fmax(samples, paired_growth_needed(&p, v->boundary));
}

/* Of an equal canary g has mean SLOW_PART / 2 and the variance of two binomials; a
 * stake of lambda then wins lambda E(g) - lambda^2 E(g^2) / 2 a block (the Taylor
 * series of its logarithm), and the mean over the stakes lies ln 6 behind the best. */
static double tail_growth(const struct promotion_view *v)
{
    const struct bet *tail = &v->promotion->tail;
    double n = (double)v->promotion->spare.x.n;
    double mean = SLOW_PART / 2;
    double square = mean * mean + SLOW_PART * (1 - SLOW_PART) *
                                      (n / (double)v->latency[SIDE_REFERENCE].n +
                                       n / (4 * (double)v->latency[SIDE_CANARY].n));
    double stake = fmin(mean / square, LARGEST_STAKE);
    double gain = stake * mean - stake * stake * square / 2;
    double goal =
        bet_threshold(v->settings->promotion_alpha) * series_vif(&tail->g) + log(BET_LAMBDAS);
    return 1 + fmax(0, goal - bet_upper_bound(tail)) / gain / n;
}

double promotion_growth_needed(const struct promotion_view *v)
{
    if (v->promotion->spare.x.n < 2)
        return NAN;
    double by_mean = mean_growth(v);
    double by_tail = tail_growth(v);
    return isnan(by_mean) || isnan(by_tail) ? NAN : fmax(by_mean, by_tail);
}

void promotion_merge(struct promotion *into, const struct promotion *from)
{
    series_merge(&into->spare, &from->spare);
    bet_merge(&into->tail, &from->tail);
    if (into->first_look == 0 || (from->first_look > 0 && from->first_look < into->first_look))
        into->first_look = from->first_look;
}

bool promotion_is_sound(const struct promotion *p)
{
    return series_is_sound(&p->spare) && bet_is_sound(&p->tail) && p->first_look <= p->spare.x.n &&
           p->tail.g.x.n <= p->spare.x.n;
}
