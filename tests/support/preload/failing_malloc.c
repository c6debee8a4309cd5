/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A library to be preloaded (LD_PRELOAD) whose malloc fails once: the
 * FAIL_MALLOC_AT-th call after SIGUSR2, or from the first one on that wants
 * FAIL_MALLOC_FROM bytes. SIGUSR1 says on standard error how many calls there were.
 */
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* glibc's own, under the names that it keeps for such as us. */
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t size);

static atomic_bool counting;
static atomic_long n_calls;
static long fail_at = -1;
static size_t from_bytes = SIZE_MAX;

static bool must_fail(size_t size)
{
    if (size >= from_bytes)
        counting = true;
    if (!counting || atomic_fetch_add(&n_calls, 1) + 1 != fail_at)
        return false;
    errno = ENOMEM;
    return true;
}

void *malloc(size_t size)
{
    return must_fail(size) ? NULL : __libc_malloc(size);
}

void *calloc(size_t n, size_t size)
{
    return must_fail(n * size) ? NULL : __libc_calloc(n, size);
}

void *realloc(void *p, size_t size)
{
    return must_fail(size) ? NULL : __libc_realloc(p, size);
}

static void begin(int number)
{
    (void)number;
    counting = true;
}

/* By hand: a signal handler must not format. */
static void tell(int number)
{
    char line[] = "                    mallocs\n";
    size_t at = strspn(line, " ") - 1;
    (void)number;
    for (long left = n_calls; at > 0; left /= 10) {
        line[--at] = (char)('0' + left % 10);
        if (left < 10)
            break;
    }
    ssize_t ignored = write(STDERR_FILENO, line + at, sizeof line - 1 - at);
    (void)ignored;
}

__attribute__((constructor)) static void start(void)
{
    const char *at = getenv("FAIL_MALLOC_AT"), *from = getenv("FAIL_MALLOC_FROM");
    if (at != NULL)
        fail_at = strtol(at, NULL, 10);
    signal(SIGUSR2, begin);
    signal(SIGUSR1, tell);
    if (from != NULL)
        from_bytes = strtoul(from, NULL, 10);
}
