/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A directory of a test's own; see scratch.h.
 */
#include "tests/support/scratch.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[SCRATCH_PATH_SIZE / 2];

int scratch_setup(void **state)
{
    const char *parent = getenv("TMPDIR");
    (void)state;
    snprintf(dir, sizeof dir, "%s/canaryd-test.XXXXXX", parent != NULL ? parent : "/tmp");
    umask(022);
    return mkdtemp(dir) != NULL ? 0 : -1;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *where)
{
    (void)st, (void)type, (void)where;
    return remove(path);
}

int scratch_teardown(void **state)
{
    (void)state;
    return nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

void scratch_path(char path[SCRATCH_PATH_SIZE], const char *name)
{
    snprintf(path, SCRATCH_PATH_SIZE, "%s/%s", dir, name);
}
