/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Who used the admin endpoints, in the journal. Every call that could change
 * something has an entry of its own. Those that only look (a dashboard does every
 * second) have one per peer and ten minutes, and refused ones are thinned when
 * somebody sends many, so that no stranger can fill the disk.
 */
#ifndef CANARYD_AUDIT_H
#define CANARYD_AUDIT_H

struct admin_call;
struct audit;
struct journal;

struct audit *audit_new(struct journal *journal); /* borrowed */
void audit_free(struct audit **a);

/* Adds "admin": peer, token (whether it was given and right), method, path,
 * status, request_id and, where refusals were left out before, how many. arg: the
 * audit (for struct gateway_options). */
void audit_call(void *arg, const struct admin_call *call);

#endif
