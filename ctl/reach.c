/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Trying a host's addresses; see reach.h.
 */
#include "ctl/reach.h"

#include <ctype.h>
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/fdio.h"

/* "connection refused": strerror's sentence as part of ours. */
static int refuse(struct err *e, const char *why)
{
    err_set(e, "unreachable", "%s", why);
    if (e != NULL)
        e->text[0] = (char)tolower((unsigned char)e->text[0]);
    return -1;
}

static int wait_connected(int fd, int timeout_ms)
{
    struct pollfd p = {.fd = fd, .events = POLLOUT};
    int error = 0;
    socklen_t n = sizeof error;
    int rc;
    do {
        rc = poll(&p, 1, timeout_ms);
    } while (rc < 0 && errno == EINTR);
    if (rc <= 0)
        return rc == 0 ? ETIMEDOUT : errno;
    return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &n) == 0 ? error : errno;
}

/* 0 or an errno. */
static int try_address(const struct addrinfo *a, int timeout_ms)
{
    int fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return errno;
    int error = connect(fd, a->ai_addr, a->ai_addrlen) == 0 ? 0 : errno;
    if (error == EINPROGRESS)
        error = wait_connected(fd, timeout_ms);
    fd_close(&fd);
    return error;
}

static int count(const struct addrinfo *list)
{
    int n = 0;
    for (; list != NULL; list = list->ai_next)
        n++;
    return n;
}

int reach_address(const char *host, int port, int timeout_ms, char address[REACH_ADDRESS_SIZE],
                  struct err *e)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *list = NULL;
    char service[16];
    int error = EHOSTUNREACH;
    snprintf(service, sizeof service, "%d", port);
    int rc = getaddrinfo(host, service, &hints, &list);
    if (rc != 0)
        return refuse(e, gai_strerror(rc));
    int n = count(list);
    int each_ms =
        n > 0 ? timeout_ms / n : 0; /* a silent address must not use up the others' time */
    for (const struct addrinfo *a = list; a != NULL && error != 0; a = a->ai_next) {
        error = try_address(a, each_ms);
        if (error == 0)
            getnameinfo(a->ai_addr, a->ai_addrlen, address, REACH_ADDRESS_SIZE, NULL, 0,
                        NI_NUMERICHOST);
    }
    freeaddrinfo(list);
    return error == 0 ? 0 : refuse(e, strerror(error));
}
