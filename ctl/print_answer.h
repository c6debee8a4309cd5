/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The short answers of the admin endpoints: the message, then the other members.
 */
#ifndef CANARYD_CTL_PRINT_ANSWER_H
#define CANARYD_CTL_PRINT_ANSWER_H

#include "ctl/print.h"

/* Prints "message" as a sentence and each further text, number or truth value
 * as a field, its name with blanks for underscores. */
void print_answer(const struct printer *p, const cJSON *answer);

#endif
