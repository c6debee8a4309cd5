/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Lines of a file or a pipe, one after the other, in constant memory.
 */
#ifndef CANARYD_CTL_LINE_READER_H
#define CANARYD_CTL_LINE_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LINE_READER_BYTES ((size_t)256 * 1024) /* no line is longer */

struct line_reader {
    int fd;        /* the caller's, blocking */
    uint64_t line; /* of the last line read, from 1 */
    char *at;      /* the next byte */
    size_t left;   /* bytes at hand */
    bool ended;
    char bytes[LINE_READER_BYTES + 1]; /* the last is the caller's, for a NUL */
};

void line_reader_begin(struct line_reader *r, int fd);

enum line_state { LINE_READ, LINE_END, LINE_TOO_LONG, LINE_FAILED /* errno */ };

/* The next line without its LF or CR LF, and its length; good until the next
 * call, and may be written to, the byte after it included. The last one may lack
 * its line feed. */
enum line_state line_reader_next(struct line_reader *r, char **line, size_t *n);

#endif
