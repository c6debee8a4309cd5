/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Frames over a real socket pair: whole, in pieces, many at once, too long, and
 * a peer that does not read.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/fdio.h"
#include "proto/frame.h"

#define MAX_PAYLOAD 100000

static int fds[2]; /* we write to the first and read from the second */
static struct frame_reader reader;
static struct frame_writer writer;

static int setup(void **state)
{
    (void)state;
    frame_reader_init(&reader, MAX_PAYLOAD);
    writer = (struct frame_writer){0};
    return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds);
}

static int teardown(void **state)
{
    (void)state;
    frame_reader_clear(&reader);
    frame_writer_clear(&writer);
    fd_close(&fds[0]);
    fd_close(&fds[1]);
    return 0;
}

static void send_bytes(const void *bytes, size_t n)
{
    assert_int_equal(send(fds[0], bytes, n, 0), n);
}

static void fill(void)
{
    assert_true(frame_reader_fill(&reader, fds[1]) > 0);
}

static uint8_t byte_at(size_t frame, size_t i)
{
    return (uint8_t)(frame * 7 + i * 13 + (i >> 8));
}

/* Appends a frame of n bytes whose content tells its number. */
static void put_frame(size_t number, size_t n)
{
    uint8_t *bytes = malloc(n);
    assert_non_null(bytes);
    for (size_t i = 0; i < n; i++)
        bytes[i] = byte_at(number, i);
    frame_begin(&writer);
    frame_append(&writer, bytes, n / 2); /* in two pieces: it may be appended so */
    frame_append(&writer, bytes + n / 2, n - n / 2);
    frame_end(&writer);
    free(bytes);
}

static void check_frame(size_t number, size_t n)
{
    const uint8_t *payload = NULL;
    size_t got = 0;
    assert_int_equal(frame_reader_next(&reader, &payload, &got), 1);
    assert_int_equal(got, n);
    for (size_t i = 0; i < n; i++)
        if (payload[i] != byte_at(number, i))
            fail_msg("frame %zu: byte %zu is wrong", number, i);
}

static void assert_none(void)
{
    const uint8_t *payload;
    size_t n;
    assert_int_equal(frame_reader_next(&reader, &payload, &n), 0);
}

static void test_the_bytes_of_a_frame(void **state)
{
    (void)state;
    frame_begin(&writer);
    frame_append(&writer, "hello", 5);
    frame_end(&writer);
    assert_int_equal(frame_writer_pending(&writer), 9);
    assert_memory_equal(writer.bytes + writer.start, "\0\0\0\5hello", 9);
    frame_writer_clear(&writer);
    assert_int_equal(frame_writer_pending(&writer), 0);
    assert_int_equal(frame_writer_flush(&writer, -1), 0); /* nothing to send: no system call */
}

static void test_several_in_one_read(void **state)
{
    enum { N = 20 };
    (void)state;
    for (size_t i = 0; i < N; i++)
        put_frame(i, 1 + i * 30);
    assert_int_equal(frame_writer_flush(&writer, fds[0]), 0);
    assert_int_equal(frame_writer_pending(&writer), 0);
    assert_none();
    fill();
    for (size_t i = 0; i < N; i++)
        check_frame(i, 1 + i * 30);
    assert_none();
}

static void test_byte_at_a_time(void **state)
{
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        put_frame(i, 5 + i);
        const uint8_t *bytes = writer.bytes;
        size_t n = frame_writer_pending(&writer);
        for (size_t k = 0; k < n; k++) {
            assert_none();
            send_bytes(bytes + k, 1);
            fill();
        }
        check_frame(i, 5 + i);
        frame_writer_clear(&writer);
    }
    assert_none();
}

static void test_length_prefix(void **state)
{
    static const struct {
        const char *header;
        int rc;
        size_t n;
    } cases[] = {
        {"\0\0\0\0", -1, 0},
        {"\xff\xff\xff\xff", -1, 0xffffffff},
        {"\x80\0\0\0", -1, 0x80000000},
        {"\0\x01\x86\xa1", -1, MAX_PAYLOAD + 1},
        {"\0\x01\x86\xa0", 0, MAX_PAYLOAD},
        {"\0\0\0\1", 0, 1},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const uint8_t *payload = NULL;
        size_t n = 0;
        send_bytes(cases[i].header, 4);
        fill();
        assert_int_equal(frame_reader_next(&reader, &payload, &n), cases[i].rc);
        assert_int_equal(n, cases[i].n);
        assert_null(payload);
        assert_true(reader.size <= 1 << 16); /* an announcement reserves nothing */
        frame_reader_clear(&reader);
    }
}

/* Good frames before a bad prefix are still handed out. */
static void test_good_before_bad(void **state)
{
    const uint8_t *payload;
    size_t n;
    (void)state;
    put_frame(1, 3);
    frame_append(&writer, "\0\0\0\0", 4);
    assert_int_equal(frame_writer_flush(&writer, fds[0]), 0);
    fill();
    check_frame(1, 3);
    assert_int_equal(frame_reader_next(&reader, &payload, &n), -1);
    assert_int_equal(frame_reader_next(&reader, &payload, &n), -1);
}

static void test_ends_of_a_socket(void **state)
{
    (void)state;
    assert_int_equal(frame_reader_fill(&reader, fds[1]), -1);
    assert_true(errno == EAGAIN || errno == EWOULDBLOCK);
    put_frame(0, 10);
    assert_int_equal(send(fds[0], writer.bytes, 8, 0), 8);
    fd_close(&fds[0]);
    fill();
    assert_none();
    assert_int_equal(frame_reader_fill(&reader, fds[1]), 0);
    assert_none(); /* half a frame is none */
    assert_int_equal(frame_writer_flush(&writer, fds[1]), -1);
    assert_int_equal(errno, EPIPE);
    assert_int_equal(frame_writer_pending(&writer), 14);
}

static void make_buffers_small(void)
{
    const int small = 4096;
    assert_int_equal(setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof small), 0);
    assert_int_equal(setsockopt(fds[1], SOL_SOCKET, SO_RCVBUF, &small, sizeof small), 0);
}

/* The socket takes what it can; the rest goes later, in order. */
static void test_partial_sends(void **state)
{
    enum { N = 8 };
    size_t n_read = 0;
    size_t n_stuck = 0;
    (void)state;
    make_buffers_small();
    for (size_t i = 0; i < N; i++)
        put_frame(i, MAX_PAYLOAD - i);
    for (int turns = 0; n_read < N; turns++) {
        const uint8_t *payload;
        size_t n;
        size_t before = frame_writer_pending(&writer);
        assert_true(turns < 100000);
        assert_int_equal(frame_writer_flush(&writer, fds[0]), 0);
        assert_int_equal(frame_writer_flush(&writer, fds[0]), 0);
        n_stuck += before > 0 && frame_writer_pending(&writer) > 0;
        if (frame_reader_fill(&reader, fds[1]) < 0)
            assert_int_equal(errno, EAGAIN);
        struct frame_reader look = reader;
        if (frame_reader_next(&look, &payload, &n) == 1) {
            check_frame(n_read, MAX_PAYLOAD - n_read);
            n_read++;
        }
    }
    assert_int_equal(frame_writer_pending(&writer), 0);
    assert_true(n_stuck > N);
}

/* A peer that is always a little behind: something is pending all the time, but
 * never much. The writer's buffer grew with all that was ever sent. */
static void test_buffers_do_not_grow_with_the_traffic(void **state)
{
    enum { ROUNDS = 20000, SIZE = 500, BEHIND = 64 };
    size_t n_put = 0;
    size_t n_read = 0;
    (void)state;
    make_buffers_small();
    while (n_read < ROUNDS) {
        while (n_put < n_read + BEHIND)
            put_frame(n_put++, SIZE);
        assert_int_equal(frame_writer_flush(&writer, fds[0]), 0);
        assert_true(frame_writer_pending(&writer) > 0);
        fill();
        const uint8_t *payload;
        size_t n;
        for (struct frame_reader look = reader; frame_reader_next(&look, &payload, &n) == 1;
             n_read++)
            check_frame(n_read, SIZE);
    }
    assert_true(writer.size <= 4 * BEHIND * SIZE);
    assert_true(reader.size <= 4 * BEHIND * SIZE);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_the_bytes_of_a_frame), CASE(test_several_in_one_read),
        CASE(test_byte_at_a_time),       CASE(test_length_prefix),
        CASE(test_good_before_bad),      CASE(test_ends_of_a_socket),
        CASE(test_partial_sends),        CASE(test_buffers_do_not_grow_with_the_traffic),
    };
    return cmocka_run_group_tests_name("frame", tests, NULL, NULL);
}
