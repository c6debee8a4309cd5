/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What the table of settings.c says of its texts; nobody else includes it.
 */
#ifndef CANARYD_SETTINGS_PRIVATE_H
#define CANARYD_SETTINGS_PRIVATE_H

#include <stdbool.h>

bool settings_is_log_level(const char *text);
bool settings_is_auto_or_off(const char *text);
bool settings_is_not_empty(const char *text);
bool settings_is_address(
    const char *text); /* HOST:PORT; whether it is one shows when it is bound */

/* "", HOST:PORT or unix:PATH. */
bool settings_is_admin_address(const char *text);

/* "", or names and addresses with commas between. */
bool settings_is_host_list(const char *text);

#endif
