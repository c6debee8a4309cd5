/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * How things stand: the snapshot for operators, the journal's recent entries
 * and the probes for whoever restarts or routes to us.
 */
#ifndef CANARYD_API_STATUS_H
#define CANARYD_API_STATUS_H

#include <stdbool.h>

struct api_status;
struct board;
struct fleet;
struct gateway;
struct journal;
struct judge;
struct rollout;
struct router;
struct settings;

struct api_status_rooms { /* all borrowed */
    struct rollout *rollout;
    struct fleet *fleet;
    struct router *router;
    struct journal *journal;
    struct judge *judge;
    struct board *board;
};

struct api_status *api_status_new(struct gateway *g, const struct api_status_rooms *rooms,
                                  const struct settings *settings);
void api_status_free(struct api_status **a);
void api_status_set_settings(struct api_status *a, const struct settings *settings);

/* From now on /readyz says 503. */
void api_status_stop(struct api_status *a);

#endif
