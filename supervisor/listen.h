/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The listening sockets.
 */
#ifndef CANARYD_LISTEN_H
#define CANARYD_LISTEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

#define LISTEN_TEXT_SIZE 128

/* A connection is a descriptor: as many as this process may have. Programs that it
 * starts inherit the limit. */
void listen_raise_descriptor_limit(void);

/* As many connections as were wanted, or as this process has descriptors for beside
 * its own files and workers. */
size_t listen_max_connections(int64_t wanted);

/* Binds "address:port" (a name, an IPv4 address or [an IPv6 address]) and
 * listens: connections queue up until somebody accepts. A descriptor, or -1 with
 * err "cannot-listen", or "address-in-use". */
int listen_on(const char *address, struct err *e);

/* The same on a Unix socket of mode 0660. What stands at path is never touched
 * unless it is a socket of this user's on which nobody listens; its directory must
 * not be writable for everybody. */
int listen_on_path(const char *path, struct err *e);

bool listen_is_unix(int fd);

/* Removes the path of a Unix socket that is no longer listened on; of others nothing. */
void listen_remove(const char *address);

/* Writes the address that the socket really has: "127.0.0.1:40123", "unix:/run/x". */
int listen_address(int fd, char text[LISTEN_TEXT_SIZE]);

/* Whether the socket can be reached from this machine alone. */
bool listen_is_local(int fd);

#endif
