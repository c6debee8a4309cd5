/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * "Did you mean": the known name nearest to one that is unknown.
 */
#ifndef CANARYD_NEAREST_H
#define CANARYD_NEAREST_H

#include <stddef.h>

/* name_at(i) is the i-th of n known names. Returns the one with the smallest
 * edit distance to name (the first of several), or NULL when all differ in more
 * than a third of its letters and one. */
const char *nearest_name(const char *name, size_t n, const char *(*name_at)(size_t i));

#endif
