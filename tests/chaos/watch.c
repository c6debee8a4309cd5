/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * See watch.h.
 */
#include "tests/chaos/watch.h"

#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>

static long read_rss_kb(pid_t pid)
{
    char path[64], line[256];
    long kb = 0;
    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    FILE *f = fopen(path, "re");
    while (f != NULL && fgets(line, sizeof line, f) != NULL)
        if (strncmp(line, "VmRSS:", 6) == 0)
            kb = strtol(line + 6, NULL, 10);
    if (f != NULL)
        fclose(f);
    return kb;
}

static int count_fds(pid_t pid)
{
    char path[64];
    int n = 0;
    snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
    DIR *d = opendir(path);
    for (const struct dirent *x; d != NULL && (x = readdir(d)) != NULL;)
        n += x->d_name[0] != '.';
    if (d != NULL)
        closedir(d);
    return n;
}

struct usage watch_usage(pid_t pid)
{
    return (struct usage){.rss_kb = read_rss_kb(pid), .n_fds = count_fds(pid)};
}

/* The parent of a process that lives; 0 of a zombie, or of none. */
static pid_t parent_of(pid_t pid)
{
    char path[64], line[512], state = 'X';
    int parent = 0;
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *f = fopen(path, "re");
    const char *end = f != NULL && fgets(line, sizeof line, f) != NULL ? strrchr(line, ')') : NULL;
    bool whole = end != NULL && sscanf(end + 1, " %c %d", &state, &parent) == 2;
    if (f != NULL)
        fclose(f);
    return whole && state != 'Z' && state != 'X' ? (pid_t)parent : 0;
}

int watch_children(pid_t parent, pid_t *pids, int max)
{
    int n = 0;
    DIR *d = opendir("/proc");
    for (const struct dirent *x; d != NULL && (x = readdir(d)) != NULL;) {
        pid_t pid = (pid_t)strtol(x->d_name, NULL, 10);
        if (pid <= 0 || parent_of(pid) != parent)
            continue;
        if (n < max)
            pids[n] = pid;
        n++;
    }
    if (d != NULL)
        closedir(d);
    return n;
}

void watch_adopt(void)
{
    prctl(PR_SET_CHILD_SUBREAPER, 1);
}

void watch_bury(pid_t except)
{
    siginfo_t info = {0};
    while (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid != 0 &&
           info.si_pid != except) {
        waitpid(info.si_pid, NULL, WNOHANG);
        info.si_pid = 0;
    }
}
