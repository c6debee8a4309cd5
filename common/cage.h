/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The cage that a process locks itself into before it reads what others wrote:
 * Landlock with an empty ruleset (no file is opened, no address bound or
 * connected), and a seccomp filter that kills it at the first system call that
 * its work does not need. What must happen before exec (limits, user) is
 * supervisor/spawn.c's; docs/security.md tells the whole.
 */
#ifndef CANARYD_CAGE_H
#define CANARYD_CAGE_H

#include <stdbool.h>
#include <stddef.h>

#include "common/err.h"

enum cage_policy {
    CAGE_WORKER, /* what canary-worker needs to read its model and serve */
    CAGE_PYTHON, /* what Python needs to unpickle a model, and to export or serve it */
    N_CAGE_POLICIES
};

#define CAGE_LEVEL_SIZE 65 /* a wire name and its NUL */

/* Locks the calling process in as tightly as the kernel allows, for good. level
 * becomes "full", or what is missing: "no landlock; runs as root". A build that
 * cannot be caged, because its tools open files at the end, says only what it is:
 * "sanitizer build". Call it once, with one thread. */
void cage_enter(enum cage_policy policy, char level[CAGE_LEVEL_SIZE]);

/* NULL, or why this build's own programs are not caged. */
const char *cage_exempt(void);

/* Writes the policy's filter to fd as an array of struct sock_filter, for a
 * program that is not ours to install. 0, or -1 with err, code "cage-missing". */
int cage_write_filter(enum cage_policy policy, int fd, struct err *e);

#endif
