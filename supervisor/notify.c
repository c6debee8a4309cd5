/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * sd_notify's protocol: datagrams of VARIABLE=value lines to $NOTIFY_SOCKET.
 */
#include "supervisor/notify.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <event2/event.h>

#include "common/clock.h"
#include "common/fdio.h"
#include "common/log.h"
#include "common/mem.h"

#define FIRST_LISTEN_FD 3

struct notify {
    int fd; /* -1: nobody listens */
    struct sockaddr_un address;
    socklen_t address_size;
    struct event *heartbeat;
};

static void say(const struct notify *n, const char *text)
{
    if (n->fd < 0)
        return;
    if (sendto(n->fd, text, strlen(text), MSG_NOSIGNAL, (const struct sockaddr *)&n->address,
               n->address_size) < 0)
        log_debug("notification to systemd failed: %s", strerror(errno));
}

static void on_heartbeat(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    say(arg, "WATCHDOG=1");
}

static void connect_to(struct notify *n, const char *path)
{
    size_t length = strlen(path);
    if ((path[0] != '/' && path[0] != '@') || length >= sizeof n->address.sun_path) {
        log_warn("NOTIFY_SOCKET=%s is not a Unix socket's address; not used", path);
        return;
    }
    n->address.sun_family = AF_UNIX;
    memcpy(n->address.sun_path, path, length);
    if (path[0] == '@')
        n->address.sun_path[0] = '\0'; /* the abstract namespace */
    n->address_size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
    n->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

/* Beats twice in the time that systemd allows, if the variables are for us. */
static void start_heartbeat(struct notify *n, struct event_base *base)
{
    const char *usec = getenv("WATCHDOG_USEC");
    const char *pid = getenv("WATCHDOG_PID");
    long long period = usec != NULL ? strtoll(usec, NULL, 10) / 2 : 0;
    if (n->fd < 0 || period <= 0 || (pid != NULL && strtoll(pid, NULL, 10) != getpid()))
        return;
    struct timeval every = {.tv_sec = period / 1000000, .tv_usec = period % 1000000};
    n->heartbeat = event_new(base, -1, EV_PERSIST, on_heartbeat, n);
    event_add(n->heartbeat, &every);
}

struct notify *notify_new(struct event_base *base)
{
    struct notify *n = mem_alloc(sizeof *n);
    const char *path = getenv("NOTIFY_SOCKET");
    n->fd = -1;
    if (path != NULL)
        connect_to(n, path);
    start_heartbeat(n, base);
    return n;
}

void notify_free(struct notify **n)
{
    if (*n == NULL)
        return;
    if ((*n)->heartbeat != NULL)
        event_free((*n)->heartbeat);
    fd_close(&(*n)->fd);
    free(*n);
    *n = NULL;
}

void notify_ready(struct notify *n, const char *status)
{
    char text[256];
    snprintf(text, sizeof text, "READY=1\nSTATUS=%s", status);
    say(n, text);
}

void notify_status(struct notify *n, const char *status)
{
    char text[256];
    snprintf(text, sizeof text, "STATUS=%s", status);
    say(n, text);
}

void notify_reloading(struct notify *n)
{
    char text[64];
    snprintf(text, sizeof text, "RELOADING=1\nMONOTONIC_USEC=%lld",
             (long long)(clock_mono_ns() / 1000));
    say(n, text);
}

void notify_stopping(struct notify *n)
{
    say(n, "STOPPING=1\nSTATUS=draining");
}

int notify_listen_fd(void)
{
    const char *pid = getenv("LISTEN_PID");
    const char *n = getenv("LISTEN_FDS");
    if (pid == NULL || n == NULL || strtoll(pid, NULL, 10) != getpid() || strtol(n, NULL, 10) < 1)
        return -1;
    fcntl(FIRST_LISTEN_FD, F_SETFD, FD_CLOEXEC);
    fd_set_nonblock(FIRST_LISTEN_FD);
    return FIRST_LISTEN_FD;
}
