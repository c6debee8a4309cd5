/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What every fuzzer is (libFuzzer's entry) and what some need. A fuzzer fails by
 * a sanitizer's finding, a leak, too much time or memory, or an assertion of its own.
 */
#ifndef CANARYD_FUZZ_H
#define CANARYD_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* Kept in release builds, unlike assert. */
#define MUST(condition)                                                                            \
    do {                                                                                           \
        if (!(condition))                                                                          \
            abort();                                                                               \
    } while (0)

/* The input with a NUL behind it; free() it. */
char *fuzz_text(const uint8_t *data, size_t n);

/* A memory file that holds the input; close() it. */
int fuzz_file(const uint8_t *data, size_t n);

#endif
