/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * See siphash.h; names follow the paper.
 */
#include "common/siphash.h"

#include <endian.h>
#include <string.h>

#define C_ROUNDS 2
#define D_ROUNDS 4

static uint64_t rotate(uint64_t x, unsigned bits)
{
    return x << bits | x >> (64 - bits);
}

static void sip_rounds(uint64_t v[4], int n)
{
    for (int i = 0; i < n; i++) {
        v[0] += v[1];
        v[2] += v[3];
        v[1] = rotate(v[1], 13) ^ v[0];
        v[3] = rotate(v[3], 16) ^ v[2];
        v[0] = rotate(v[0], 32);
        v[2] += v[1];
        v[0] += v[3];
        v[1] = rotate(v[1], 17) ^ v[2];
        v[3] = rotate(v[3], 21) ^ v[0];
        v[2] = rotate(v[2], 32);
    }
}

static void compress(uint64_t v[4], uint64_t m)
{
    v[3] ^= m;
    sip_rounds(v, C_ROUNDS);
    v[0] ^= m;
}

uint64_t siphash(const struct siphash_key *key, const void *bytes, size_t n)
{
    uint64_t v[4] = {
        key->k[0] ^ UINT64_C(0x736f6d6570736575), key->k[1] ^ UINT64_C(0x646f72616e646f6d),
        key->k[0] ^ UINT64_C(0x6c7967656e657261), key->k[1] ^ UINT64_C(0x7465646279746573)};
    const unsigned char *p = bytes;
    uint64_t m;
    size_t left = n;
    for (; left >= sizeof m; left -= sizeof m, p += sizeof m) {
        memcpy(&m, p, sizeof m);
        compress(v, le64toh(m));
    }
    m = 0;
    if (left > 0)
        memcpy(&m, p, left);
    compress(v, le64toh(m) | (uint64_t)n << 56);
    v[2] ^= 0xff;
    sip_rounds(v, D_ROUNDS);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}
