/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * canaryd's command line.
 */
#ifndef CANARYD_CLI_H
#define CANARYD_CLI_H

#include <stdbool.h>
#include <stddef.h>

#include "common/err.h"

struct settings;

struct cli {
    const char *config;     /* --config, or NULL */
    const char **overrides; /* "name=value", borrowed from argv; the array is the cli's */
    size_t n_overrides;
    bool check_config;
    bool help;
    bool version;
};

/* Reads argv, which lives as long as the result. 0, or -1 with err "usage". The
 * overrides are not looked into: settings_load does that. */
int cli_parse(int argc, char **argv, struct cli *cli, struct err *e);
void cli_free(struct cli *cli);

void cli_print_help(void);

/* What main begins with: reads the command line and the settings, and exits for
 * --help, --version, --check-config and mistakes (64 or 78); sets the log's level. The caller owns
 * the result. */
struct settings *cli_begin(int argc, char **argv, struct cli *cli);

#endif
