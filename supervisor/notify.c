/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * sd_notify's protocol: datagrams of VARIABLE=value lines to $NOTIFY_SOCKET.
 */
#include "supervisor/notify.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
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
#define MAX_LISTEN_FDS  64

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

/* A status is one line: a model's name shall not be able to say more. */
static void say_with_status(const struct notify *n, const char *first, const char *status)
{
    char text[256];
    int start = snprintf(text, sizeof text, "%sSTATUS=", first);
    snprintf(text + start, sizeof text - (size_t)start, "%s", status);
    for (char *p = text + start; *p != '\0'; p++)
        if (iscntrl((unsigned char)*p))
            *p = '?';
    say(n, text);
}

static void say_within(const struct notify *n, const char *what, int64_t ms)
{
    char text[128];
    snprintf(text, sizeof text, "%s\nEXTEND_TIMEOUT_USEC=%lld", what, (long long)ms * 1000);
    say(n, text);
}

void notify_starting(struct notify *n, int64_t within_ms)
{
    say_within(n, "STATUS=loading", within_ms);
}

void notify_ready(struct notify *n, const char *status)
{
    say_with_status(n, "READY=1\n", status);
}

void notify_status(struct notify *n, const char *status)
{
    say_with_status(n, "", status);
}

void notify_reloading(struct notify *n)
{
    char text[64];
    snprintf(text, sizeof text, "RELOADING=1\nMONOTONIC_USEC=%lld",
             (long long)(clock_mono_ns() / 1000));
    say(n, text);
}

void notify_stopping(struct notify *n, int64_t within_ms)
{
    say_within(n, "STOPPING=1\nSTATUS=draining", within_ms);
}

/* --- The sockets that were passed -------------------------------------------*/

static int n_passed(void)
{
    const char *pid = getenv("LISTEN_PID");
    const char *n = getenv("LISTEN_FDS");
    if (pid == NULL || n == NULL || strtoll(pid, NULL, 10) != getpid())
        return 0;
    long count = strtol(n, NULL, 10);
    return count < 0 ? 0 : (int)(count < MAX_LISTEN_FDS ? count : MAX_LISTEN_FDS);
}

/* The place of name in a list separated by ':'; -1 when it is not there. */
static int place_of(const char *name, const char *list)
{
    for (int i = 0; list != NULL && *list != '\0'; i++) {
        size_t n = strcspn(list, ":");
        if (n == strlen(name) && strncmp(list, name, n) == 0)
            return i;
        list += n + (list[n] == ':');
    }
    return -1;
}

/* Of n sockets under the names of the list. */
static void choose(int n, const char *names, struct notify_sockets *sockets)
{
    int admin = place_of("admin", names), http = place_of("http", names);
    if (admin >= n)
        admin = -1;
    if (http < 0 || http >= n)
        http = admin == 0 ? 1 : 0;
    sockets->admin = admin >= 0 ? FIRST_LISTEN_FD + admin : -1;
    sockets->http = http < n ? FIRST_LISTEN_FD + http : -1;
}

static bool is_option(int fd, int option, int wanted)
{
    int value = 0;
    socklen_t size = sizeof value;
    return getsockopt(fd, SOL_SOCKET, option, &value, &size) == 0 && value == wanted;
}

static int check_socket(int fd, struct err *e)
{
    if (fd < 0)
        return 0;
    if (!is_option(fd, SO_TYPE, SOCK_STREAM) || !is_option(fd, SO_ACCEPTCONN, 1))
        return err_set(e, "cannot-listen",
                       "LISTEN_FDS: descriptor %d is not a listening stream socket", fd);
    fd_set_nonblock(fd);
    return 0;
}

int notify_sockets_take(struct notify_sockets *sockets, struct err *e)
{
    int n = n_passed();
    choose(n, getenv("LISTEN_FDNAMES"), sockets);
    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_FDNAMES");
    for (int i = 0; i < n; i++)
        fcntl(FIRST_LISTEN_FD + i, F_SETFD, FD_CLOEXEC);
    int n_served = (sockets->http >= 0) + (sockets->admin >= 0);
    if (n > n_served)
        log_warn("%d sockets were passed (LISTEN_FDS); only %d of them %s served", n, n_served,
                 n_served == 1 ? "is" : "are");
    return check_socket(sockets->http, e) < 0 ? -1 : check_socket(sockets->admin, e);
}
