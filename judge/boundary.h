/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The Robbins-Siegmund boundary: how large a t statistic must be for a test that
 * looks again and again, at any time it likes, and is still wrong with
 * probability alpha at most. R >= 1 says by how much the samples have grown
 * since the first look.
 * Source: Robbins and Siegmund 1970, Ann. Math. Statist. 41:1410, the one-sided
 * mixture; its asymptotic use for means: Waudby-Smith, Arbour, Sinha, Kennedy
 * and Ramdas 2021, arXiv 2103.06476.
 */
#ifndef CANARYD_BOUNDARY_H
#define CANARYD_BOUNDARY_H

#include <stdbool.h>

/* Plain data. */
struct boundary {
    double alpha;
    double a;   /* the normal deviate at R = 1 */
    double h_a; /* h(a), see boundary_z */
};

/* Solves 1 - Phi(a) + phi(a) (a + phi(a) / Phi(a)) = alpha, to about 1e-13 of a.
 * alpha: above 0, below 1. About 10 us. */
struct boundary boundary_of(double alpha);

/* The normal deviate to reach at ln R: with h(z) = z^2 + 2 ln Phi(z), the z at
 * which h(z) = h(a) + ln R. ln_r: 0 or more. About 1 us. */
double boundary_z(const struct boundary *b, double ln_r);

/* Whether a t statistic with df degrees of freedom crosses: t > 0 and
 * P(T_df > t) <= 1 - Phi(z). NAN does not. A t with t^2 < h(a) + ln R is settled
 * without any distribution function, for z^2 > h(a) + ln R and t has the
 * heavier tail. */
bool boundary_is_crossed(const struct boundary *b, double t, double df, double ln_r);

/* The normal deviate z_t with 1 - Phi(z_t) = P(T_df > t); exact far out in the
 * tail too. */
double boundary_deviate(double t, double df);

/* The smallest alpha whose boundary z (any real number) reaches at ln R: a p-value
 * that is valid at any time. */
double boundary_anytime_p(double z, double ln_r);

/* t quantile at the upper tail 1 - Phi(z): for always-valid intervals. */
double boundary_t_quantile(double z, double df);

#endif
