/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The watch over a message's bytes: where heads end, which are fit, which chunks
 * are; whole, and in pieces of every size.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "supervisor/raw_message.h"

#define HEAD    "POST / HTTP/1.1\r\nHost: x\r\n"
#define CHUNKED HEAD "Transfer-Encoding: chunked\r\n\r\n"

static const struct {
    const char *bytes;
    size_t n;          /* 0: strlen */
    const char *fault; /* part of it; NULL: none */
} cases[] = {
    {HEAD "\r\n", 0, NULL},
    {HEAD "Content-Length: 3\r\n\r\na\0b", sizeof HEAD - 1 + 24, NULL}, /* bodies may have NULs */
    {HEAD "\r\nzz\r\n\n\n", 0, NULL},                                   /* nor are they looked at */
    {"POST / HTTP/1.1\nHost: x\n\n", 0, NULL},
    {HEAD "X: a\0b\r\n\r\n", sizeof HEAD - 1 + 10, "NUL"},
    {"POST /\0 HTTP/1.1\r\n\r\n", 20, "NUL"},
    {HEAD "X-Transfer-Encoding: chunked\r\n\r\nzz", 0, NULL},
    {HEAD "Transfer-Encodings: chunked\r\n\r\nzz", 0, NULL},

    {CHUNKED "2\r\n{}\r\n0\r\n\r\n", 0, NULL},
    {CHUNKED "0\r\n\r\n", 0, NULL},
    {CHUNKED "a\r\n0123456789\r\n00\r\n\r\n", 0, NULL},
    {CHUNKED "0000000A\r\n\r\n\r\n\r\n\r\n\r\n\r\n0\r\n\r\n", 0, NULL},
    {CHUNKED "1\r\n\n\r\n0\r\n\r\n", 0, NULL}, /* data is data */
    {CHUNKED "0\r\nX: 1\r\nabc\r\n\r\n", 0, NULL},
    {CHUNKED "0\r\n\r\nzz", 0, NULL}, /* the next message's */
    {CHUNKED "2", 0, NULL},           /* the rest may come */
    {CHUNKED, 0, NULL},
    {HEAD "transfer-ENCODING:chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", 0, NULL},

    {CHUNKED " 2\r\n{}\r\n0\r\n\r\n", 0, "chunks"},
    {CHUNKED "2 \r\n{}\r\n0\r\n\r\n", 0, "chunks"},
    {CHUNKED "2 junk\r\n{}\r\n0\r\n\r\n", 0, "chunks"},
    {CHUNKED "2;a=b\r\n{}\r\n0\r\n\r\n", 0, "chunks"},
    {CHUNKED "+2\r\n{}\r\n0\r\n\r\n", 0, "chunks"},
    {CHUNKED "-2\r\n{}\r\n0\r\n\r\n", 0, "chunks"},
    {CHUNKED "0x2\r\n{}\r\n0\r\n\r\n", 0, "chunks"},
    {CHUNKED "\r\n{}\r\n0\r\n\r\n", 0, "chunks"},
    {CHUNKED "000000002\r\n{}\r\n0\r\n\r\n", 0, "chunks"},
    {CHUNKED "ffffffffffffffff2\r\n{}\r\n0\r\n\r\n", 0, "chunks"},
    {CHUNKED "2\n{}\r\n0\r\n\r\n", 0, "chunks"},
    {CHUNKED "2\r\n{}\n0\r\n\r\n", 0, "chunks"},
    {CHUNKED "2\r\n{}\r\n0\n\r\n", 0, "chunks"},
    {CHUNKED "2\r\n{}\r\n0\r\n\n", 0, "chunks"},
    {CHUNKED "2\r\n{}}\r\n0\r\n\r\n", 0, "chunks"},
    {CHUNKED "3\r\n{}\r\n0\r\n\r\n", 0, "chunks"},
    {CHUNKED "2\r\r\n{}\r\n0\r\n\r\n", 0, "chunks"},
    {CHUNKED "0\r\nX: 1\n\r\n", 0, "chunks"},
    {CHUNKED "0\r\nX: 1\rY\r\n\r\n", 0, "chunks"},
    {"POST / HTTP/1.1\nTransfer-Encoding: chunked\n\n2\n{}\n0\n\n", 0, "chunks"},
};

static void test_cases(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        size_t n = cases[i].n > 0 ? cases[i].n : strlen(cases[i].bytes);
        for (size_t step = 1; step <= n; step++) {
            struct raw_message m;
            raw_message_begin(&m);
            for (size_t at = 0; at < n; at += step)
                raw_message_take(&m, cases[i].bytes + at, at + step < n ? step : n - at);
            const char *fault = raw_message_fault(&m);
            if (cases[i].fault == NULL ? fault != NULL
                                       : fault == NULL || strstr(fault, cases[i].fault) == NULL)
                fail_msg("case %zu by %zu: %s: %s", i, step, cases[i].bytes,
                         fault != NULL ? fault : "no fault");
            assert_true(raw_message_has_head(&m));
        }
    }
}

static void test_where_the_head_ends(void **state)
{
    static const char head[] = "\r\nGET / HTTP/1.1\r\nA: \r\r\n\r\n";
    (void)state;
    struct raw_message m;
    raw_message_begin(&m);
    for (size_t i = 0; i < sizeof head - 1; i++) {
        assert_false(raw_message_has_head(&m));
        raw_message_take(&m, head + i, 1);
    }
    assert_true(raw_message_has_head(&m));
    raw_message_begin(&m);
    assert_false(raw_message_has_head(&m));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_cases),
                                       cmocka_unit_test(test_where_the_head_ends)};
    return cmocka_run_group_tests_name("raw_message", tests, NULL, NULL);
}
