/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Reads /proc/PID/stat; see birth.h.
 */
#include "common/birth.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/fdio.h"

enum { FIELD_STATE = 3, FIELD_START_TIME = 22 };

/* The beginning of the file as a string; "" when it cannot be read. */
static void read_stat(int64_t pid, char *text, size_t size)
{
    char path[48];
    snprintf(path, sizeof path, "/proc/%" PRId64 "/stat", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, text, size - 1);
    fd_close(&fd);
    text[n > 0 ? n : 0] = '\0';
}

uint64_t birth_of_process(int64_t pid)
{
    char text[1024];
    read_stat(pid, text, sizeof text);
    /* Field 2 is a name in parentheses that may hold blanks and parentheses. */
    const char *p = strrchr(text, ')');
    if (p == NULL || p[1] != ' ' || strchr("ZXx", p[2]) != NULL)
        return 0;
    p += 2;
    for (int field = FIELD_STATE; field < FIELD_START_TIME && p != NULL; field++) {
        p = strchr(p, ' ');
        p = p != NULL ? p + 1 : NULL;
    }
    return p != NULL ? strtoull(p, NULL, 10) : 0;
}
