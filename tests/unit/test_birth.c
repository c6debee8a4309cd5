/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The birth of a process: its own, a child's with a nasty name, a zombie's.
 */
#include <inttypes.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/birth.h"

static uint64_t now_ticks(void)
{
    struct timespec t;
    assert_int_equal(clock_gettime(CLOCK_BOOTTIME, &t), 0);
    return (uint64_t)t.tv_sec * (uint64_t)sysconf(_SC_CLK_TCK) +
           (uint64_t)t.tv_nsec / (1000000000 / (uint64_t)sysconf(_SC_CLK_TCK));
}

static void test_own(void **state)
{
    uint64_t birth = birth_of_process(getpid());
    (void)state;
    assert_true(birth > 0);
    assert_true(birth == birth_of_process(getpid()));
    assert_true(birth <= now_ticks() + 1);
}

static void test_nobody(void **state)
{
    (void)state;
    assert_true(birth_of_process(0) == 0);
    assert_true(birth_of_process(-1) == 0);
    assert_true(birth_of_process(INT64_MAX) == 0);
}

/* A child that tells by a byte that it has its name, and waits to be killed. */
static pid_t start_child(const char *name)
{
    int fds[2];
    char byte;
    assert_int_equal(pipe(fds), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        prctl(PR_SET_NAME, name);
        if (write(fds[1], "x", 1) == 1)
            pause();
        _exit(1);
    }
    assert_int_equal(read(fds[0], &byte, 1), 1);
    close(fds[0]);
    close(fds[1]);
    return pid;
}

/* A name may look like the end of the name and a zombie's state. */
static void test_nasty_names(void **state)
{
    static const char *const names[] = {"plain", "a) Z 1 2", ") (", "a b c", "))))"};
    uint64_t own = birth_of_process(getpid());
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        pid_t pid = start_child(names[i]);
        uint64_t birth = birth_of_process(pid);
        kill(pid, SIGKILL);
        siginfo_t info;
        assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
        uint64_t of_zombie = birth_of_process(pid);
        assert_int_equal(waitpid(pid, NULL, 0), pid);
        if (birth < own || birth > now_ticks() + 1)
            fail_msg("%s: birth %" PRIu64 ", mine %" PRIu64, names[i], birth, own);
        assert_true(of_zombie == 0);
        assert_true(birth_of_process(pid) == 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_own),
        cmocka_unit_test(test_nobody),
        cmocka_unit_test(test_nasty_names),
    };
    return cmocka_run_group_tests_name("birth", tests, NULL, NULL);
}
