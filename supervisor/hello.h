/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The few lines that a person at a terminal reads when canaryd serves.
 */
#ifndef CANARYD_HELLO_H
#define CANARYD_HELLO_H

struct modelref;

/* Logs what is served and, but under systemd, prints what to try next. admin:
 * the admin endpoints' own address, or NULL. canaryctl: as a person here would call it. */
void hello_print(const struct modelref *stable, const char *address, const char *admin,
                 const char *canaryctl);

#endif
