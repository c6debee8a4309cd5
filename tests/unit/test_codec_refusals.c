/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Payloads that are no messages, byte by byte, and mutations by the hundred
 * thousand: refused without a crash and without reserving what they announce.
 */
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/rng.h"
#include "proto/codec.h"

static struct codec *codec;
static struct msg m;

static int setup(void **state)
{
    (void)state;
    codec = codec_new();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    codec_free(&codec);
    return 0;
}

/* Hexadecimal digits and blanks to bytes in memory of exactly their size. */
static uint8_t *from_hex(const char *hex, size_t *n)
{
    uint8_t *bytes = malloc(strlen(hex) / 2 + 1);
    assert_non_null(bytes);
    *n = 0;
    while (*hex != '\0') {
        char two[3] = {hex[0], hex[1], '\0'};
        char *end;
        bytes[(*n)++] = (uint8_t)strtoul(two, &end, 16);
        assert_ptr_equal(end, two + 2);
        hex += 2;
        while (*hex == ' ')
            hex++;
    }
    uint8_t *exact = realloc(bytes, *n + (*n == 0));
    return exact != NULL ? exact : bytes;
}

static int decode_hex(const char *hex, struct err *e)
{
    size_t n;
    uint8_t *bytes = from_hex(hex, &n);
    int rc = codec_decode(codec, bytes, n, &m, e);
    free(bytes);
    return rc;
}

#define ONE  "cb3ff0000000000000"
#define NAN_ "cb7ff8000000000000"
#define INF  "cb7ff0000000000000"
#define NINF "cbfff0000000000000"

static const struct {
    const char *what;
    const char *hex;
    const char *says; /* NULL: taken */
} cases[] = {
    {"PING", "92 03 07", NULL},
    {"PING, id as uint64", "92 03 cf0000000000000007", NULL},
    {"PING, id 2^64-1", "92 03 cfffffffffffffffff", NULL},
    {"PING, type as uint16", "92 cd0003 07", NULL},
    {"PING in an array 16", "dc0002 03 07", NULL},
    {"PING in an array 32", "dd00000002 03 07", NULL},
    {"PREDICT, features as whole numbers", "94 01 07 01 93 01 ff d1fc18", NULL},
    {"PREDICT, features as float 32", "94 01 07 01 91 ca3f800000", NULL},
    {"PREDICT, one double as bin", "94 01 07 01 c408 000000000000f03f", NULL},
    {"DELAY, a whole number", "93 02 00 0a", NULL},
    {"FAULT, no words", "93 13 07 a0", NULL},

    {"no byte", "", "not one msgpack array"},
    {"not an array", "03", "as an array"},
    {"a string", "a161", "as an array"},
    {"an empty array", "90", "[type, id]"},
    {"a type alone", "91 03", "[type, id]"},
    {"two messages", "92 03 07 92 03 07", "not one msgpack array"},
    {"a byte left over", "92 03 07 00", "not one msgpack array"},
    {"type 0", "92 00 07", "unknown message type"},
    {"type 5", "92 05 07", "unknown message type"},
    {"type 15", "92 0f 07", "unknown message type"},
    {"type 21", "92 15 07", "unknown message type"},
    {"type 255", "92 ccff 07", "unknown message type"},
    {"type 256 + 3", "92 cd0103 07", "[type, id]"},
    {"type -1", "92 ff 07", "[type, id]"},
    {"type as float", "92 cb4008000000000000 07", "[type, id]"},
    {"type as string", "92 a103 07", "[type, id]"},
    {"id -1", "92 03 ff", "[type, id]"},
    {"id -2^63", "92 03 d38000000000000000", "[type, id]"},
    {"id as float", "92 03 " ONE, "[type, id]"},
    {"id as string", "92 03 a137", "[type, id]"},
    {"id as bin", "92 03 c40137", "[type, id]"},
    {"id as array", "92 03 9107", "[type, id]"},

    {"PING with a field", "93 03 07 01", "PING"},
    {"PONG with a field", "93 14 07 01", "PONG"},
    {"QUIT with a field", "93 04 00 01", "QUIT"},
    {"PREDICT without features", "93 01 07 01", "PREDICT"},
    {"PREDICT with a field more", "95 01 07 01 91 " ONE " 00", "PREDICT"},
    {"DELAY without ms", "92 02 00", "DELAY"},
    {"READY without cage", "96 10 00 02 a16b 05 a16f", "READY"},
    {"READY with a field more", "98 10 00 02 a16b 05 a16f a163 00", "READY"},
    {"REFUSE without text", "92 11 00", "REFUSE"},
    {"RESULT without service_ns", "93 12 07 91 " ONE, "RESULT"},
    {"FAULT with a field more", "94 13 07 a161 00", "FAULT"},

    {"nil", "92 03 c0", "not one msgpack array"},
    {"the byte never used", "92 03 c1", "not one msgpack array"},
    {"false", "92 03 c2", "not one msgpack array"},
    {"true", "92 03 c3", "not one msgpack array"},
    {"fixmap, empty", "92 03 80", "not one msgpack array"},
    {"fixmap", "92 03 810101", "not one msgpack array"},
    {"map 16", "92 03 de0000", "not one msgpack array"},
    {"map 32", "92 03 df00000000", "not one msgpack array"},
    {"fixext 1", "92 03 d40100", "not one msgpack array"},
    {"fixext 16", "92 03 d80100000000000000000000000000000000", "not one msgpack array"},
    {"ext 8", "92 03 c7000100", "not one msgpack array"},
    {"ext 16", "92 03 c8000001", "not one msgpack array"},
    {"ext 32", "92 03 c90000000001", "not one msgpack array"},
    {"a map as the message", "820304 0507", "not one msgpack array"},

    {"array 32 of 2^32 - 2^24", "ddff000000", "not one msgpack array"},
    {"array 32 of 2^24 - 1", "dd00ffffff", "not one msgpack array"},
    {"array 32 of 2^32 - 1", "ddffffffff", "not one msgpack array"},
    {"array 16 of 65535", "dcffff 03 07", "not one msgpack array"},
    {"array 32 inside", "94 01 07 01 ddff000000", "not one msgpack array"},
    {"bin 32 of 2^32 - 1", "c6ffffffff", "not one msgpack array"},
    {"bin 32 inside", "94 01 07 01 c6ffffffff", "not one msgpack array"},
    {"bin 32, one byte short", "94 01 07 01 c600000008 00000000000000", "not one msgpack array"},
    {"str 32 of 2^32 - 1", "93 11 00 dbffffffff", "not one msgpack array"},
    {"33 nested arrays", "91919191919191919191919191919191919191919191919191919191919191919103",
     "not one msgpack array"},
    {"an array in the numbers", "94 01 07 01 91 91 " ONE, "not one msgpack array"},
    {"an empty array in the numbers", "94 01 07 01 91 90", "PREDICT"},

    {"n_rows 0", "94 01 07 00 91 " ONE, "PREDICT"},
    {"n_rows -1", "94 01 07 ff 91 " ONE, "PREDICT"},
    {"n_rows 4097", "94 01 07 cd1001 91 " ONE, "PREDICT"},
    {"n_rows 2^32 + 1", "94 01 07 cf0000000100000001 91 " ONE, "PREDICT"},
    {"n_rows as float", "94 01 07 " ONE " 91 " ONE, "PREDICT"},
    {"2 rows of 3 features", "94 01 07 02 93 01 02 03", "PREDICT"},
    {"no features", "94 01 07 01 90", "PREDICT"},
    {"features as number", "94 01 07 01 " ONE, "PREDICT"},
    {"features as string", "94 01 07 01 a83132333435363738", "PREDICT"},
    {"a feature as string", "94 01 07 01 91 a131", "PREDICT"},
    {"a feature as bin", "94 01 07 01 91 c408000000000000f03f", "PREDICT"},
    {"a feature NaN", "94 01 07 01 91 " NAN_, "PREDICT"},
    {"a feature inf", "94 01 07 01 92 " ONE INF, "PREDICT"},
    {"a feature -inf", "94 01 07 01 92 " NINF ONE, "PREDICT"},
    {"a feature inf as float 32", "94 01 07 01 91 ca7f800000", "PREDICT"},
    {"bin of no bytes", "94 01 07 01 c400", "PREDICT"},
    {"bin of 7 bytes", "94 01 07 01 c407 00000000000000", "PREDICT"},
    {"bin of 9 bytes", "94 01 07 01 c409 000000000000000000", "PREDICT"},
    {"bin with NaN", "94 01 07 01 c408 000000000000f87f", "PREDICT"},
    {"bin with inf", "94 01 07 01 c410 000000000000f03f 000000000000f07f", "PREDICT"},

    {"DELAY -1", "93 02 00 ff", "DELAY"},
    {"DELAY 60001", "93 02 00 cdea61", "DELAY"},
    {"DELAY NaN", "93 02 00 " NAN_, "DELAY"},
    {"DELAY inf", "93 02 00 " INF, "DELAY"},
    {"DELAY as string", "93 02 00 a131", "DELAY"},

    {"READY, version -1", "97 10 00 ff a16b 05 a16f a163", "READY"},
    {"READY, version 2^32", "97 10 00 cf0000000100000000 a16b 05 a16f a163", "READY"},
    {"READY, kind empty", "97 10 00 01 a0 05 a16f a163", "READY"},
    {"READY, kind with NUL", "97 10 00 01 a26b00 05 a16f a163", "READY"},
    {"READY, kind with a line feed", "97 10 00 01 a26b0a 05 a16f a163", "READY"},
    {"READY, kind with a quote", "97 10 00 01 a26b22 05 a16f a163", "READY"},
    {"READY, kind with UTF-8", "97 10 00 01 a2c3a9 05 a16f a163", "READY"},
    {"READY, output with a backslash", "97 10 00 01 a16b 05 a26f5c a163", "READY"},
    {"READY, output as bin", "97 10 00 01 a16b 05 c4016f a163", "READY"},
    {"READY, output as number", "97 10 00 01 a16b 05 06 a163", "READY"},
    {"READY, no features", "97 10 00 01 a16b 00 a16f a163", "READY"},
    {"READY, 131073 features", "97 10 00 01 a16b ce00020001 a16f a163", "READY"},
    {"READY, cage empty", "97 10 00 02 a16b 05 a16f a0", "READY"},
    {"READY, cage with a line feed", "97 10 00 02 a16b 05 a16f a20a78", "READY"},

    {"REFUSE with NUL", "93 11 00 a26e00", "REFUSE"},
    {"REFUSE as bin", "93 11 00 c4026e6f", "REFUSE"},
    {"REFUSE as number", "93 11 00 05", "REFUSE"},
    {"RESULT, no outputs", "94 12 07 90 05", "RESULT"},
    {"RESULT, NaN", "94 12 07 91 " NAN_ " 05", "RESULT"},
    {"RESULT, inf", "94 12 07 91 " INF " 05", "RESULT"},
    {"RESULT, service_ns -1", "94 12 07 91 " ONE " ff", "RESULT"},
    {"RESULT, service_ns as float", "94 12 07 91 " ONE " " ONE, "RESULT"},
};

static void test_cases(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct err e = {0};
        int rc = decode_hex(cases[i].hex, &e);
        if (cases[i].says == NULL) {
            if (rc < 0)
                fail_msg("%s: refused: %s", cases[i].what, e.text);
            continue;
        }
        if (rc == 0)
            fail_msg("%s: taken", cases[i].what);
        assert_string_equal(e.code, "bad-frame");
        if (strstr(e.text, cases[i].says) == NULL)
            fail_msg("%s: \"%s\" does not say \"%s\"", cases[i].what, e.text, cases[i].says);
    }
}

/* One element more than a limit, with all its bytes really there. */
static void test_too_many_numbers(void **state)
{
    static const struct {
        enum wire_type type;
        uint32_t n;
        int rc;
    } limits[] = {
        {WIRE_PREDICT, WIRE_MAX_FEATURES, 0},
        {WIRE_PREDICT, WIRE_MAX_FEATURES + 1, -1},
        {WIRE_RESULT, WIRE_MAX_ROWS, 0},
        {WIRE_RESULT, WIRE_MAX_ROWS + 1, -1},
    };
    (void)state;
    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++) {
        uint32_t n = limits[i].n;
        uint8_t *bytes = calloc(n + 16, 1);
        size_t at = 0;
        assert_non_null(bytes);
        bytes[at++] = 0x94;
        bytes[at++] = (uint8_t)limits[i].type;
        bytes[at++] = 7;
        if (limits[i].type == WIRE_PREDICT)
            bytes[at++] = 1;
        bytes[at++] = 0xdd;
        for (int shift = 24; shift >= 0; shift -= 8)
            bytes[at++] = (uint8_t)(n >> shift);
        at += n; /* so many zeros */
        if (limits[i].type == WIRE_RESULT)
            bytes[at++] = 5;
        assert_int_equal(codec_decode(codec, bytes, at, &m, NULL), limits[i].rc);
        free(bytes);
    }
}

/* What was refused has cost nothing: the bombs announce half a gigabyte. */
static void test_bombs_reserve_nothing(void **state)
{
    struct mallinfo2 before = mallinfo2();
    (void)state;
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(decode_hex("ddff000000", NULL), -1);
        assert_int_equal(decode_hex("dd00ffffff", NULL), -1);
        assert_int_equal(decode_hex("94 01 07 01 c6ffffffff", NULL), -1);
    }
    struct mallinfo2 after = mallinfo2();
    assert_true(after.uordblks + after.hblkhd <= before.uordblks + before.hblkhd + 65536);
}

/* Single bytes, then several, then anything at all: never a crash. */
static void test_mutations(void **state)
{
    enum { N = 200000 };
    struct frame_writer w = {0};
    struct rng rng;
    size_t n_taken = 0;
    (void)state;
    rng_seed(&rng, 20250803);
    for (int i = 0; i < N; i++) {
        static const double x[] = {0.5, 1.25, -3};
        uint8_t *at;
        w.start = w.end = 0;
        if (i % 3 == 0)
            codec_put_predict(&w, rng_next(&rng), 1, x, 3);
        else if (i % 3 == 1)
            codec_put_ready(&w, "kind", 3, "output", "full");
        else
            codec_put_result(&w, rng_next(&rng), x, 3, rng_next(&rng));
        size_t n = w.end - FRAME_HEADER_BYTES - (i % 7 == 0 ? rng_below(&rng, 10) : 0);
        uint8_t *bytes = malloc(n);
        assert_non_null(bytes);
        memcpy(bytes, w.bytes + FRAME_HEADER_BYTES, n);
        for (uint32_t k = i < N / 2 ? 1 : rng_below(&rng, 6); k > 0; k--) {
            at = bytes + rng_below(&rng, (uint32_t)n);
            *at = (uint8_t)rng_next(&rng);
        }
        n_taken += codec_decode(codec, bytes, n, &m, NULL) == 0;
        free(bytes);
    }
    frame_writer_clear(&w);
    print_message("mutations: %zu of %d taken\n", n_taken, N);
    assert_true(n_taken > N / 100 && n_taken < N);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cases),
        cmocka_unit_test(test_too_many_numbers),
        cmocka_unit_test(test_bombs_reserve_nothing),
        cmocka_unit_test(test_mutations),
    };
    return cmocka_run_group_tests_name("codec_refusals", tests, setup, teardown);
}
