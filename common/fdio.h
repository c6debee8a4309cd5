/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * File descriptors: the few loops around read and write that everybody needs.
 */
#ifndef CANARYD_FDIO_H
#define CANARYD_FDIO_H

#include <stdbool.h>
#include <stddef.h>

#include "common/err.h"

/* Closes *fd if it is open (>= 0) and makes it -1. Keeps errno. */
void fd_close(int *fd);

int fd_set_nonblock(int fd); /* 0, or -1 with errno */

/* Writes all n bytes to a blocking descriptor, through EINTR. 0, or -1 with errno. */
int fd_write_all(int fd, const void *bytes, size_t n);

/* Reads a whole regular file from its beginning (pread; the offset does not
 * move). *bytes gets a malloc'ed buffer of *n bytes and one NUL more. Refuses
 * files above max_bytes. name is for the error text. 0, or -1 with err. */
int fd_read_file(int fd, const char *name, size_t max_bytes, char **bytes, size_t *n,
                 struct err *e);

/* Whether the directory is there and anybody may write to it; sticky or not: its
 * names can be taken before we take them. */
bool dir_is_open_to_all(const char *path);

/* mkdir -p. 0, or -1 with err. */
int dir_create(const char *path, unsigned mode, struct err *e);

#endif
