/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Signals that come between fork and exec: a child shares its parent's handlers
 * and what they write to until it has put them off.
 */
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/fdio.h"
#include "supervisor/spawn.h"

#define PATIENCE_MS 20000

static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
enum { N_SIGNALS = sizeof signals / sizeof signals[0] };

static int pipe_ends[2]; /* as libevent's: what a handler got goes through it */

static void on_signal(int number)
{
    const unsigned char byte = (unsigned char)number;
    ssize_t ignored = write(pipe_ends[1], &byte, 1);
    (void)ignored;
}

/* In the child, as soon as there is one. */
static void just_after_fork(void)
{
    for (size_t i = 0; i < N_SIGNALS; i++)
        kill(getpid(), signals[i]);
}

static void wait_for_end(struct spawned *child, char *how, size_t size)
{
    struct pollfd p = {.fd = child->pidfd, .events = POLLIN};
    assert_int_equal(poll(&p, 1, PATIENCE_MS), 1);
    assert_int_equal(spawn_reap(child->pidfd, how, size), 0);
    fd_close(&child->pidfd);
}

static void assert_mask_is(const sigset_t *before)
{
    sigset_t now;
    sigprocmask(SIG_SETMASK, NULL, &now);
    for (int i = 1; i < SIGRTMIN; i++)
        assert_int_equal(sigismember(&now, i), sigismember(before, i));
}

/* A signal to the whole group reaches the child too, at a bad moment. It is not
 * counted again, and the child, which was not meant, lives on. */
static void test_between_fork_and_exec(void **state)
{
    static const char *const argv[] = {"/bin/sh", "-c", "exit 7", NULL};
    const struct spawn_request request = {.argv = argv};
    struct spawned child;
    struct err e = {0};
    char how[80];
    unsigned char byte;
    sigset_t before;
    (void)state;
    sigprocmask(SIG_SETMASK, NULL, &before);
    assert_int_equal(spawn(&request, &child, &e), 0);
    assert_mask_is(&before);
    wait_for_end(&child, how, sizeof how);
    assert_string_equal(how, "exit status 7");
    assert_int_equal(read(pipe_ends[0], &byte, 1), -1); /* empty */
    kill(getpid(), SIGHUP);                             /* and ours still come */
    assert_int_equal(read(pipe_ends[0], &byte, 1), 1);
    assert_int_equal(byte, SIGHUP);
}

static int setup(void **state)
{
    struct sigaction action = {.sa_handler = on_signal};
    (void)state;
    if (pipe2(pipe_ends, O_CLOEXEC | O_NONBLOCK) < 0)
        return -1;
    for (size_t i = 0; i < N_SIGNALS; i++)
        sigaction(signals[i], &action, NULL);
    return pthread_atfork(NULL, NULL, just_after_fork);
}

static int teardown(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_SIGNALS; i++)
        signal(signals[i], SIG_DFL);
    fd_close(&pipe_ends[0]);
    fd_close(&pipe_ends[1]);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_between_fork_and_exec, setup, teardown),
    };
    return cmocka_run_group_tests_name("spawn_signals", tests, NULL, NULL);
}
