/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * See beneath.h. The kernel does the confining, so there is no race to win: by
 * openat2's flags, or because no single step can leave the directory it is in.
 */
#include "supervisor/beneath.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/fdio.h"

#define READING (O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)

/* One name of a path; the next call goes on behind it. False at the end. */
static bool take_name(const char **path, char name[NAME_MAX + 2], bool *is_last)
{
    const char *from = *path + strspn(*path, "/");
    size_t n = strcspn(from, "/"), kept = n <= NAME_MAX ? n : NAME_MAX + 1;
    memcpy(name, from, kept); /* one byte too many is ENAMETOOLONG */
    name[kept] = '\0';
    *path = from + n;
    *is_last = (*path)[0] == '\0';
    return n > 0;
}

/* The directory of this name, by which nothing can be read; never another's. */
static int enter(int at, const char *name)
{
    struct stat st;
    int fd = openat(at, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return -1;
    if (fstat(fd, &st) < 0 || !S_ISDIR(st.st_mode)) {
        fd_close(&fd);
        errno = S_ISLNK(st.st_mode) ? ELOOP : ENOTDIR;
    }
    return fd;
}

static int open_step_by_step(int dir, const char *path)
{
    char name[NAME_MAX + 2];
    bool is_last;
    if (path[0] == '\0' || path[0] == '/' || strlen(path) >= PATH_MAX) {
        errno = path[0] == '\0' ? ENOENT : path[0] == '/' ? EXDEV : ENAMETOOLONG;
        return -1;
    }
    int at = enter(dir, ".");
    while (at >= 0 && take_name(&path, name, &is_last)) {
        bool leads_up = strcmp(name, "..") == 0;
        int next = leads_up  ? -1
                   : is_last ? openat(at, name, READING | O_NOFOLLOW)
                             : enter(at, name);
        int error = leads_up ? EXDEV : errno;
        fd_close(&at);
        errno = error;
        if (is_last || next < 0)
            return next;
        at = next;
    }
    if (at < 0)
        return -1;
    int fd = openat(at, ".", READING); /* "sub/" is the directory */
    int error = errno;
    fd_close(&at);
    errno = error;
    return fd;
}

int beneath_open(int dir, const char *path)
{
    struct open_how how = {
        .flags = READING,
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
    };
    int fd = (int)syscall(SYS_openat2, dir, path, &how, sizeof how);
    return fd < 0 && errno == ENOSYS ? open_step_by_step(dir, path) : fd;
}
