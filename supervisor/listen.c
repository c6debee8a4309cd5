/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * See listen.h.
 */
#include "supervisor/listen.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/fdio.h"
#include "common/log.h"
#include "common/mem.h"
#include "supervisor/address.h"
#include "supervisor/role.h"

#define BACKLOG           1024
#define FILES_PER_PROCESS 3   /* its socket, its output and its pidfd */
#define FILES_BESIDES     128 /* ours, and what is open while a process starts */
#define OWN_FILES         ((size_t)(ROLE_MAX_PROCESSES * FILES_PER_PROCESS + FILES_BESIDES))
#define LEAST_SHARE       2 /* of few descriptors connections have half */

static int resolve(const char *address, struct addrinfo **list, struct err *e)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
    char *host = mem_strdup(address);
    char *port = strrchr(host, ':');
    char *name = host;
    if (port != NULL)
        *port++ = '\0';
    size_t n = strlen(name);
    if (n > 1 && name[0] == '[' && name[n - 1] == ']') {
        name[n - 1] = '\0';
        name++;
    }
    int rc = getaddrinfo(name, port, &hints, list);
    free(host);
    if (rc != 0)
        return err_set(e, "cannot-listen", "listen: %s: %s", address, gai_strerror(rc));
    return 0;
}

static int bind_one(const struct addrinfo *a)
{
    const int on = 1;
    int fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, a->ai_addr, a->ai_addrlen) < 0 || listen(fd, BACKLOG) < 0)
        fd_close(&fd);
    return fd;
}

void listen_raise_descriptor_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur == limit.rlim_max)
        return;
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
        log_warn("the limit of open files stays as it is: %s", strerror(errno));
}

size_t listen_max_connections(int64_t wanted)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur == RLIM_INFINITY)
        return (size_t)wanted;
    size_t n = (size_t)limit.rlim_cur;
    size_t most = n > LEAST_SHARE * OWN_FILES ? n - OWN_FILES : n / LEAST_SHARE;
    if ((size_t)wanted <= most)
        return (size_t)wanted;
    log_warn("max_connections: %zu instead of %lld; the limit of open files (LimitNOFILE, "
             "ulimit -n) is %zu",
             most, (long long)wanted, n);
    return most;
}

int listen_on(const char *address, struct err *e)
{
    struct addrinfo *list = NULL;
    if (resolve(address, &list, e) < 0)
        return -1;
    int fd = bind_one(list);
    int error = errno;
    freeaddrinfo(list);
    errno = error;
    if (fd < 0)
        return err_set_errno(e, error == EADDRINUSE ? "address-in-use" : "cannot-listen",
                             "listen: %s", address);
    return fd;
}

static int connect_to(const struct sockaddr_un *address)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int rc = connect(fd, (const struct sockaddr *)address, sizeof *address);
    int error = errno;
    fd_close(&fd);
    errno = error;
    return rc;
}

/* A socket that a canaryd before us left is removed; anything else is somebody's. */
static int clear_path(const struct sockaddr_un *address, struct err *e)
{
    const char *path = address->sun_path;
    struct stat there;
    if (lstat(path, &there) < 0)
        return errno == ENOENT ? 0 : err_set_errno(e, "cannot-listen", "%s", path);
    if (!S_ISSOCK(there.st_mode) || there.st_uid != geteuid())
        return err_set(e, "cannot-listen", "%s exists and is not a socket of this user's; it stays",
                       path);
    if (connect_to(address) == 0 || errno != ECONNREFUSED)
        return err_set(e, "address-in-use", "somebody listens on %s", path);
    if (unlink(path) < 0)
        return err_set_errno(e, "cannot-listen", "%s", path);
    return 0;
}

static int check_directory(const char *path, struct err *e)
{
    struct stat dir;
    const char *slash = strrchr(path, '/');
    char *name = slash == NULL || slash == path ? mem_strdup(slash == NULL ? "." : "/")
                                                : mem_printf("%.*s", (int)(slash - path), path);
    int rc = 0;
    if (stat(name, &dir) < 0)
        rc = err_set_errno(e, "cannot-listen", "%s", name);
    else if ((dir.st_mode & S_IWOTH) != 0)
        rc = err_set(e, "cannot-listen",
                     "%s: everybody may write to %s; expected the runtime "
                     "directory or another one of ours",
                     path, name);
    free(name);
    return rc;
}

int listen_on_path(const char *path, struct err *e)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path)
        return err_set(e, "cannot-listen", "%s: a socket's path has at most %zu bytes", path,
                       sizeof address.sun_path - 1);
    memcpy(address.sun_path, path, strlen(path));
    if (check_directory(path, e) < 0 || clear_path(&address, e) < 0)
        return -1;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    mode_t before = umask(0117); /* 0660 from the first moment on */
    int rc = bind(fd, (const struct sockaddr *)&address, sizeof address);
    umask(before);
    if (rc < 0 || listen(fd, BACKLOG) < 0) {
        err_set_errno(e, "cannot-listen", "%s", path);
        fd_close(&fd);
    }
    return fd;
}

void listen_remove(const char *address)
{
    static const char prefix[] = "unix:";
    if (strncmp(address, prefix, strlen(prefix)) == 0 && unlink(address + strlen(prefix)) < 0)
        log_warn("%s: %s", address, strerror(errno));
}

static int get_address(int fd, union address *a)
{
    socklen_t size = sizeof *a;
    *a = (union address){.any = {.sa_family = AF_UNSPEC}};
    return getsockname(fd, &a->any, &size);
}

int listen_address(int fd, char text[LISTEN_TEXT_SIZE])
{
    union address a;
    if (get_address(fd, &a) < 0)
        return -1;
    if (!address_text(&a, text, LISTEN_TEXT_SIZE))
        snprintf(text, LISTEN_TEXT_SIZE, "unix:%.100s", a.local.sun_path);
    return 0;
}

bool listen_is_unix(int fd)
{
    union address a;
    return get_address(fd, &a) == 0 && a.any.sa_family == AF_UNIX;
}

bool listen_is_local(int fd)
{
    union address a;
    if (get_address(fd, &a) < 0)
        return false;
    if (a.any.sa_family == AF_INET)
        return ntohl(a.v4.sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
    if (a.any.sa_family == AF_INET6)
        return IN6_IS_ADDR_LOOPBACK(&a.v6.sin6_addr);
    return a.any.sa_family == AF_UNIX;
}
