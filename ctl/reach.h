/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Which address of a host takes connections? localhost is ::1 and 127.0.0.1,
 * and a server often listens on one of them only.
 */
#ifndef CANARYD_CTL_REACH_H
#define CANARYD_CTL_REACH_H

#include "common/err.h"

#define REACH_ADDRESS_SIZE 64

/* Resolves host and connects to each of its addresses in turn until one takes
 * the connection, which is closed again; writes that address in numbers.
 * timeout_ms is for all of them. 0, or -1 with err "unreachable" and the last
 * reason ("connection refused"). */
int reach_address(const char *host, int port, int timeout_ms, char address[REACH_ADDRESS_SIZE],
                  struct err *e);

#endif
