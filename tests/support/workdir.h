/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A directory of a test's own and the few file operations tests need in it.
 * Everything here fails the test on an error.
 */
#ifndef CANARYD_TESTS_WORKDIR_H
#define CANARYD_TESTS_WORKDIR_H

#include <stdbool.h>
#include <stddef.h>

/* A new empty directory under TMPDIR (or /tmp). The caller owns the path. */
char *workdir_new(void);
void workdir_free(char **dir); /* removes the directory with all that is in it */

/* dir/name; free() it. */
char *workdir_path(const char *dir, const char *name);

void workdir_write(const char *dir, const char *name, const void *bytes, size_t n);
void workdir_write_text(const char *dir, const char *name, const char *text);
void workdir_copy(const char *from, const char *dir, const char *name);

/* The file's text, NUL-terminated; NULL when there is no such file. free() it. */
char *workdir_read(const char *path);

bool workdir_exists(const char *path);

void workdir_sleep_ms(int ms); /* between two looks at a condition */

#endif
