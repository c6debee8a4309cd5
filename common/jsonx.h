/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Strict JSON: RFC 8259 to the letter in front of the lenient cJSON. What
 * passes has valid UTF-8, at most JSONX_MAX_DEPTH levels, finite numbers of at
 * most JSONX_MAX_NUMBER characters (cJSON reads no more), no \u0000 and no key
 * twice in one object.
 */
#ifndef CANARYD_JSONX_H
#define CANARYD_JSONX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cjson/cJSON.h>

#include "common/err.h"

#define JSONX_MAX_DEPTH  32
#define JSONX_MAX_NUMBER 62

/* Parses n bytes; text[n] must be NUL. The caller owns the result
 * (cJSON_Delete). NULL with err: "bad-json" (syntax, with the byte offset),
 * "too-deep", "duplicate-key", or, with its JSON pointer, "not-finite" or
 * "number-too-long". One pass and one qsort per large object. */
cJSON *jsonx_parse(const char *text, size_t n, struct err *e);

/* The scan alone, without building anything: 0, or -1 with err. Does not look
 * for duplicate keys. */
int jsonx_check(const char *text, size_t n, struct err *e);

/* Overwrites // and slash-star comments outside strings by blanks, so that offsets in
 * later errors stay right. For files that people write; never for requests. */
void jsonx_blank_comments(char *text, size_t n);

/* Members by exact name; NULL when the member is missing or object is not one. */
const cJSON *jsonx_member(const cJSON *object, const char *name);

/* The number as a whole one in min..max: true, or false when it is something else. */
bool jsonx_as_int(const cJSON *item, int64_t min, int64_t max, int64_t *value);

/* "an object", "a string", ...: for sentences that say what was found. */
const char *jsonx_type_name(const cJSON *item);

/* Overwrites every byte that is not part of valid UTF-8 by '?', so that text
 * from outside can stand in a document of ours. */
void jsonx_clean_utf8(char *text);

#define JSONX_NUMBER_SIZE 32

/* Writes the shortest decimal that reads back as exactly x (which must be
 * finite) and returns its length. */
size_t jsonx_print_number(char text[JSONX_NUMBER_SIZE], double x);

/* Writes a whole number and returns its length; no more than JSONX_NUMBER_SIZE. */
size_t jsonx_print_whole(char *text, uint64_t x);

#endif
