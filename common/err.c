/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Filling struct err; see err.h.
 */
#include "common/err.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

__attribute__((format(printf, 4, 0))) static void
fill(struct err *e, const char *code, const char *pointer, const char *fmt, va_list ap)
{
    e->code = code;
    snprintf(e->pointer, sizeof e->pointer, "%s", pointer);
    vsnprintf(e->text, sizeof e->text, fmt, ap);
}

int err_set(struct err *e, const char *code, const char *fmt, ...)
{
    if (e != NULL) {
        va_list ap;
        va_start(ap, fmt);
        fill(e, code, "", fmt, ap);
        va_end(ap);
    }
    return -1;
}

int err_set_at(struct err *e, const char *code, const char *pointer, const char *fmt, ...)
{
    if (e != NULL) {
        va_list ap;
        va_start(ap, fmt);
        fill(e, code, pointer, fmt, ap);
        va_end(ap);
    }
    return -1;
}

int err_set_errno(struct err *e, const char *code, const char *fmt, ...)
{
    int saved = errno;
    if (e != NULL) {
        va_list ap;
        va_start(ap, fmt);
        fill(e, code, "", fmt, ap);
        va_end(ap);
        size_t used = strlen(e->text);
        snprintf(e->text + used, sizeof e->text - used, ": %s", strerror(saved));
    }
    errno = saved;
    return -1;
}

void err_prefix(struct err *e, const char *fmt, ...)
{
    char old[sizeof e->text];
    if (e == NULL)
        return;
    memcpy(old, e->text, sizeof old);
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(e->text, sizeof e->text, fmt, ap);
    va_end(ap);
    size_t used = strlen(e->text);
    snprintf(e->text + used, sizeof e->text - used, ": %s", old);
}
