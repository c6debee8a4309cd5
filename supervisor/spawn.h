/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Starting another program: fork and exec with the descriptors it is given and
 * no others, an environment of its own, and a pidfd to wait for and kill it by.
 */
#ifndef CANARYD_SPAWN_H
#define CANARYD_SPAWN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/err.h"

#define SPAWN_MAX_FDS 4

/* What the child may use; 0 leaves a limit as it is. */
struct spawn_limits {
    uid_t uid; /* whom it becomes, without supplementary groups; 0: who we are */
    gid_t gid;
    int64_t memory_bytes; /* of address space (RLIMIT_AS) */
    int64_t file_bytes;   /* of any file that it writes (RLIMIT_FSIZE) */
    int64_t n_files;      /* open at once; at most 256 */
    int64_t cpu_ms;       /* of processor time until spawn_lift_cpu_limit; rounded up to seconds */
};

struct spawn_request {
    const char *const *argv; /* argv[0]: the program's path; NULL-terminated */
    int fds[SPAWN_MAX_FDS];  /* become 3, 4, ... in the child */
    size_t n_fds;
    int output_fd; /* becomes 1 and 2; 0: they are our standard error */
    struct spawn_limits limits;
};

struct spawned {
    pid_t pid;
    int pidfd; /* close-on-exec; the caller's */
};

/* 0, or -1 with err ("spawn-failed"). A program that cannot be executed shows
 * as exit status 127. The child dies with the supervisor (PR_SET_PDEATHSIG),
 * leads a process group, dumps no core and gains no privileges. The program is
 * opened before the child becomes another user, who may not be able to reach it.
 * How many processes it makes is not bounded here: RLIMIT_NPROC counts those of the
 * user, not its own, and does not bind root; a cage forbids them. */
int spawn(const struct spawn_request *request, struct spawned *child, struct err *e);

/* The child has shown that it can start: it may use the processor for ever. Does
 * nothing where the child is another user and we lack CAP_SYS_RESOURCE, as root in
 * a container does: so canary-worker lifts its own. */
void spawn_lift_cpu_limit(const struct spawned *child);

/* SIGKILL through the pidfd, and to the process group that the child leads: its
 * children go with it, unless they made sessions of their own. The child must not
 * have been reaped yet, so neither number can be another's. */
void spawn_kill(const struct spawned *child);

/* Whether the child has ended; it is not reaped yet, and may still be killed. */
bool spawn_has_ended(int pidfd);

/* Reaps the child behind a pidfd that has become readable, and kills those of its
 * group that it leaves behind. Writes "exit status 3" or "signal 9 (Killed)". 0, or
 * -1 while it is still running. */
int spawn_reap(int pidfd, char *how, size_t size);

/* The directory of the running program, so that its companions are found
 * beside it. 0, or -1 when it can't be told or its path does not fit size. */
int program_dir(char *dir, size_t size);

#endif
