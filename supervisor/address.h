/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Addresses of sockets, of whichever family, and how they are written.
 */
#ifndef CANARYD_ADDRESS_H
#define CANARYD_ADDRESS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>

/* Any of them; large enough for what the kernel may write. */
union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    struct sockaddr_un local;
    struct sockaddr_storage storage;
};

/* Writes "127.0.0.1:8000" or "[::1]:8000", as much as fits. False, and nothing is
 * written, when it is neither IPv4 nor IPv6. */
bool address_text(const union address *a, char *text, size_t size);

/* Whether the n bytes could be a Host: of the characters of RFC 3986 section 3.2.2, and
 * the port's. None is one, too. */
bool address_is_host(const char *text, size_t n);

#endif
