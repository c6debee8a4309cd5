/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The operator's endpoints: deploy, health, slowdown, rollback, promote.
 */
#ifndef CANARYD_API_ADMIN_H
#define CANARYD_API_ADMIN_H

struct api_admin;
struct fleet;
struct gateway;
struct judge;
struct rollout;

/* All borrowed. */
struct api_admin *api_admin_new(struct gateway *g, struct rollout *rollout, struct judge *judge,
                                struct fleet *fleet);
void api_admin_free(struct api_admin **a);

#endif
