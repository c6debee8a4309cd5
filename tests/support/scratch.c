/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A directory of a test's own; see scratch.h.
 */
#include "tests/support/scratch.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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

int scratch_teardown(void **state)
{
    DIR *d = opendir(dir);
    (void)state;
    if (d == NULL)
        return -1;
    for (struct dirent *entry = readdir(d); entry != NULL; entry = readdir(d)) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if (unlinkat(dirfd(d), entry->d_name, 0) < 0)
            unlinkat(dirfd(d), entry->d_name, AT_REMOVEDIR);
    }
    closedir(d);
    return rmdir(dir);
}

void scratch_path(char path[SCRATCH_PATH_SIZE], const char *name)
{
    snprintf(path, SCRATCH_PATH_SIZE, "%s/%s", dir, name);
}
