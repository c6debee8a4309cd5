/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A small fast random generator for drawing lots and ids: xoshiro256**
 * (Blackman and Vigna 2021, ACM TOMS 47:36), seeded by splitmix64. Not for
 * secrets.
 */
#ifndef CANARYD_RNG_H
#define CANARYD_RNG_H

#include <stdint.h>

struct rng {
    uint64_t s[4];
};

void rng_seed(struct rng *r, uint64_t seed);
void rng_seed_from_system(struct rng *r); /* getrandom(2) */
uint64_t rng_next(struct rng *r);         /* uniform over 64 bits */

/* Uniform over 0 .. n-1 without bias, n >= 1 (Lemire 2019, ACM TOMACS 29:3). */
uint32_t rng_below(struct rng *r, uint32_t n);

#endif
