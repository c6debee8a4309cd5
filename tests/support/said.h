/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What `canaryctl replay` says of a file, line by line.
 */
#ifndef CANARYD_TESTS_SAID_H
#define CANARYD_TESTS_SAID_H

#include <stdio.h>

#include <cjson/cJSON.h>

#include "tests/support/scratch.h"

enum { SAID_MAX_LINES = 16 };

struct said {
    int status;
    int n;
    cJSON *line[SAID_MAX_LINES];
    char trouble[600];
};

/* Runs it; options may be "". said_forget frees what it said. */
struct said said_by_replay(const char *file, const char *options);
void said_forget(struct said *said);

/* The last line, which must be there. */
const cJSON *said_health(const struct said *said);

/* samples.csv in the test's scratch directory, its first line written. The caller closes it. */
FILE *said_new_csv(char path[SCRATCH_PATH_SIZE], const char *header);

#endif
