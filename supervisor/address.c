/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * See address.h.
 */
#include "supervisor/address.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <string.h>

bool address_text(const union address *a, char *text, size_t size)
{
    char host[INET6_ADDRSTRLEN];
    if (a->any.sa_family == AF_INET) {
        inet_ntop(AF_INET, &a->v4.sin_addr, host, sizeof host);
        snprintf(text, size, "%s:%u", host, ntohs(a->v4.sin_port));
    } else if (a->any.sa_family == AF_INET6) {
        inet_ntop(AF_INET6, &a->v6.sin6_addr, host, sizeof host);
        snprintf(text, size, "[%s]:%u", host, ntohs(a->v6.sin6_port));
    }
    return a->any.sa_family == AF_INET || a->any.sa_family == AF_INET6;
}

bool address_is_host(const char *text, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)text[i];
        if (!isalnum(c) && (c == '\0' || strchr(".:-_~%!$&'()*+,;=[]", c) == NULL))
            return false;
    }
    return true;
}
