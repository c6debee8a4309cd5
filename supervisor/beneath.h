/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Opening a file beneath a directory, whatever a stranger's path says.
 */
#ifndef CANARYD_BENEATH_H
#define CANARYD_BENEATH_H

/* Opens path for reading, without blocking on what is no file. It never leads out of
 * dir (a descriptor, O_PATH will do) nor through a symbolic link, also not while
 * somebody renames things: openat2(2) does that, or, where a seccomp filter has taken
 * it away (systemd's RestrictSUIDSGID=), one openat(2) per name; then ".." is refused
 * everywhere. A descriptor, or -1 with errno: EXDEV and ELOOP mean "not beneath". */
int beneath_open(int dir, const char *path);

#endif
