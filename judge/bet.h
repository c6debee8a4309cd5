/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Betting against "the mean of g is at most 0": wealths of a gambler who stakes
 * a fixed part lambda of what he has on every g. Were that true, the mean of his
 * wealths would ever exceed 1/alpha with probability alpha at most.
 * Source: Waudby-Smith and Ramdas 2024, J. R. Stat. Soc. B 86:1; Ville 1939.
 */
#ifndef CANARYD_BET_H
#define CANARYD_BET_H

#include <stdbool.h>
#include <stddef.h>

#include "judge/dependence.h"

#define BET_LAMBDAS 6 /* .05 .1 .2 .4 .7 .95 */

/* Plain data; all zero is a game that has not begun. */
struct bet {
    double ln_wealth[BET_LAMBDAS];
    struct series g;
};

/* One round: g in [-1, 1], and of mean 0 or less if nothing is wrong. Takes
 * logarithms, but for g = 0 none. */
void bet_add(struct bet *b, double g);

/* ln E: the log-mean-exp over the wealths; where it is positive, divided by the
 * VIF of g, for rounds that take after each other. 0 before the first round. */
double bet_ln_e(const struct bet *b);

/* What ln E is computed from. */
struct bet_basis {
    double ln_wealth[BET_LAMBDAS];
    double vif;
};

struct bet_basis bet_basis(const struct bet *b);
double bet_basis_ln_e(const struct bet_basis *b); /* bet_ln_e's */

/* No less than bet_ln_e, and cheap. */
double bet_upper_bound(const struct bet *b);

/* The log-mean-exp of n >= 1 numbers: ln E of a family of games. */
double bet_family(const double ln_e[], size_t n);

/* ln(1/alpha + 1): so much ln E fires. */
double bet_threshold(double alpha);

/* The smallest alpha at which ln E fires, min(1, 1/(E - 1)). */
double bet_anytime_p(double ln_e);

/* What a replica has won: wealths multiply. */
void bet_merge(struct bet *into, const struct bet *from);

bool bet_is_sound(const struct bet *b);

#endif
