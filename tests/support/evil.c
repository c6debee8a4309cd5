/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Models that say how a worker shall misbehave; see evil.h.
 */
#include "tests/support/evil.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/mem.h"
#include "supervisor/modelref.h"
#include "supervisor/spawn.h"
#include "tests/support/scratch.h"

struct modelref *evil_model(const char *script)
{
    struct modelref *m = mem_alloc(sizeof *m);
    int fd = memfd_create("evil", MFD_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, script, strlen(script)), strlen(script));
    *m = (struct modelref){.path = mem_strdup("models/evil.json"),
                           .name = mem_strdup("evil.json"),
                           .version = mem_strdup("evil@000000000000"),
                           .fd = fd,
                           .served_fd = fd,
                           .n_references = 1};
    return m;
}

void evil_write(const char *name, const char *script)
{
    char path[SCRATCH_PATH_SIZE];
    scratch_path(path, name);
    FILE *f = fopen(path, "we");
    assert_non_null(f);
    assert_true(fputs(script, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

/* The tests are in tests/unit of the build. */
void built_program(char path[EVIL_PATH_SIZE], const char *name)
{
    char dir[EVIL_PATH_SIZE / 2];
    assert_int_equal(program_dir(dir, sizeof dir), 0);
    snprintf(path, EVIL_PATH_SIZE, "%s/../../%s", dir, name);
    if (access(path, X_OK) != 0)
        fail_msg("%s is not built", path);
}
