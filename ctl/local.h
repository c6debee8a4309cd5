/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * HTTP over a Unix socket, which evhttp's client cannot: one request, one
 * answer, one connection.
 */
#ifndef CANARYD_CTL_LOCAL_H
#define CANARYD_CTL_LOCAL_H

#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

/* An answer as it came; local_find and the offsets are for its reader. */
struct local_answer {
    char *text; /* the whole, NUL after n bytes; the caller frees it */
    size_t n;
    int status;
    size_t body; /* where it begins */
};

/* Sends request (which asks for the connection to be closed) to the socket at path
 * and reads to the end, at most max bytes. deadline_ns: monotonic. 0, or -1 with err
 * "unreachable", "timeout" or "bad-answer"; *a is empty then. */
int local_ask(const char *path, const char *request, size_t max, int64_t deadline_ns,
              struct local_answer *a, struct err *e);

/* Copies the value of a header, or "". */
void local_header(const struct local_answer *a, const char *name, char *value, size_t size);

#endif
