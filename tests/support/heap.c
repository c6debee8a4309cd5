/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * See heap.h.
 */
#include "tests/support/heap.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/clock.h"
#include "common/fdio.h"
#include "common/mem.h"
#include "tests/support/workdir.h"

#define MODEL_BYTES 32768 /* a model's text, and nothing before it */
#define PATIENCE_MS 20000
#define LOOK_MS     10
#define N_STILL     30 /* looks with the same number: nothing is under way */

bool heap_is_ours(void)
{
    return dlsym(RTLD_DEFAULT, "__asan_init") == NULL;
}

char *heap_library(void)
{
    const char *build = getenv("CANARYD_BUILD");
    char *path = mem_printf("%s/tests/support/failing_malloc.so", build != NULL ? build : "build");
    char *real = realpath(path, NULL);
    if (real == NULL)
        fail_msg("%s is not there", path);
    free(path);
    return real;
}

struct heap_page *heap_map(struct server *s, const char *name)
{
    int fd = open(server_path(s, name), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, sizeof(struct heap_page)), 0);
    struct heap_page *page = mmap(NULL, sizeof *page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    assert_ptr_not_equal(page, MAP_FAILED);
    fd_close(&fd);
    return page;
}

void heap_unmap(struct heap_page **page)
{
    munmap(*page, sizeof **page);
    *page = NULL;
}

/* In the child, on its way to canaryd. */
static void preload(void *arg)
{
    char *library = heap_library();
    setenv("HEAP_PAGE", arg, 1);
    setenv("LD_PRELOAD", library, 1);
    free(library);
}

struct heap_page *heap_watch_server(struct server *s)
{
    struct heap_page *page = heap_map(s, "heap");
    server_set_before(s, preload, (void *)(uintptr_t)server_path(s, "heap"));
    return page;
}

char *heap_wrap_worker(struct server *s)
{
    const char *build = getenv("CANARYD_BUILD");
    char *program = mem_printf("%s/canary-worker", build != NULL ? build : "build");
    char *real = realpath(program, NULL);
    char *library = heap_library();
    char *script = mem_printf("#!/bin/sh\n"
                              "[ ! -e %s/worker_heap ] || export HEAP_PAGE=%s/worker_heap\n"
                              "if read n <%s/fail_at; then\n"
                              "    export FAIL_MALLOC_FROM=%d FAIL_MALLOC_AT=$n\n"
                              "fi 2>/dev/null\n"
                              "LD_PRELOAD=%s exec %s \"$@\"\n",
                              s->dir, s->dir, s->dir, MODEL_BYTES, library, real);
    workdir_write_text(s->dir, "worker.sh", script);
    assert_int_equal(chmod(server_path(s, "worker.sh"), 0755), 0);
    free(program);
    free(real);
    free(library);
    free(script);
    return mem_printf("--worker-program=%s/worker.sh", s->dir);
}

void heap_fail_at(struct heap_page *page, long n)
{
    page->is_counting = 0;
    page->fail_at = n;
    page->n_calls = 0;
    page->is_counting = 1;
}

long heap_live_at_rest(struct heap_page *page)
{
    int64_t deadline = clock_mono_ns() + PATIENCE_MS * NS_PER_MS;
    long last = page->n_live;
    for (int n_same = 0; n_same < N_STILL; n_same++) {
        workdir_sleep_ms(LOOK_MS);
        if (page->n_live != last)
            n_same = 0;
        last = page->n_live;
        if (clock_mono_ns() > deadline)
            fail_msg("the heap never rests: %ld blocks", last);
    }
    return last;
}
