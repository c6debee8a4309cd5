/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Memory that is there or the process is not: on exhaustion these log and
 * exit(70). canaryd gives them to its libraries too. Sizes that come from outside are bounded
 * before they get here.
 */
#ifndef CANARYD_MEM_H
#define CANARYD_MEM_H

#include <stddef.h>

void *mem_alloc(size_t size);                     /* zeroed; free() it */
void *mem_array(size_t n, size_t size);           /* n * size, zeroed, overflow checked */
void *mem_resize(void *p, size_t n, size_t size); /* new part is not zeroed */
void *mem_malloc(size_t size);                    /* not zeroed; for libraries, as the next */
void *mem_realloc(void *p, size_t size);
char *mem_strdup(const char *s);            /* s may not be NULL */
char *mem_strndup(const char *s, size_t n); /* at most n bytes of s */
char *mem_printf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
