/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The server's status for people: who serves, with what share, in what state.
 */
#ifndef CANARYD_CTL_PRINT_STATUS_H
#define CANARYD_CTL_PRINT_STATUS_H

#include "ctl/print.h"

/* status: the answer of GET /admin/status; url: where it came from. Missing
 * members are left out. */
void print_status(const struct printer *p, const cJSON *status, const char *url);

#endif
