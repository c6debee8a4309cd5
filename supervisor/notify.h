/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Talking to systemd without libsystemd: sd_notify(3) datagrams, the watchdog
 * and LISTEN_FDS. All of it does nothing where systemd is not there.
 */
#ifndef CANARYD_NOTIFY_H
#define CANARYD_NOTIFY_H

struct event_base;
struct notify;

/* Starts the watchdog's heartbeat too, when WATCHDOG_USEC asks for one. */
struct notify *notify_new(struct event_base *base);
void notify_free(struct notify **n);

void notify_ready(struct notify *n, const char *status);
void notify_status(struct notify *n, const char *status);
void notify_reloading(struct notify *n); /* follow with notify_ready */
void notify_stopping(struct notify *n);

/* The first socket that was passed by socket activation (sd_listen_fds(3)),
 * close-on-exec and non-blocking, or -1. */
int notify_listen_fd(void);

#endif
