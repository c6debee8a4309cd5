/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A library to be preloaded (LD_PRELOAD) into a canaryd under callgrind, for
 * tests/bench/instructions.py. Debian 12's valgrind knows neither openat2(2) nor
 * pidfd_open(2) nor close_range(2), and refuses a child the limit on descriptors
 * that canaryd gives it. Here the first opens unconfined, the second never tells
 * of a death, and the limit is not set. SIGUSR1 has callgrind write what was
 * counted since the last time: callgrind_control would need ptrace.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#if __has_include(<valgrind/callgrind.h>)
#include <valgrind/callgrind.h>
#else
#define CALLGRIND_DUMP_STATS (void)0
#endif

#define MAX_ARGUMENTS 6
#define MAX_FD        1024 /* that a canaryd which serves a bench has open */

long syscall(long number, ...);

static void on_usr1(int number)
{
    int saved = errno;
    (void)number;
    CALLGRIND_DUMP_STATS;
    errno = saved;
}

__attribute__((constructor)) static void begin(void)
{
    struct sigaction action = {.sa_handler = on_usr1, .sa_flags = SA_RESTART};
    sigaction(SIGUSR1, &action, NULL);
}

static long close_all(long first)
{
    for (long fd = first; fd < MAX_FD; fd++)
        close((int)fd);
    return 0;
}

long syscall(long number, ...)
{
    long (*real)(long, ...) = __extension__(long (*)(long, ...)) dlsym(RTLD_NEXT, "syscall");
    long a[MAX_ARGUMENTS];
    va_list arguments;
    va_start(arguments, number);
    for (int i = 0; i < MAX_ARGUMENTS; i++)
        a[i] = va_arg(arguments, long);
    va_end(arguments);
    if (number == SYS_pidfd_open)
        return eventfd(0, EFD_CLOEXEC);
    if (number == SYS_close_range)
        return close_all(a[0]);
    if (number != SYS_openat2)
        return real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
    const struct open_how *how = (const struct open_how *)a[2];
    return openat((int)a[0], (const char *)a[1], (int)how->flags, 0);
}

/* Valgrind keeps the highest descriptors to itself. */
int setrlimit(__rlimit_resource_t resource, const struct rlimit *limit)
{
    return resource == RLIMIT_NOFILE ? 0 : prlimit(0, resource, limit, NULL);
}
