/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The sockets that canaryd is asked through: the main one, and the admin
 * endpoints' own where admin_listen names one.
 */
#ifndef CANARYD_DOORS_H
#define CANARYD_DOORS_H

#include <stdbool.h>

#include "common/err.h"
#include "supervisor/access.h"
#include "supervisor/conns.h"
#include "supervisor/listen.h"

struct gateway;
struct settings;

struct doors {
    int fd, admin_fd; /* -1: none, or the gateway's by now */
    enum door door;
    char address[LISTEN_TEXT_SIZE];
    char admin_address[LISTEN_TEXT_SIZE]; /* "": no door of its own */
    bool admin_was_passed;                /* its path is another's to remove */
};

/* Opens both, or takes those that were passed (LISTEN_FDS). runtime_dir: where a
 * relative unix:PATH is. 0, or -1 with err "cannot-listen", "address-in-use" or, for an
 * admin door beyond loopback, "bad-setting". */
int doors_open(struct doors *d, const struct settings *s, const char *runtime_dir, struct err *e);

/* Hands them over: requests come from now on. */
int doors_accept(struct doors *d, struct gateway *g, struct err *e);

void doors_close(struct doors *d);

/* Of connections, as the settings say and descriptors allow. */
struct conns_limits doors_limits(const struct settings *s);

#endif
