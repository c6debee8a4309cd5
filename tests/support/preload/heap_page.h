/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What failing_malloc.so and a test share: a page of a file, mapped by both. The
 * test says which allocation shall fail, and reads what the process holds.
 */
#ifndef CANARYD_TESTS_HEAP_PAGE_H
#define CANARYD_TESTS_HEAP_PAGE_H

#include <stdatomic.h>

struct heap_page {
    atomic_long n_calls;    /* allocations, while is_counting */
    atomic_long fail_at;    /* the call that fails; 0: none */
    atomic_int is_counting; /* set last */
    atomic_long n_live;     /* blocks that were not freed yet, */
    atomic_long n_bytes;    /* and what malloc_usable_size says of them */
};

#endif
