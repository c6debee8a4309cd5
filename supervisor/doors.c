/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * See doors.h.
 */
#include "supervisor/doors.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/fdio.h"
#include "common/log.h"
#include "common/mem.h"
#include "supervisor/gateway.h"
#include "supervisor/notify.h"
#include "supervisor/settings.h"

/* A passed socket wins: under systemd the addresses are canaryd.socket's. */
static void tell_unused(const char *setting, const char *value, const char *address)
{
    if (value[0] != '\0' && strcmp(value, address) != 0)
        log_warn("%s: %s is not used; the socket that was passed (LISTEN_FDS) has %s", setting,
                 value, address);
}

static int open_main(struct doors *d, int passed, const struct settings *s, struct err *e)
{
    d->fd = passed >= 0 ? passed : listen_on(s->listen, e);
    if (d->fd < 0)
        return -1;
    if (listen_address(d->fd, d->address) < 0)
        return err_set_errno(e, "cannot-listen", "the address of the listening socket");
    if (passed >= 0)
        tell_unused("listen", s->listen, d->address);
    return 0;
}

static int open_path(const char *path, const char *runtime_dir, struct err *e)
{
    if (path[0] == '/')
        return listen_on_path(path, e);
    char *whole = mem_printf("%s/%s", runtime_dir, path);
    int fd = listen_on_path(whole, e);
    free(whole);
    return fd;
}

static int bind_admin(const char *address, const char *runtime_dir, struct err *e)
{
    static const char prefix[] = "unix:";
    bool is_path = strncmp(address, prefix, strlen(prefix)) == 0;
    int fd = is_path ? open_path(address + strlen(prefix), runtime_dir, e) : listen_on(address, e);
    if (fd < 0)
        err_prefix(e, "admin_listen");
    return fd;
}

static int open_admin(struct doors *d, int passed, const struct settings *s,
                      const char *runtime_dir, struct err *e)
{
    if (passed < 0 && s->admin_listen[0] == '\0')
        return 0;
    d->admin_was_passed = passed >= 0;
    d->admin_fd = passed >= 0 ? passed : bind_admin(s->admin_listen, runtime_dir, e);
    if (d->admin_fd < 0)
        return -1;
    if (listen_address(d->admin_fd, d->admin_address) < 0)
        return err_set_errno(e, "cannot-listen", "the address of the admin socket");
    if (!listen_is_local(d->admin_fd))
        return err_set(e, "bad-setting", "admin_listen: %s is not a loopback address",
                       passed >= 0 ? d->admin_address : s->admin_listen);
    if (passed >= 0)
        tell_unused("admin_listen", s->admin_listen, d->admin_address);
    return 0;
}

static enum door main_door(const struct doors *d)
{
    if (d->admin_fd >= 0)
        return DOOR_PUBLIC;
    if (listen_is_unix(d->fd))
        return DOOR_SOCKET;
    return listen_is_local(d->fd) ? DOOR_LOCAL : DOOR_REMOTE;
}

int doors_open(struct doors *d, const struct settings *s, const char *runtime_dir, struct err *e)
{
    struct notify_sockets passed;
    *d = (struct doors){.fd = -1, .admin_fd = -1};
    if (notify_sockets_take(&passed, e) < 0 || open_main(d, passed.http, s, e) < 0 ||
        open_admin(d, passed.admin, s, runtime_dir, e) < 0)
        return -1;
    d->door = main_door(d);
    return 0;
}

int doors_accept(struct doors *d, struct gateway *g, struct err *e)
{
    int fd = d->fd;
    d->fd = -1;
    if (gateway_accept(g, fd, d->door, e) < 0)
        return -1;
    if (d->admin_fd < 0)
        return 0;
    fd = d->admin_fd;
    d->admin_fd = -1;
    return gateway_accept(g, fd, listen_is_unix(fd) ? DOOR_SOCKET : DOOR_ADMIN, e);
}

void doors_close(struct doors *d)
{
    fd_close(&d->fd);
    fd_close(&d->admin_fd);
    if (!d->admin_was_passed)
        listen_remove(d->admin_address);
}

struct conns_limits doors_limits(const struct settings *s)
{
    return (struct conns_limits){.header_ms = s->header_timeout_ms,
                                 .body_ms = s->body_timeout_ms,
                                 .write_ms = s->write_timeout_ms,
                                 .idle_ms = s->idle_timeout_ms,
                                 .max = listen_max_connections(s->max_connections)};
}
