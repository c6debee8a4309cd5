/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * See line_reader.h.
 */
#include "ctl/line_reader.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

void line_reader_begin(struct line_reader *r, int fd)
{
    r->fd = fd;
    r->line = 0;
    r->at = r->bytes;
    r->left = 0;
    r->ended = false;
}

/* Moves what is left to the front and reads behind it. 0, or -1 with errno. */
static int fill(struct line_reader *r)
{
    ssize_t n;
    memmove(r->bytes, r->at, r->left);
    r->at = r->bytes;
    do {
        n = read(r->fd, r->bytes + r->left, LINE_READER_BYTES - r->left);
    } while (n < 0 && errno == EINTR);
    if (n < 0)
        return -1;
    r->ended = n == 0;
    r->left += (size_t)n;
    return 0;
}

/* Gives away length bytes and the separator's, if there is one. */
static enum line_state take(struct line_reader *r, size_t length, size_t separator, char **line,
                            size_t *n)
{
    *line = r->at;
    *n = length > 0 && r->at[length - 1] == '\r' ? length - 1 : length;
    r->at += length + separator;
    r->left -= length + separator;
    r->line++;
    return LINE_READ;
}

enum line_state line_reader_next(struct line_reader *r, char **line, size_t *n)
{
    size_t searched = 0;
    for (;;) {
        char *end = memchr(r->at + searched, '\n', r->left - searched);
        if (end != NULL)
            return take(r, (size_t)(end - r->at), 1, line, n);
        if (r->ended)
            return r->left == 0 ? LINE_END : take(r, r->left, 0, line, n);
        searched = r->left;
        if (r->left == LINE_READER_BYTES)
            return LINE_TOO_LONG;
        if (fill(r) < 0)
            return LINE_FAILED;
    }
}
