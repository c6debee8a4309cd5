/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Who is at the other end of an accepted socket, as the kernel tells.
 */
#ifndef CANARYD_PEER_H
#define CANARYD_PEER_H

#include <stdbool.h>

#define PEER_TEXT_SIZE 80

/* Writes "127.0.0.1:40123", "[::1]:40123" or "uid 1000, pid 77"; "unknown" when the
 * kernel no longer tells. */
void peer_text(int fd, char text[PEER_TEXT_SIZE]);

/* Of a Unix socket: whether the peer is root, this process's user, or in its
 * group. The socket's mode has let it through already; this is for the day on
 * which somebody has changed that. */
bool peer_is_trusted(int fd);

#endif
