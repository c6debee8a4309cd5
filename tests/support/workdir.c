/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * See workdir.h.
 */
#include "tests/support/workdir.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/fdio.h"
#include "common/mem.h"

#define MAX_FILE_BYTES ((size_t)64 << 20)

char *workdir_new(void)
{
    const char *tmp = getenv("TMPDIR");
    char *dir = mem_printf("%s/canaryd-test.XXXXXX", tmp != NULL ? tmp : "/tmp");
    if (mkdtemp(dir) == NULL)
        fail_msg("mkdtemp %s: %s", dir, strerror(errno));
    return dir;
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *where)
{
    (void)st, (void)where;
    if (flag == FTW_DP || flag == FTW_DNR)
        rmdir(path);
    else
        unlink(path);
    return 0;
}

void workdir_free(char **dir)
{
    if (*dir == NULL)
        return;
    nftw(*dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    free(*dir);
    *dir = NULL;
}

char *workdir_path(const char *dir, const char *name)
{
    return mem_printf("%s/%s", dir, name);
}

void workdir_write(const char *dir, const char *name, const void *bytes, size_t n)
{
    char *path = workdir_path(dir, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0 || fd_write_all(fd, bytes, n) != 0)
        fail_msg("writing %s: %s", path, strerror(errno));
    fd_close(&fd);
    free(path);
}

void workdir_write_text(const char *dir, const char *name, const char *text)
{
    workdir_write(dir, name, text, strlen(text));
}

static char *read_bytes(const char *path, size_t *n)
{
    char *bytes = NULL;
    struct err e = {0};
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return NULL;
    int rc = fd_read_file(fd, path, MAX_FILE_BYTES, &bytes, n, &e);
    fd_close(&fd);
    if (rc != 0)
        fail_msg("%s", e.text);
    return bytes;
}

void workdir_copy(const char *from, const char *dir, const char *name)
{
    size_t n = 0;
    char *bytes = read_bytes(from, &n);
    if (bytes == NULL)
        fail_msg("%s: %s", from, strerror(errno));
    workdir_write(dir, name, bytes, n);
    free(bytes);
}

char *workdir_read(const char *path)
{
    size_t n = 0;
    return read_bytes(path, &n);
}

bool workdir_exists(const char *path)
{
    return access(path, F_OK) == 0;
}

void workdir_sleep_ms(int ms)
{
    struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};
    while (nanosleep(&t, &t) != 0 && errno == EINTR)
        continue;
}
