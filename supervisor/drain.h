/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * How canaryd ends: no request is accepted any more, those under way are answered,
 * the workers go, and then the loop ends. Each step has its deadline.
 */
#ifndef CANARYD_DRAIN_H
#define CANARYD_DRAIN_H

#include <stdbool.h>
#include <stdint.h>

struct api_status;
struct drain;
struct event_base;
struct fleet;
struct gateway;
struct loader;
struct notify;
struct rollout;
struct router;
struct store;

/* Whom it takes down or waits for; borrowed. */
struct drain_rooms {
    struct notify *notify;
    struct api_status *api_status;
    struct gateway *gateway;
    struct rollout *rollout;
    struct router *router;
    struct fleet *fleet;
    struct loader *loader;
    struct store *store;
};

struct drain *drain_new(struct event_base *base, const struct drain_rooms *rooms);
void drain_free(struct drain **d);

/* Requests under way have so long. At the end of it all the base's loop is broken off. */
void drain_begin(struct drain *d, int64_t timeout_ms);
bool drain_has_begun(const struct drain *d);

/* Something has ended: looks whether that was the last. Nothing before drain_begin. */
void drain_look(struct drain *d);

#endif
