/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Messages there and back: every message at its bounds, then every cut of it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/codec.h"

static struct codec *codec;
static struct frame_writer writer;
static double many[WIRE_MAX_FEATURES];
static struct msg m;

static int setup(void **state)
{
    (void)state;
    codec = codec_new();
    for (size_t i = 0; i < WIRE_MAX_FEATURES; i++)
        many[i] = (double)i / 8 - 1000;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    codec_free(&codec);
    codec_free(&codec); /* NULL by now */
    frame_writer_clear(&writer);
    return 0;
}

/* The payload of the one frame written; the writer is ready for the next. */
static size_t take_payload(const uint8_t **payload)
{
    size_t n = frame_writer_pending(&writer) - FRAME_HEADER_BYTES;
    const uint8_t *h = writer.bytes + writer.start;
    assert_int_equal((size_t)h[0] << 24 | (size_t)h[1] << 16 | (size_t)h[2] << 8 | h[3], n);
    *payload = h + FRAME_HEADER_BYTES;
    writer.start = writer.end = 0;
    return n;
}

static void decode_one(enum wire_type type, uint64_t id)
{
    const uint8_t *payload;
    struct err e = {0};
    size_t n = take_payload(&payload);
    if (codec_decode(codec, payload, n, &m, &e) < 0)
        fail_msg("type %d: %s", (int)type, e.text);
    assert_int_equal(m.type, type);
    assert_true(m.id == id);
}

static void test_predict(void **state)
{
    static const struct {
        size_t n;
        uint32_t n_rows;
    } cases[] = {
        {1, 1},
        {5, 1},
        {15, 3},
        {63, 1},
        {WIRE_BIN_FROM, 1},
        {WIRE_BIN_FROM + 1, 1},
        {64, 4},
        {640, 64},
        {WIRE_MAX_ROWS, WIRE_MAX_ROWS},
        {WIRE_MAX_FEATURES, 1},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        codec_put_predict(&writer, i, cases[i].n_rows, many, cases[i].n);
        assert_true(frame_writer_pending(&writer) <= WIRE_MAX_FRAME_BYTES);
        decode_one(WIRE_PREDICT, i);
        assert_int_equal(m.n_rows, cases[i].n_rows);
        assert_int_equal(m.n_numbers, cases[i].n);
        assert_memory_equal(m.numbers, many, cases[i].n * sizeof many[0]);
    }
}

/* Bits travel as they are: the smallest, the largest, the negative zero. */
static void test_numbers_keep_their_bits(void **state)
{
    static const double odd[] = {0.0, -0.0, 5e-324, 1.7976931348623157e308, -1e-300, 0.1};
    double longer[WIRE_BIN_FROM] = {0};
    enum { N = sizeof odd / sizeof odd[0] };
    (void)state;
    memcpy(longer, odd, sizeof odd);
    codec_put_predict(&writer, 1, 1, odd, N);
    decode_one(WIRE_PREDICT, 1);
    assert_memory_equal(m.numbers, odd, sizeof odd);
    codec_put_predict(&writer, 2, 1, longer, WIRE_BIN_FROM);
    decode_one(WIRE_PREDICT, 2);
    assert_memory_equal(m.numbers, longer, sizeof longer);
    codec_put_result(&writer, 3, odd, N, 7);
    decode_one(WIRE_RESULT, 3);
    assert_memory_equal(m.numbers, odd, sizeof odd);
}

static void test_ids(void **state)
{
    static const uint64_t ids[] = {0, 127, 128, 65536, UINT64_C(1) << 63, UINT64_MAX};
    (void)state;
    for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++) {
        codec_put_ping(&writer, ids[i]);
        decode_one(WIRE_PING, ids[i]);
        codec_put_pong(&writer, ids[i]);
        decode_one(WIRE_PONG, ids[i]);
        codec_put_fault(&writer, ids[i], "why");
        decode_one(WIRE_FAULT, ids[i]);
        assert_string_equal(m.text, "why");
        codec_put_result(&writer, ids[i], many, 1, ids[i]);
        decode_one(WIRE_RESULT, ids[i]);
        assert_true(m.service_ns == ids[i]);
    }
}

static void test_delay_and_quit(void **state)
{
    static const double ms[] = {0, 0.5, 10, WIRE_MAX_DELAY_MS};
    (void)state;
    for (size_t i = 0; i < sizeof ms / sizeof ms[0]; i++) {
        codec_put_delay(&writer, ms[i]);
        decode_one(WIRE_DELAY, 0);
        assert_true(m.delay_ms == ms[i]);
    }
    codec_put_quit(&writer);
    decode_one(WIRE_QUIT, 0);
}

static void test_ready(void **state)
{
    char name[WIRE_MAX_NAME + 1] = {0};
    (void)state;
    memset(name, 'x', WIRE_MAX_NAME);
    codec_put_ready(&writer, "random-forest", 1, "score", "no landlock; runs as root");
    decode_one(WIRE_READY, 0);
    assert_int_equal(m.version, WIRE_VERSION);
    assert_string_equal(m.kind, "random-forest");
    assert_int_equal(m.n_features, 1);
    assert_string_equal(m.output, "score");
    assert_string_equal(m.cage, "no landlock; runs as root");
    codec_put_ready(&writer, name, WIRE_MAX_FEATURES, name, name);
    decode_one(WIRE_READY, 0);
    assert_string_equal(m.kind, name);
    assert_string_equal(m.output, name);
    assert_string_equal(m.cage, name);
    assert_int_equal(m.n_features, WIRE_MAX_FEATURES);
}

static void test_texts_are_cut(void **state)
{
    char text[2 * WIRE_MAX_TEXT];
    (void)state;
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    codec_put_refuse(&writer, text);
    decode_one(WIRE_REFUSE, 0);
    assert_int_equal(strlen(m.text), WIRE_MAX_TEXT);
    codec_put_refuse(&writer, "");
    decode_one(WIRE_REFUSE, 0);
    assert_string_equal(m.text, "");
    /* A worker in another language may send more. */
    uint8_t longer[6 + 1000] = {0x93, WIRE_REFUSE, 0, 0xda, 1000 >> 8, 1000 & 0xff};
    memset(longer + 6, 'y', 1000);
    assert_int_equal(codec_decode(codec, longer, sizeof longer, &m, NULL), 0);
    assert_int_equal(strlen(m.text), WIRE_MAX_TEXT);
}

/* Whoever says it, it ends up in JSON: also what a cut through a character left. */
static void test_texts_become_utf8(void **state)
{
    char text[WIRE_MAX_TEXT + 2] = {0};
    (void)state;
    codec_put_fault(&writer, 1, "caf\xe9 \xc3\xa9 \xff");
    decode_one(WIRE_FAULT, 1);
    assert_string_equal(m.text, "caf? \xc3\xa9 ?");
    memset(text, 'x', WIRE_MAX_TEXT - 1);
    memcpy(text + WIRE_MAX_TEXT - 1, "\xc3\xa9", 2);
    codec_put_refuse(&writer, text);
    decode_one(WIRE_REFUSE, 0);
    assert_int_equal(strlen(m.text), WIRE_MAX_TEXT);
    assert_string_equal(m.text + WIRE_MAX_TEXT - 2, "x?");
}

/* An answer without numbers leaves none from the answer before. */
static void test_nothing_is_left_over(void **state)
{
    const uint8_t *payload;
    (void)state;
    codec_put_fault(&writer, 1, "why");
    size_t n = take_payload(&payload);
    memset(&m, 0xa5, sizeof m);
    assert_int_equal(codec_decode(codec, payload, n, &m, NULL), 0);
    assert_null(m.numbers);
    assert_int_equal(m.n_numbers, 0);
    assert_true(m.service_ns == 0);
}

/* --- Cuts and mutations -----------------------------------------------------*/

enum { N_SAMPLES = 11 };

/* One valid message of each kind, and those with a second form. */
static void put_sample(int i)
{
    static void (*const bare[])(struct frame_writer *, uint64_t) = {codec_put_ping, codec_put_pong};
    switch (i) {
    case 0:
    case 1:
        bare[i](&writer, UINT64_MAX);
        break;
    case 2:
        codec_put_predict(&writer, 1, 2, many, 6);
        break;
    case 3:
        codec_put_predict(&writer, 1, 1, many, WIRE_BIN_FROM);
        break;
    case 4:
        codec_put_delay(&writer, 2.5);
        break;
    case 5:
        codec_put_quit(&writer);
        break;
    case 6:
        codec_put_ready(&writer, "a-kind-of-more-than-31-bytes-in-all", 5, "score", "full");
        break;
    case 7:
        codec_put_refuse(&writer, "no");
        break;
    case 8:
        codec_put_result(&writer, 300, many, 3, 70000);
        break;
    case 9:
        codec_put_result(&writer, 300, many, 20, 70000);
        break;
    default:
        codec_put_fault(&writer, 5, "no");
        break;
    }
}

/* Decodes a copy that ends where its memory ends, for the sanitizers to see. */
static int decode_copy(const uint8_t *bytes, size_t n)
{
    struct err e = {0};
    uint8_t *copy = malloc(n + (n == 0));
    assert_non_null(copy);
    memcpy(copy, bytes, n);
    int rc = codec_decode(codec, copy, n, &m, &e);
    free(copy);
    if (rc < 0)
        assert_string_equal(e.code, "bad-frame");
    return rc;
}

static void test_every_cut_is_refused(void **state)
{
    (void)state;
    for (int i = 0; i < N_SAMPLES; i++) {
        const uint8_t *payload;
        put_sample(i);
        size_t n = take_payload(&payload);
        assert_int_equal(decode_copy(payload, n), 0);
        for (size_t cut = 0; cut < n; cut++)
            if (decode_copy(payload, cut) == 0)
                fail_msg("sample %d: its first %zu of %zu bytes were taken", i, cut, n);
    }
}

static void test_left_over_bytes_are_refused(void **state)
{
    (void)state;
    for (int i = 0; i < N_SAMPLES; i++) {
        put_sample(i);
        for (int extra = 0; extra < 256; extra++) {
            const uint8_t byte = (uint8_t)extra;
            const uint8_t *payload;
            frame_append(&writer, &byte, 1);
            frame_end(&writer);
            size_t n = take_payload(&payload);
            assert_int_equal(decode_copy(payload, n), -1);
            writer.end = n + FRAME_HEADER_BYTES - 1;
        }
        writer.end = 0;
    }
}

/* What is decoded keeps its promises, however it came about. */
static void check_promises(void)
{
    for (size_t k = 0; k < m.n_numbers; k++)
        assert_true(m.numbers[k] - m.numbers[k] == 0); /* finite */
    if (m.type == WIRE_PREDICT) {
        assert_true(m.n_rows >= 1 && m.n_rows <= WIRE_MAX_ROWS);
        assert_true(m.n_numbers >= 1 && m.n_numbers <= WIRE_MAX_FEATURES);
        assert_int_equal(m.n_numbers % m.n_rows, 0);
    }
    if (m.type == WIRE_DELAY)
        assert_true(m.delay_ms >= 0 && m.delay_ms <= WIRE_MAX_DELAY_MS);
    if (m.type == WIRE_READY)
        assert_true(strlen(m.kind) >= 1 && strlen(m.kind) <= WIRE_MAX_NAME &&
                    strlen(m.output) >= 1 && strlen(m.output) <= WIRE_MAX_NAME &&
                    strlen(m.cage) >= 1 && strlen(m.cage) <= WIRE_MAX_NAME);
    if (m.type == WIRE_REFUSE || m.type == WIRE_FAULT)
        assert_true(strlen(m.text) <= WIRE_MAX_TEXT);
}

/* Every byte of every sample, made into every other byte. */
static void test_every_single_byte(void **state)
{
    size_t n_taken = 0;
    size_t n_refused = 0;
    (void)state;
    for (int i = 0; i < N_SAMPLES; i++) {
        uint8_t bytes[1024];
        const uint8_t *payload;
        put_sample(i);
        size_t n = take_payload(&payload);
        assert_true(n <= sizeof bytes);
        memcpy(bytes, payload, n);
        for (size_t at = 0; at < n; at++)
            for (int value = 0; value < 256; value++) {
                bytes[at] = (uint8_t)value;
                if (decode_copy(bytes, n) == 0) {
                    n_taken++;
                    check_promises();
                } else {
                    n_refused++;
                }
                bytes[at] = payload[at];
            }
    }
    print_message("single bytes: %zu taken, %zu refused\n", n_taken, n_refused);
    assert_true(n_taken > 0 && n_refused > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_predict),
        cmocka_unit_test(test_numbers_keep_their_bits),
        cmocka_unit_test(test_ids),
        cmocka_unit_test(test_delay_and_quit),
        cmocka_unit_test(test_ready),
        cmocka_unit_test(test_texts_are_cut),
        cmocka_unit_test(test_texts_become_utf8),
        cmocka_unit_test(test_nothing_is_left_over),
        cmocka_unit_test(test_every_cut_is_refused),
        cmocka_unit_test(test_left_over_bytes_are_refused),
        cmocka_unit_test(test_every_single_byte),
    };
    return cmocka_run_group_tests_name("codec", tests, setup, teardown);
}
