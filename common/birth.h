/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Telling one process from a later one with the same pid.
 */
#ifndef CANARYD_BIRTH_H
#define CANARYD_BIRTH_H

#include <stdint.h>

/* When the process started, in clock ticks since boot; 0 when there is no such
 * process or only its zombie. Source: proc_pid_stat(5), fields 3 and 22. */
uint64_t birth_of_process(int64_t pid);

#endif
