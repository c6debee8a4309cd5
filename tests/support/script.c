/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * See script.h.
 */
#include "tests/support/script.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

void script_write(char path[SCRATCH_PATH_SIZE], const char *name, const char *body)
{
    scratch_path(path, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0700);
    assert_true(fd >= 0);
    assert_true(dprintf(fd, "#!/bin/sh\n%s\n", body) > 0);
    assert_int_equal(close(fd), 0);
}
