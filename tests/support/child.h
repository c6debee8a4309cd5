/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A piece of a test in a process of its own: for what ends a process, writes
 * on standard error or wants particular descriptors and variables.
 */
#ifndef CANARYD_TESTS_CHILD_H
#define CANARYD_TESTS_CHILD_H

#include <stddef.h>

/* Runs body(arg) in a forked child and waits for it. Its standard error becomes
 * the string said (cut to size; said may be NULL). Returns what body returned,
 * or its exit status, or minus the signal that killed it. cmocka's assertions
 * are not for body: it says by its status what went wrong. */
int child_run(int (*body)(void *arg), void *arg, char *said, size_t size);

#endif
