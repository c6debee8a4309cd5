/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Shell scripts in the scratch directory that stand in for other programs.
 */
#ifndef CANARYD_TESTS_SCRIPT_H
#define CANARYD_TESTS_SCRIPT_H

#include "tests/support/scratch.h"

/* Writes an executable script of /bin/sh; path becomes its path. */
void script_write(char path[SCRATCH_PATH_SIZE], const char *name, const char *body);

#endif
