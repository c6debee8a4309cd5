/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * See bet.h.
 */
#include "judge/bet.h"

#include <math.h>
#include <string.h>

static const double lambdas[BET_LAMBDAS] = {0.05, 0.1, 0.2, 0.4, 0.7, 0.95};

void bet_add(struct bet *b, double g)
{
    series_add(&b->g, g);
    for (int i = 0; i < BET_LAMBDAS && g != 0; i++)
        b->ln_wealth[i] += log1p(lambdas[i] * g);
}

static double largest(const double x[], size_t n)
{
    double max = x[0];
    for (size_t i = 1; i < n; i++)
        max = x[i] > max ? x[i] : max;
    return max;
}

double bet_family(const double ln_e[], size_t n)
{
    double max = largest(ln_e, n);
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += exp(ln_e[i] - max);
    return max + log(sum / (double)n);
}

double bet_ln_e(const struct bet *b)
{
    double ln_e = bet_family(b->ln_wealth, BET_LAMBDAS);
    return ln_e > 0 ? ln_e / series_vif(&b->g) : ln_e;
}

struct bet_basis bet_basis(const struct bet *b)
{
    struct bet_basis basis = {.vif = series_vif(&b->g)};
    memcpy(basis.ln_wealth, b->ln_wealth, sizeof basis.ln_wealth);
    return basis;
}

double bet_basis_ln_e(const struct bet_basis *b)
{
    double ln_e = bet_family(b->ln_wealth, BET_LAMBDAS);
    return ln_e > 0 ? ln_e / b->vif : ln_e;
}

double bet_upper_bound(const struct bet *b)
{
    return largest(b->ln_wealth, BET_LAMBDAS);
}

double bet_threshold(double alpha)
{
    return log(1 / alpha + 1);
}

double bet_anytime_p(double ln_e)
{
    return ln_e > 0 ? fmin(1, 1 / expm1(ln_e)) : 1;
}

void bet_merge(struct bet *into, const struct bet *from)
{
    for (int i = 0; i < BET_LAMBDAS; i++)
        into->ln_wealth[i] += from->ln_wealth[i];
    series_merge(&into->g, &from->g);
}

bool bet_is_sound(const struct bet *b)
{
    bool sound = series_is_sound(&b->g);
    for (int i = 0; i < BET_LAMBDAS; i++)
        sound = sound && isfinite(b->ln_wealth[i]);
    return sound;
}
