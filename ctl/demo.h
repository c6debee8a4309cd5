/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * `canaryctl demo`: the walk-through of a canary deployment against a living
 * server, each step shown, explained and compared with what should happen.
 */
#ifndef CANARYD_CTL_DEMO_H
#define CANARYD_CTL_DEMO_H

struct session;

/* Runs the workflows that s->options name. Whatever happens, it ends with the
 * slowdown off and without a canary of its own, as far as the server lets it;
 * SIGINT and SIGTERM end it early in the same manner. Returns 0 when everything
 * happened as it should, 1 after a refusal or a deviation (named), 69 when the
 * server can't be reached, 76 when it is no canaryd. */
int demo_run(struct session *s);

#endif
