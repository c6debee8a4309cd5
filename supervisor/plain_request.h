/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The plain request: an HTTP/1.1 POST whose every byte is of the usual kind, so
 * that it needs no general parser. Whatever has anything unusual about it, or is
 * not complete, is not plain, and is evhttp's and the gate's affair.
 */
#ifndef CANARYD_PLAIN_REQUEST_H
#define CANARYD_PLAIN_REQUEST_H

#include <stdbool.h>
#include <stddef.h>

#define PLAIN_REQUEST_MAX_HEAD 2048

/* Slices of the bytes that were read; borrowed from there. */
struct plain_request {
    size_t size; /* of the whole request */
    const char *path;
    size_t path_size;
    const char *body;
    size_t body_size;
    const char *id; /* X-Request-ID as it was sent, or NULL */
    size_t id_size;
    const char *kept; /* the value of the field that was asked for, or NULL */
    size_t kept_size;
};

/* Whether the n bytes begin with the whole head of a plain request: POST, a path
 * without a query, HTTP/1.1, CRLF, fields from a short list (each at most once, visible
 * ASCII and blanks only), a Host and a Content-Length above 0. Its body may still be
 * on its way: r->size is more than n then. keep: the name of one more field that may be
 * there, or ""; not one that HTTP gives a meaning. About 100 ns. */
bool plain_request_read(const char *bytes, size_t n, const char *keep, struct plain_request *r);

#endif
