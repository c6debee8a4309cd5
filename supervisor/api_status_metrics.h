/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The same figures for a monitoring system: Prometheus' text format 0.0.4, or
 * OpenMetrics 1.0.0, which differ in the names of counters and in the last line.
 */
#ifndef CANARYD_API_STATUS_METRICS_H
#define CANARYD_API_STATUS_METRICS_H

#include <stdbool.h>
#include <stddef.h>

#include "supervisor/api_status.h"

/* The Content-Type of each. */
const char *metrics_content_type(bool open_metrics);

/* The whole text, of *n bytes; the caller frees it. */
char *metrics_text(const struct api_status_rooms *rooms, double uptime_s, bool open_metrics,
                   size_t *n);

#endif
