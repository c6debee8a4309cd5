/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The heap of a process under test: failing_malloc.so is preloaded into it and
 * counts in a page that the test has mapped too.
 */
#ifndef CANARYD_TESTS_HEAP_H
#define CANARYD_TESTS_HEAP_H

#include <stdbool.h>

#include "tests/support/preload/heap_page.h"
#include "tests/support/server.h"

/* A sanitizer has a malloc of its own: then there is nothing to preload. */
bool heap_is_ours(void);

/* The path of failing_malloc.so in this build; free() it. */
char *heap_library(void);

/* Makes the file dir/name of the server and maps it, until heap_unmap. A process
 * counts there when it is started with LD_PRELOAD=heap_library() and HEAP_PAGE=path. */
struct heap_page *heap_map(struct server *s, const char *name);
void heap_unmap(struct heap_page **page);

/* Has canaryd itself count, from its next launch on; the page is name "heap". */
struct heap_page *heap_watch_server(struct server *s);

/* Puts a script in the worker's place that preloads the library: it counts in the
 * page "worker_heap", if heap_map made one, and fails at the allocation whose
 * number is in the file "fail_at", if there is one, counted from the reading of the
 * model's text on: what comes before is libseccomp's, which is not made for it.
 * Returns the argument --worker-program=...; free() it. */
char *heap_wrap_worker(struct server *s);

/* The n-th allocation from now on fails; 0: none does. */
void heap_fail_at(struct heap_page *page, long n);

/* Blocks that are live once their number has stood still for a moment. */
long heap_live_at_rest(struct heap_page *page);

#endif
