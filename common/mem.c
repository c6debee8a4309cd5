/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Checked allocation; see mem.h.
 */
#include "common/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "common/log.h"

/* The freed blocks that glibc keeps at hand are of this size at most; malloc takes
 * them back, calloc does not before glibc 2.41. New pages calloc need not clear. */
#define MAX_CACHED_BYTES 1024

static void *checked(void *p, size_t n, size_t size)
{
    if (p == NULL)
        fatal(EX_SOFTWARE, "out of memory: %zu x %zu bytes were not to be had", n, size);
    return p;
}

void *mem_array(size_t n, size_t size)
{
    if (n == 0 || size == 0)
        n = size = 1;
    return checked(calloc(n, size), n, size);
}

void *mem_alloc(size_t size)
{
    if (size > MAX_CACHED_BYTES)
        return mem_array(1, size);
    return memset(mem_malloc(size), 0, size);
}

void *mem_resize(void *p, size_t n, size_t size)
{
    if (n == 0 || size == 0)
        n = size = 1;
    return checked(reallocarray(p, n, size), n, size);
}

void *mem_malloc(size_t size)
{
    return checked(malloc(size > 0 ? size : 1), size, 1);
}

void *mem_realloc(void *p, size_t size)
{
    return mem_resize(p, size, 1);
}

char *mem_strdup(const char *s)
{
    return checked(strdup(s), strlen(s) + 1, 1);
}

char *mem_strndup(const char *s, size_t n)
{
    return checked(strndup(s, n), n, 1);
}

char *mem_printf(const char *fmt, ...)
{
    char *text = NULL;
    va_list ap;
    va_start(ap, fmt);
    int n = vasprintf(&text, fmt, ap);
    va_end(ap);
    return checked(n < 0 ? NULL : text, 1, 1);
}
