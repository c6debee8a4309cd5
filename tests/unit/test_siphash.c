/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * SipHash-2-4 against the vectors of its authors (key 00..0f, input 00, 01, ...).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/siphash.h"

static const struct siphash_key paper_key = {
    .k = {UINT64_C(0x0706050403020100), UINT64_C(0x0f0e0d0c0b0a0908)}};

static const struct {
    size_t n;
    uint64_t hash;
} vectors[] = {
    {0, UINT64_C(0x726fdb47dd0e0e31)},
    {1, UINT64_C(0x74f839c593dc67fd)},
    {8, UINT64_C(0x93f5f5799a932462)},
    {15, UINT64_C(0xa129ca6149be45e5)},
};

static void test_vectors(void **state)
{
    uint8_t input[16];
    (void)state;
    for (uint8_t i = 0; i < sizeof input; i++)
        input[i] = i;
    for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++)
        assert_true(siphash(&paper_key, input, vectors[i].n) == vectors[i].hash);
}

static void test_key_and_length_count(void **state)
{
    static const uint8_t zeros[16];
    struct siphash_key other = paper_key;
    (void)state;
    other.k[1] ^= 1;
    assert_true(siphash(&paper_key, zeros, 8) != siphash(&other, zeros, 8));
    assert_true(siphash(&paper_key, zeros, 8) != siphash(&paper_key, zeros, 9));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_key_and_length_count),
    };
    return cmocka_run_group_tests_name("siphash", tests, NULL, NULL);
}
