/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * An expected error: a stable code for programs and a sentence for people.
 * The sentence names the thing, the value and what was expected. Whoever
 * handles the error logs it, once; whoever only passes it on does not.
 */
#ifndef CANARYD_ERR_H
#define CANARYD_ERR_H

#include <stdarg.h>

struct err {
    const char *code;  /* static string such as "wrong-length"; NULL: no error */
    char pointer[128]; /* JSON pointer (RFC 6901) of the culprit, "" when there is none */
    char text[512];    /* one sentence, no line feed */
};

/* Fills *e (which may be NULL) and returns -1, so that a refusal is one line:
 *     return err_set(e, "wrong-length", "features: expected %d numbers, got %d", n, m);
 * code must be a string literal: it is kept, not copied. */
int err_set(struct err *e, const char *code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Like err_set, with the JSON pointer ("/features/3") of the value at fault. */
int err_set_at(struct err *e, const char *code, const char *pointer, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* err_set for a failed system call: appends ": " and the text of errno. */
int err_set_errno(struct err *e, const char *code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Puts "what: " in front of the sentence that *e already holds. */
void err_prefix(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
