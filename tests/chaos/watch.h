/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What /proc says about a process: how much it holds, and whose parent it is.
 */
#ifndef CANARYD_TESTS_WATCH_H
#define CANARYD_TESTS_WATCH_H

#include <sys/types.h>

struct usage {
    long rss_kb;
    int n_fds;
};

/* Zeros when there is no such process. */
struct usage watch_usage(pid_t pid);

/* Living children of the process: up to max pids are written, all are counted. */
int watch_children(pid_t parent, pid_t *pids, int max);

/* From now on a process whose parent dies becomes a child of this one, so that
 * no orphan gets lost. */
void watch_adopt(void);

/* Reaps the dead ones of those adopted, but never this child. */
void watch_bury(pid_t except);

#endif
