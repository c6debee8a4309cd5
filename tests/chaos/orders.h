/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Requests of operators that are not waited for: each on a connection of its
 * own, its answer collected when it has come, so that a deployment may be under
 * way while other things happen.
 */
#ifndef CANARYD_TESTS_ORDERS_H
#define CANARYD_TESTS_ORDERS_H

#include <stdbool.h>

struct orders;
struct world;

struct orders *orders_new(struct world *w);
void orders_free(struct orders **o); /* those under way are abandoned */

/* Posts the body (NULL: none). expected: statuses that are right, in text:
 * "200 409". With too many under way, the oldest is waited for. */
void orders_post(struct orders *o, const char *path, const char *body, const char *expected);

/* Takes the answers that have come; one that is long overdue is wrong. */
void orders_collect(struct orders *o);

/* The same, until none is under way. */
void orders_await(struct orders *o);

/* Is a deployment of an evil model under way? */
bool orders_has_evil(const struct orders *o);

#endif
