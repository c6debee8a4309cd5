/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The commands of canaryctl: one table of what each is called, takes and does.
 * Parsing, help and dispatch come from it.
 */
#ifndef CANARYD_CTL_COMMAND_H
#define CANARYD_CTL_COMMAND_H

#include <stdio.h>

struct session;

/* Runs a whole command line, main's. Prints on out and, when something goes
 * wrong, on trouble. Returns the exit code: 0, 1 the server refused, or one of
 * sysexits (64 usage, 65 samples that are none, 66 no such file, 69 no server,
 * 74 output lost, 76 no proper answer). */
int command_main(int argc, char *const *argv, FILE *out, FILE *trouble);

/* What the commands do; each returns the exit code. command_*.c and demo.c have them. */
int command_status(struct session *s);
int command_health(struct session *s);
int command_deploy(struct session *s);
int command_promote(struct session *s);
int command_rollback(struct session *s);
int command_slowdown(struct session *s);
int command_power(struct session *s);
int command_replay(struct session *s);

#endif
