/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A library to be preloaded (LD_PRELOAD) whose malloc fails once, and which
 * counts what is live. HEAP_PAGE names the file of its struct heap_page, where a
 * test may change and read it at any time. Without one: FAIL_MALLOC_AT is the
 * call that fails, counted from the first one on that wants FAIL_MALLOC_FROM bytes.
 */
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/support/preload/heap_page.h"

/* glibc's own, under the names that it keeps for such as us. */
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t size);
void *__libc_memalign(size_t alignment, size_t size);
void __libc_free(void *p);

static struct heap_page own_page;
static struct heap_page *page = &own_page;
static size_t from_bytes = SIZE_MAX;

static bool must_fail(size_t size)
{
    if (size >= from_bytes)
        page->is_counting = 1;
    if (!page->is_counting || atomic_fetch_add(&page->n_calls, 1) + 1 != page->fail_at)
        return false;
    errno = ENOMEM;
    return true;
}

static void *add(void *p)
{
    if (p != NULL) {
        page->n_live++;
        page->n_bytes += (long)malloc_usable_size(p);
    }
    return p;
}

static void take(long bytes)
{
    page->n_live--;
    page->n_bytes -= bytes;
}

void *malloc(size_t size)
{
    return must_fail(size) ? NULL : add(__libc_malloc(size));
}

void *calloc(size_t n, size_t size)
{
    return must_fail(n * size) ? NULL : add(__libc_calloc(n, size));
}

void *realloc(void *p, size_t size)
{
    if (must_fail(size))
        return NULL;
    long bytes = p != NULL ? (long)malloc_usable_size(p) : 0;
    void *now = __libc_realloc(p, size);
    if (p != NULL && (now != NULL || size == 0))
        take(bytes);
    return add(now);
}

void *reallocarray(void *p, size_t n, size_t size)
{
    size_t whole;
    if (__builtin_mul_overflow(n, size, &whole)) {
        errno = ENOMEM;
        return NULL;
    }
    return realloc(p, whole);
}

void *memalign(size_t alignment, size_t size)
{
    return must_fail(size) ? NULL : add(__libc_memalign(alignment, size));
}

void *aligned_alloc(size_t alignment, size_t size)
{
    return memalign(alignment, size);
}

int posix_memalign(void **p, size_t alignment, size_t size)
{
    void *got = memalign(alignment, size);
    if (got == NULL)
        return ENOMEM;
    *p = got;
    return 0;
}

void free(void *p)
{
    if (p == NULL)
        return;
    take((long)malloc_usable_size(p));
    __libc_free(p);
}

/* What was counted before there was a page goes with it. */
static void share_page(const char *path)
{
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        _exit(126);
    struct heap_page *shared =
        mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (shared == MAP_FAILED)
        _exit(126);
    shared->n_live = own_page.n_live;
    shared->n_bytes = own_page.n_bytes;
    page = shared;
}

__attribute__((constructor)) static void start(void)
{
    const char *at = getenv("FAIL_MALLOC_AT"), *from = getenv("FAIL_MALLOC_FROM");
    const char *path = getenv("HEAP_PAGE");
    if (at != NULL)
        page->fail_at = strtol(at, NULL, 10);
    if (path != NULL)
        share_page(path);
    if (from != NULL)
        from_bytes = strtoul(from, NULL, 10);
}
