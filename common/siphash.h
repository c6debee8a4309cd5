/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * SipHash-2-4: a 64-bit hash with a secret key, so that nobody outside can make
 * two inputs collide. Source: Aumasson and Bernstein 2012, "SipHash: a fast
 * short-input PRF", section 2 and its appendix's test vectors.
 */
#ifndef CANARYD_SIPHASH_H
#define CANARYD_SIPHASH_H

#include <stddef.h>
#include <stdint.h>

struct siphash_key {
    uint64_t k[2];
};

uint64_t siphash(const struct siphash_key *key, const void *bytes, size_t n);

#endif
