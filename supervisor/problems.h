/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Every error code that a client can see, with its status and title: one table.
 * Bodies are problem details (RFC 9457).
 */
#ifndef CANARYD_PROBLEMS_H
#define CANARYD_PROBLEMS_H

#include "common/err.h"

struct problem {
    const char *code;
    int status;
    const char *title;
};

/* The row of a code. One that is missing is a bug, logged, and answered 502. */
const struct problem *problem_find(const char *code);

/* "Not Found" for 404 (RFC 9110 section 15). */
const char *status_reason(int status);

/* The body: type, title, status, detail, instance, code, and errors with the
 * pointer when e has one. The caller frees it. */
char *problem_to_json(const struct problem *p, const struct err *e, const char *instance);

#endif
