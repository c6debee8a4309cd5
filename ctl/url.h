/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The address of a server as an operator writes it: http://HOST[:PORT][/PREFIX],
 * or unix:PATH of a socket.
 */
#ifndef CANARYD_CTL_URL_H
#define CANARYD_CTL_URL_H

#include "common/err.h"

struct url {
    char host[256];      /* for getaddrinfo: an IPv6 address without its brackets */
    char authority[272]; /* for the Host header: brackets, and the port unless it is 80 */
    char prefix[256];    /* "" or "/canary": stands in front of every path */
    int port;
    char socket[108]; /* path of a Unix socket, or "": then the others don't matter */
};

/* Reads text into *url. 0, or -1 with err "bad-url"; *url is untouched then. */
int url_parse(const char *text, struct url *url, struct err *e);

#endif
