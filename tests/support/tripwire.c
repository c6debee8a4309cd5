/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A library to preload into canaryd, built as tripwire.so: kills the process just
 * before the n-th of the calls below, by which it changes files and processes.
 * n is the text of the file that TRIPWIRE_VARIABLE names; counting begins when
 * that file is there. Which call it was is told on standard error.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/tripwire.h"

static atomic_long n_left; /* 0: not armed */
static atomic_bool is_armed;
static pid_t owner; /* a child counts nothing before its exec */

static void arm(void)
{
    char text[16] = "";
    const char *path = getenv(TRIPWIRE_VARIABLE);
    long fd = path != NULL ? syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0) : -1;
    if (fd < 0)
        return;
    if (syscall(SYS_read, fd, text, sizeof text - 1) > 0 && !atomic_load(&is_armed)) {
        owner = getpid();
        atomic_store(&n_left, strtol(text, NULL, 10));
        atomic_store(&is_armed, true);
    }
    syscall(SYS_close, fd);
}

static void pass(const char *call, const char *what)
{
    char line[400];
    if (!atomic_load(&is_armed))
        arm();
    if (!atomic_load(&is_armed) || getpid() != owner || atomic_fetch_sub(&n_left, 1) != 1)
        return;
    int n = snprintf(line, sizeof line, TRIPWIRE_TELLS "%s %s\n", call, what);
    syscall(SYS_write, STDERR_FILENO, line, n);
    syscall(SYS_kill, getpid(), SIGKILL);
}

union function {
    void *object;
    int (*of_fd)(int);
    int (*of_path)(const char *);
    int (*of_path_mode)(const char *, mode_t);
    int (*of_two_paths)(const char *, const char *);
    int (*of_place)(int, const char *, int);
    int (*open)(const char *, int, ...);
    ssize_t (*write)(int, const void *, size_t);
    pid_t (*fork)(void);
    int (*kill)(pid_t, int);
    int (*socketpair)(int, int, int, int[2]);
    int (*memfd_create)(const char *, unsigned);
    int (*waitid)(idtype_t, id_t, siginfo_t *, int);
};

/* The one that stands behind ours. */
static union function next(const char *name)
{
    return (union function){.object = dlsym(RTLD_NEXT, name)};
}

/* --- What is counted ----------------------------------------------------------*/

int open(const char *path, int flags, ...)
{
    mode_t mode = 0;
    if ((flags & O_CREAT) != 0) {
        va_list rest;
        va_start(rest, flags);
        mode = va_arg(rest, mode_t);
        va_end(rest);
        pass("open", path);
    }
    return next("open").open(path, flags, mode);
}

/* Not what is said on standard error. */
ssize_t write(int fd, const void *bytes, size_t n)
{
    if (fd > STDERR_FILENO)
        pass("write", n == sizeof(uint64_t) ? "of an event" : "of bytes");
    return next("write").write(fd, bytes, n);
}

int fsync(int fd)
{
    pass("fsync", "");
    return next("fsync").of_fd(fd);
}

int fdatasync(int fd)
{
    pass("fdatasync", "");
    return next("fdatasync").of_fd(fd);
}

int rename(const char *from, const char *to)
{
    pass("rename to", to);
    return next("rename").of_two_paths(from, to);
}

int unlink(const char *path)
{
    pass("unlink", path);
    return next("unlink").of_path(path);
}

int unlinkat(int dir, const char *path, int flags)
{
    pass("unlinkat", path);
    return next("unlinkat").of_place(dir, path, flags);
}

int mkdir(const char *path, mode_t mode)
{
    pass("mkdir", path);
    return next("mkdir").of_path_mode(path, mode);
}

int memfd_create(const char *name, unsigned flags)
{
    pass("memfd_create", name);
    return next("memfd_create").memfd_create(name, flags);
}

int socketpair(int domain, int type, int protocol, int fds[2])
{
    pass("socketpair", "");
    return next("socketpair").socketpair(domain, type, protocol, fds);
}

pid_t fork(void)
{
    pass("fork", "");
    return next("fork").fork();
}

int kill(pid_t pid, int signal)
{
    pass("kill", "");
    return next("kill").kill(pid, signal);
}

int waitid(idtype_t type, id_t id, siginfo_t *info, int options)
{
    pass("waitid", (options & WNOWAIT) != 0 ? "without reaping" : "");
    return next("waitid").waitid(type, id, info, options);
}
