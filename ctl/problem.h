/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A refusal (problem+json, RFC 9457, or whatever came instead) told to the
 * operator: what was refused, why, and what to do about it.
 */
#ifndef CANARYD_CTL_PROBLEM_H
#define CANARYD_CTL_PROBLEM_H

#include "ctl/client.h"
#include "ctl/print.h"

/* answer: one whose status is not 2xx. */
void problem_print(const struct printer *p, const struct question *q, const struct answer *answer);

/* "409 canary-active: a canary is active", for a line of one's own. */
void problem_text(const struct answer *answer, char *text, size_t size);

#endif
