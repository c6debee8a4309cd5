/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Raw bytes to an HTTP server that runs in the test's own event loop, and what
 * comes back. Nothing is added and nothing put right.
 */
#ifndef CANARYD_TESTS_RAW_H
#define CANARYD_TESTS_RAW_H

#include <stdbool.h>
#include <stddef.h>

#define RAW_MAX 65536

struct event_base;

struct raw {
    struct event_base *base;
    int fd;
    char in[RAW_MAX]; /* not yet part of a reply */
    size_t n_in;
    bool ended; /* the server closed the connection */
    /* the last reply */
    int status;
    char head[RAW_MAX];
    char body[RAW_MAX];
};

/* Connects to "127.0.0.1:PORT". */
struct raw *raw_open(struct event_base *base, const char *address);
void raw_close(struct raw **r);

void raw_send(struct raw *r, const char *bytes, size_t n);

/* Waits for one whole reply; has_body is false of one to HEAD. False when the
 * connection ended instead. */
bool raw_receive(struct raw *r, bool has_body);

/* raw_send and raw_receive of a text; fails the test if there is no reply.
 * Returns the status. */
int raw_ask(struct raw *r, const char *request);

/* Waits for the end of the connection; fails the test if bytes come before it. */
void raw_expect_end(struct raw *r);

/* The value of a header of the last reply, or "". Valid until the next call. */
const char *raw_header(const struct raw *r, const char *name);

#endif
