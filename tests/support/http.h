/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A plain HTTP/1.1 client for tests: one blocking connection, raw bytes in,
 * parsed answers out. It says exactly what it is told to, however malformed,
 * and reads strictly: an answer that is not well-formed is an error. A silence
 * of HTTP_TIMEOUT_MS is one too. Safe in threads: one connection, one thread.
 */
#ifndef CANARYD_TESTS_HTTP_H
#define CANARYD_TESTS_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cjson/cJSON.h>

#include "common/err.h"

#define HTTP_TIMEOUT_MS  10000
#define HTTP_MAX_HEADERS 64

struct http; /* a connection to 127.0.0.1 */

struct http_request {
    const char *method; /* NULL: GET */
    const char *path;
    const char *headers; /* whole lines, each with its CRLF; NULL: none. Host is added */
    const char *body;    /* NULL: none, and no Content-Length */
    size_t n_body;       /* 0: strlen(body) */
};

struct http_answer {
    int status;
    int minor;  /* 1 in HTTP/1.1 */
    char *head; /* status line and headers as they came, for messages */
    struct {
        const char *name, *value; /* value without blanks around it */
    } headers[HTTP_MAX_HEADERS];
    size_t n_headers;
    char *body; /* NUL-terminated; chunks are joined */
    size_t n_body;
    cJSON *json; /* the body, if its Content-Type says JSON and it is strict JSON; else NULL */
    bool closes; /* the answer said that the connection ends with it */
    char *cut;   /* where the headers' texts live */
};

/* NULL with err when nobody listens there. */
struct http *http_open(uint16_t port, struct err *e);
void http_close(struct http **h);
void http_set_timeout(struct http *h, int ms);

/* Connected, nothing unread, and the other side has not hung up. */
bool http_is_idle(struct http *h);

/* 0, or -1 with err. The other side's closing early is no error here: what it
 * said before is still to be read. */
int http_send(struct http *h, const void *bytes, size_t n, struct err *e);
int http_send_request(struct http *h, const struct http_request *r, struct err *e);

/* Reads one answer (interim 1xx ones are skipped). to_head: it has no body by
 * definition. 1 with *a filled (http_answer_clear it), 0 when the connection
 * ended instead, -1 with err: "timeout", "reset" or "bad-answer". */
int http_receive(struct http *h, bool to_head, struct http_answer *a, struct err *e);

/* Sends one request and reads its answer: 0, or -1 with err (an end is one). */
int http_ask(struct http *h, const struct http_request *r, struct http_answer *a, struct err *e);

void http_answer_clear(struct http_answer *a);

/* The value of the header, any case; NULL when it is missing. */
const char *http_header(const struct http_answer *a, const char *name);

#endif
