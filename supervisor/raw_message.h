/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The bytes of one message as they arrive, before evhttp has them: where its head
 * ends, and what evhttp would overlook. It does not parse; it watches.
 */
#ifndef CANARYD_RAW_MESSAGE_H
#define CANARYD_RAW_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RAW_MESSAGE_NAME 18 /* "transfer-encoding:" */

struct raw_message {
    int state; /* its source's */
    bool line_is_blank, is_chunked;
    uint8_t n_name, n_digits;
    char name[RAW_MESSAGE_NAME]; /* how the line begins */
    uint64_t left;               /* of a chunk */
    const char *fault;
};

void raw_message_begin(struct raw_message *m);

/* The next n bytes; those behind the message's end are ignored. A few ns a line. */
void raw_message_take(struct raw_message *m, const char *bytes, size_t n);

bool raw_message_has_head(const struct raw_message *m);

/* Nothing that follows matters: no chunks, or all of them, or a fault. */
bool raw_message_is_seen(const struct raw_message *m);

/* What is wrong with it so far, or NULL: a NUL in the head, at which evhttp cuts a
 * field; chunks that RFC 9112 section 7.1 does not allow, which evhttp reads with
 * blanks, signs and bare line feeds. */
const char *raw_message_fault(const struct raw_message *m);

#endif
