/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Talking to systemd without libsystemd: sd_notify(3) datagrams, the watchdog
 * and LISTEN_FDS. All of it does nothing where systemd is not there.
 */
#ifndef CANARYD_NOTIFY_H
#define CANARYD_NOTIFY_H

#include <stdint.h>

#include "common/err.h"

struct event_base;
struct notify;

/* Starts the watchdog's heartbeat too, when WATCHDOG_USEC asks for one. */
struct notify *notify_new(struct event_base *base);
void notify_free(struct notify **n);

#define NOTIFY_SLACK_MS 5000 /* for systemd to wait beyond our own deadlines */

/* Loading may take so long: systemd shall wait, whatever its TimeoutStartSec. */
void notify_starting(struct notify *n, int64_t within_ms);
void notify_ready(struct notify *n, const char *status);
void notify_status(struct notify *n, const char *status);
void notify_reloading(struct notify *n);                   /* follow with notify_ready */
void notify_stopping(struct notify *n, int64_t within_ms); /* and TimeoutStopSec */

/* The sockets that were passed by socket activation (sd_listen_fds(3)); -1: none. */
struct notify_sockets {
    int http;  /* the one named "http" (FileDescriptorName=), else the first that is not admin's */
    int admin; /* the one named "admin" */
};

/* Finds them; each is close-on-exec and non-blocking then. Returns -1 with err
 * "cannot-listen" when one is no listening stream socket. Forgets the variables: a
 * second call finds none. */
int notify_sockets_take(struct notify_sockets *sockets, struct err *e);

#endif
