/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * See boundary.h.
 */
#include "judge/boundary.h"

#include <assert.h>
#include <math.h>

#include <Rmath.h>

enum tail { TAIL_UPPER = 0, TAIL_LOWER = 1 };  /* libRmath's argument lower_tail */
enum scale { SCALE_PLAIN = 0, SCALE_LOG = 1 }; /* and its log_p */

#define LOWEST  (-8.0) /* below it alpha is 1 but for 1e-14 */
#define HIGHEST 38.0   /* phi is 0 above */

static double density(double z)
{
    return dnorm(z, 0, 1, SCALE_PLAIN);
}

static double ln_upper(double z)
{
    return pnorm(z, 0, 1, TAIL_UPPER, SCALE_LOG);
}

static double ln_lower(double z)
{
    return pnorm(z, 0, 1, TAIL_LOWER, SCALE_LOG);
}

/* phi(z) / Phi(z) */
static double inverse_mills(double z)
{
    return exp(dnorm(z, 0, 1, SCALE_LOG) - ln_lower(z));
}

/* The alpha that belongs to a; falls from 1 to 0. */
static double alpha_of(double a)
{
    double alpha = pnorm(a, 0, 1, TAIL_UPPER, SCALE_PLAIN) + density(a) * (a + inverse_mills(a));
    return a < LOWEST ? 1 : fmin(1, alpha);
}

static double h(double z)
{
    return z * z + 2 * ln_lower(z);
}

/* The z with h(z) = value. h rises and is convex, so Newton's steps from the
 * right of the root come down to it and never pass it; for z >= 0,
 * h(z) >= z^2 - 2 ln 2 says where its right is. */
static double solve_h(double value)
{
    double z = sqrt(fmax(value, 0) + 2 * M_LN2);
    for (int i = 0; i < 100; i++) {
        double next = z - (h(z) - value) / (2 * (z + inverse_mills(z)));
        if (!(next < z) || next < LOWEST)
            break;
        z = next;
    }
    return z;
}

struct boundary boundary_of(double alpha)
{
    assert(alpha > 0 && alpha < 1);
    double low = LOWEST;
    double high = HIGHEST;
    for (int i = 0; i < 60; i++) {
        double middle = (low + high) / 2;
        if (alpha_of(middle) > alpha)
            low = middle;
        else
            high = middle;
    }
    return (struct boundary){.alpha = alpha, .a = high, .h_a = h(high)};
}

double boundary_z(const struct boundary *b, double ln_r)
{
    return solve_h(b->h_a + ln_r);
}

bool boundary_is_crossed(const struct boundary *b, double t, double df, double ln_r)
{
    if (!(t > 0) || t * t < b->h_a + ln_r)
        return false;
    return pt(t, df, TAIL_UPPER, SCALE_LOG) <= ln_upper(boundary_z(b, ln_r));
}

/* libRmath's qnorm of R < 4.3 loses digits far out, which Newton's steps on
 * ln(1 - Phi) bring back. */
double boundary_deviate(double t, double df)
{
    if (t < 0) /* 1 - p has lost what p had */
        return -boundary_deviate(-t, df);
    double ln_p = pt(t, df, TAIL_UPPER, SCALE_LOG);
    double z = qnorm(ln_p, 0, 1, TAIL_UPPER, SCALE_LOG);
    for (int i = 0; i < 4 && isfinite(z) && z > 5; i++)
        z += (ln_upper(z) - ln_p) / exp(dnorm(z, 0, 1, SCALE_LOG) - ln_upper(z));
    return z;
}

double boundary_anytime_p(double z, double ln_r)
{
    if (z == INFINITY)
        return 0;
    double value = h(z) - ln_r;
    if (!(value > h(LOWEST)))
        return 1;
    return alpha_of(solve_h(value));
}

double boundary_t_quantile(double z, double df)
{
    return qt(ln_upper(z), df, TAIL_UPPER, SCALE_LOG);
}
