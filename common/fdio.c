/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Loops around read, write and mkdir; see fdio.h.
 */
#include "common/fdio.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/mem.h"

void fd_close(int *fd)
{
    int saved = errno;
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
    errno = saved;
}

int fd_set_nonblock(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0)
        return -1;
    return fcntl(fd, F_SETFL, flags | O_NONBLOCK);
}

int fd_write_all(int fd, const void *bytes, size_t n)
{
    const char *p = bytes;
    while (n > 0) {
        ssize_t k = write(fd, p, n);
        if (k < 0 && errno == EINTR)
            continue;
        if (k < 0)
            return -1;
        p += k;
        n -= (size_t)k;
    }
    return 0;
}

int fd_read_file(int fd, const char *name, size_t max_bytes, char **bytes, size_t *n, struct err *e)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return err_set_errno(e, "file-unreadable", "%s", name);
    if (!S_ISREG(st.st_mode))
        return err_set(e, "not-a-regular-file", "%s is not a regular file", name);
    if ((size_t)st.st_size > max_bytes)
        return err_set(e, "file-too-large", "%s has %lld bytes; at most %zu are read", name,
                       (long long)st.st_size, max_bytes);
    size_t size = (size_t)st.st_size;
    size_t got = 0;
    char *buffer = mem_array(size + 1, 1);
    while (got < size) {
        ssize_t k = pread(fd, buffer + got, size - got, (off_t)got);
        if (k < 0 && errno == EINTR)
            continue;
        if (k <= 0) {
            free(buffer);
            return k < 0
                       ? err_set_errno(e, "file-unreadable", "%s", name)
                       : err_set(e, "file-unreadable", "%s became shorter while it was read", name);
        }
        got += (size_t)k;
    }
    *bytes = buffer;
    *n = size;
    return 0;
}

bool dir_is_open_to_all(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && (st.st_mode & S_IWOTH) != 0;
}

/* mkdir(2) that is content with a directory already there. */
static int make_one_dir(const char *path, unsigned mode)
{
    struct stat st;
    if (mkdir(path, (mode_t)mode) == 0)
        return 0;
    if (errno != EEXIST || stat(path, &st) < 0)
        return -1;
    errno = ENOTDIR;
    return S_ISDIR(st.st_mode) ? 0 : -1;
}

int dir_create(const char *path, unsigned mode, struct err *e)
{
    char *copy = mem_strdup(path);
    int rc = 0;
    for (char *p = copy; rc == 0; p++) {
        bool is_root = p == copy && *p == '/';
        if (is_root || (*p != '/' && *p != '\0'))
            continue;
        char end = *p;
        *p = '\0';
        if (make_one_dir(copy, mode) < 0)
            rc = err_set_errno(e, "cannot-create", "directory %s", copy);
        *p = end;
        if (end == '\0')
            break;
    }
    free(copy);
    return rc;
}
