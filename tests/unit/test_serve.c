/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The worker's loop, in a child of ours.
 */
#include "worker/serve.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/mem.h"
#include "proto/codec.h"

#define N_TREES    40000 /* which take some microseconds on any machine, and all calls some ms */
#define N_CALLS    40    /* as many as come with one read */
#define N_ATTEMPTS 20

struct child {
    pid_t pid;
    int fd;
    struct codec *codec;
    struct frame_reader in;
    struct frame_writer out;
};

static int slow_model(void)
{
    static const char head[] = "{\"format\":\"canaryd-model\",\"version\":1,"
                               "\"kind\":\"random-forest\",\"n_features\":1,"
                               "\"link\":\"identity\",\"ensemble\":{\"compare\":\"float64\","
                               "\"sum\":\"sequential\",\"trees\":[";
    static const char tree[] = "{\"feature\":[-1],\"threshold\":[0],\"left\":[-1],"
                               "\"right\":[-1],\"value\":[1]}";
    int fd = memfd_create("model", MFD_CLOEXEC);
    FILE *file = fdopen(dup(fd), "w");
    fputs(head, file);
    for (int i = 0; i < N_TREES; i++)
        fprintf(file, "%s%s", i > 0 ? "," : "", tree);
    fputs("]}}", file);
    assert_int_equal(fclose(file), 0);
    return fd;
}

/* Decodes the complete frames that are there and says how many. */
static int take_frames(struct child *c, enum wire_type expected)
{
    const uint8_t *payload;
    struct msg m;
    struct err e = {0};
    size_t n;
    int n_frames = 0;
    for (; frame_reader_next(&c->in, &payload, &n) == 1; n_frames++) {
        assert_int_equal(codec_decode(c->codec, payload, n, &m, &e), 0);
        assert_int_equal(m.type, expected);
    }
    return n_frames;
}

static int await_frames(struct child *c, enum wire_type expected)
{
    int n = 0;
    while (n == 0) {
        assert_true(frame_reader_fill(&c->in, c->fd) > 0);
        n = take_frames(c, expected);
    }
    return n;
}

static void start(struct child *c)
{
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    int model = slow_model();
    *c = (struct child){.pid = fork(), .fd = fds[0], .codec = codec_new()};
    if (c->pid == 0) {
        close(fds[0]);
        _exit(serve(fds[1], model));
    }
    close(fds[1]);
    close(model);
    frame_reader_init(&c->in, WIRE_MAX_ANSWER_BYTES);
    assert_int_equal(await_frames(c, WIRE_READY), 1);
}

static void stop(struct child *c)
{
    int status;
    codec_put_quit(&c->out);
    assert_int_equal(frame_writer_flush(&c->out, c->fd), 0);
    assert_int_equal(waitpid(c->pid, &status, 0), c->pid);
    assert_int_equal(status, 0);
    close(c->fd);
    codec_free(&c->codec);
    frame_reader_clear(&c->in);
    frame_writer_clear(&c->out);
}

/* Asks all at once, and says how many answers the first read brought. */
static int ask_at_once(struct child *c)
{
    const double x = 1;
    for (int i = 1; i <= N_CALLS; i++)
        codec_put_predict(&c->out, (uint64_t)i, 1, &x, 1);
    assert_int_equal(frame_writer_flush(&c->out, c->fd), 0);
    int first = await_frames(c, WIRE_RESULT);
    for (int n = first; n < N_CALLS;)
        n += await_frames(c, WIRE_RESULT);
    return first;
}

/* They came all with one write once, so a worker that was busy with many was silent
 * for so long that it was killed as one that hangs. Who is not scheduled while all are
 * answered sees no difference, so it is tried again. */
static void test_answers_of_a_slow_model_do_not_wait_for_each_other(void **state)
{
    struct child c;
    int first = N_CALLS;
    (void)state;
    start(&c);
    for (int i = 0; i < N_ATTEMPTS && first == N_CALLS; i++)
        first = ask_at_once(&c);
    assert_in_range(first, 1, N_CALLS - 1);
    stop(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers_of_a_slow_model_do_not_wait_for_each_other),
    };
    return cmocka_run_group_tests_name("serve", tests, NULL, NULL);
}
