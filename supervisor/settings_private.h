/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What settings.c and settings_table.c share; nobody else includes it.
 */
#ifndef CANARYD_SETTINGS_PRIVATE_H
#define CANARYD_SETTINGS_PRIVATE_H

#include <stdbool.h>
#include <stddef.h>

#include "supervisor/settings.h"

enum setting_type { TYPE_TEXT, TYPE_WHOLE, TYPE_REAL, TYPE_SWITCH };

/* When a reloaded value takes effect. */
enum setting_scope { SCOPE_NOW, SCOPE_NEXT_DEPLOYMENT, SCOPE_NEXT_START, N_SCOPES };

struct setting {
    const char *name;
    size_t offset;
    enum setting_type type;
    double min, max; /* of numbers; min_excluded: the value must be above min */
    bool min_excluded;
    enum setting_scope scope;
    bool (*text_ok)(const char *text);
    const char *expected; /* of a text with text_ok */
    const char *initial;  /* the default, as it would stand on the command line */
    const char *unit;
    const char *help;
};

/* Every setting there is, in the order in which they are told. */
extern const struct setting settings_table[];
extern const size_t settings_n;

#endif
