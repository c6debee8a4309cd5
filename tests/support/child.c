/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * See child.h.
 */
#include "tests/support/child.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static void read_all(int fd, char *said, size_t size)
{
    char rest[4096];
    size_t used = 0;
    for (;;) {
        size_t room = size > used + 1 ? size - used - 1 : 0;
        ssize_t n = room > 0 ? read(fd, said + used, room) : read(fd, rest, sizeof rest);
        if (n <= 0)
            break;
        used += room > 0 ? (size_t)n : 0;
    }
    if (size > 0)
        said[used] = '\0';
}

int child_run(int (*body)(void *arg), void *arg, char *said, size_t size)
{
    int fds[2];
    int status;
    assert_int_equal(pipe(fds), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        if (said != NULL)
            dup2(fds[1], STDERR_FILENO);
        close(fds[0]);
        close(fds[1]);
        _exit(body(arg));
    }
    close(fds[1]);
    read_all(fds[0], said, said != NULL ? size : 0);
    close(fds[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}
