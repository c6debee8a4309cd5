/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Reference values from JSON files under tests/data, and comparisons that say
 * what they compared.
 */
#ifndef CANARYD_TESTS_VECTORS_H
#define CANARYD_TESTS_VECTORS_H

#include <cjson/cJSON.h>

/* The file at path, read from the repository's root. The caller owns it. */
cJSON *vectors_load(const char *path);

/* A member as a number. JSON has no infinity: the vectors write "inf", "-inf". */
double vectors_number(const cJSON *object, const char *name);

/* A member's text. */
const char *vectors_text(const cJSON *object, const char *name);

/* got is want, or within tolerance of it; what and name go into the complaint. */
void vectors_near(const char *what, const char *name, double got, double want, double tolerance);

/* Likewise, within relative * |want|. */
void vectors_close(const char *what, const char *name, double got, double want, double relative);

#endif
