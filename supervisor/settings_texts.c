/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Settings that are texts of a certain form; see settings_private.h.
 */
#include "supervisor/settings_private.h"

#include <stdlib.h>
#include <string.h>

#include "common/log.h"

#define HOST_BYTES                                                                                 \
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_" /* of a name or address */

bool settings_is_log_level(const char *text)
{
    return log_level_parse(text) >= 0;
}

bool settings_is_auto_or_off(const char *text)
{
    return strcmp(text, "auto") == 0 || strcmp(text, "off") == 0;
}

bool settings_is_not_empty(const char *text)
{
    return text[0] != '\0';
}

bool settings_is_address(const char *text)
{
    const char *colon = strrchr(text, ':');
    char *end;
    if (colon == NULL || colon == text || colon[1] < '0' || colon[1] > '9')
        return false;
    long port = strtol(colon + 1, &end, 10);
    return *end == '\0' && port <= 65535;
}

bool settings_is_admin_address(const char *text)
{
    static const char socket[] = "unix:";
    if (strncmp(text, socket, strlen(socket)) == 0)
        return text[strlen(socket)] != '\0';
    return text[0] == '\0' || settings_is_address(text);
}

bool settings_is_host_list(const char *text)
{
    size_t n = strlen(text);
    return n == 0 || (strspn(text, HOST_BYTES ",") == n && text[0] != ',' && text[n - 1] != ',' &&
                      strstr(text, ",,") == NULL);
}
