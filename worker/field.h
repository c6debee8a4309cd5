/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A place in a document that somebody else wrote: the value there, if any, and
 * its JSON pointer, so that every refusal names the place, what stands there
 * and what was expected. Used by the model readers. Errors are "model-invalid".
 */
#ifndef CANARYD_FIELD_H
#define CANARYD_FIELD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

struct cJSON;

#define FIELD_POINTER_SIZE 96
#define FIELD_QUOTED_SIZE  48

struct field {
    const struct cJSON *item; /* NULL: nothing stands there */
    char pointer[FIELD_POINTER_SIZE];
};

struct field field_root(const struct cJSON *root);

/* The member key of an object, or the k-th element of an array when the caller
 * already holds it. Borrow from the document. */
struct field field_of(const struct field *object, const char *key);
struct field field_element(const struct field *array, size_t k, const struct cJSON *item);

/* Returns -1 with "<pointer>: <sentence>". */
int field_refuse(const struct field *f, struct err *e, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* The usual refusal: expected <what>, got <the value or its type>. */
int field_expected(const struct field *f, struct err *e, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* s in quotes, printable ASCII only and cut to fit: for names from the document. */
const char *field_quote(char quoted[FIELD_QUOTED_SIZE], const char *s);

/* An object all of whose keys are among keys[n_keys]. An unknown one is refused by name. */
int field_object(const struct field *f, const char *const keys[], size_t n_keys, struct err *e);

/* A number; a whole number; the text of a string of 1 to max_bytes bytes; the
 * index of a string among names[n]. Each writes its result only on success. */
int field_number(const struct field *f, double *x, struct err *e);
int field_whole(const struct field *f, int64_t min, int64_t max, int64_t *n, struct err *e);
int field_text(const struct field *f, size_t max_bytes, const char **text, struct err *e);
int field_choice(const struct field *f, const char *const names[], size_t n, size_t *chosen,
                 struct err *e);

/* An array of min to max elements: counts those that are there. */
int field_count(const struct field *f, size_t min, size_t max, size_t *n, struct err *e);

/* An array of exactly n numbers, into x[n]. */
int field_numbers(const struct field *f, size_t n, double *x, struct err *e);

/* An array of exactly n numbers, into a new array; the caller frees it. Nothing
 * is allocated before the n numbers have been counted. NULL with err. */
double *field_new_numbers(const struct field *f, size_t n, struct err *e);

#endif
