/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Starting another program: fork and exec with the descriptors it is given and
 * no others, an environment of its own, and a pidfd to wait for and kill it by.
 */
#ifndef CANARYD_SPAWN_H
#define CANARYD_SPAWN_H

#include <stddef.h>
#include <sys/types.h>

#include "common/err.h"

#define SPAWN_MAX_FDS 4

struct spawn_request {
    const char *const *argv; /* argv[0]: the program's path; NULL-terminated */
    int fds[SPAWN_MAX_FDS];  /* become 3, 4, ... in the child */
    size_t n_fds;
    int output_fd; /* becomes 1 and 2; 0: they are our standard error */
};

struct spawned {
    pid_t pid;
    int pidfd; /* close-on-exec; the caller's */
};

/* 0, or -1 with err ("spawn-failed"). A program that cannot be executed shows
 * as exit status 127. The child dies with the supervisor (PR_SET_PDEATHSIG),
 * leads a process group, has at most 256 descriptors, dumps no core and gains no
 * privileges. How many processes it makes is not bounded here: RLIMIT_NPROC counts
 * those of the user, not its own, and does not bind root. */
int spawn(const struct spawn_request *request, struct spawned *child, struct err *e);

/* SIGKILL through the pidfd, and to the process group that the child leads: its
 * children go with it, unless they made sessions of their own. The child must not
 * have been reaped yet, so neither number can be another's. */
void spawn_kill(const struct spawned *child);

/* Reaps the child behind a pidfd that has become readable, and kills those of its
 * group that it leaves behind. Writes "exit status 3" or "signal 9 (Killed)". 0, or
 * -1 while it is still running. */
int spawn_reap(int pidfd, char *how, size_t size);

/* The directory of the running program, so that its companions are found
 * beside it. 0, or -1 when it can't be told or its path does not fit size. */
int program_dir(char *dir, size_t size);

#endif
