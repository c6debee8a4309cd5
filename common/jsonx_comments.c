/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Comments in JSON that people write; see jsonx.h.
 */
#include <stdbool.h>

#include "common/jsonx.h"

/* The end of the string or comment that starts at text[i], or i + 1 if neither does. */
static size_t token_end(const char *text, size_t n, size_t i, bool *is_comment)
{
    size_t end = i + 1;
    *is_comment = false;
    if (text[i] == '"') {
        while (end < n && text[end] != '"')
            end += text[end] == '\\' ? 2 : 1;
        return end + 1;
    }
    if (text[i] != '/' || end >= n || (text[end] != '/' && text[end] != '*'))
        return end;
    *is_comment = true;
    if (text[end] == '/') {
        while (end < n && text[end] != '\n')
            end++;
        return end;
    }
    for (end++; end < n; end++)
        if (text[end] == '*' && end + 1 < n && text[end + 1] == '/')
            return end + 2;
    *is_comment = false; /* never closed: left for the scan to refuse */
    return n;
}

void jsonx_blank_comments(char *text, size_t n)
{
    for (size_t i = 0; i < n;) {
        bool is_comment;
        size_t end = token_end(text, n, i, &is_comment);
        for (size_t k = i; is_comment && k < end; k++)
            if (text[k] != '\n')
                text[k] = ' ';
        i = end;
    }
}
