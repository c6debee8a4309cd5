/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A library to be preloaded (LD_PRELOAD) whose disk takes SLOW_DISK_MS for each
 * fsync(2), as an old or a busy one does.
 */
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int fsync(int fd)
{
    const char *ms = getenv("SLOW_DISK_MS");
    long n = ms != NULL ? strtol(ms, NULL, 10) : 0;
    const struct timespec t = {.tv_sec = n / 1000, .tv_nsec = n % 1000 * 1000000};
    nanosleep(&t, NULL);
    return (int)syscall(SYS_fsync, fd);
}
