/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The request gate: what evhttp lets through and RFC 9112 does not. Called
 * first for every request; what it refuses is answered and the connection
 * closed, so the bytes behind it are never run as a request.
 */
#ifndef CANARYD_GATE_H
#define CANARYD_GATE_H

#include <stdbool.h>

#include "common/err.h"

struct evhttp_request;

/* fault: what was wrong with the bytes and cannot be seen here (raw_message.h), or
 * NULL. 0, or -1 with err, "malformed-request" or "unsupported-version". */
int gate_check(struct evhttp_request *request, const char *fault, struct err *e);

/* Whether the client wants the connection closed after the answer, anywhere in its
 * Connection fields (RFC 9110 section 7.6.1); evhttp sees it only when it stands alone. */
bool gate_wants_close(struct evhttp_request *request);

/* Whether the message says how long its body is (Content-Length or chunked). */
bool gate_has_body_length(struct evhttp_request *request);

#endif
