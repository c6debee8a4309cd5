/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What tests say about answers, each in one line, with the whole answer in the
 * message when it is not so.
 */
#ifndef CANARYD_TESTS_ANSWER_H
#define CANARYD_TESTS_ANSWER_H

#include <stdbool.h>

#include "tests/support/http.h"

void answer_is(const struct http_answer *a, int status);

/* An RFC 9457 problem of this status; code NULL: any. Returns its detail. */
const char *answer_is_problem(const struct http_answer *a, int status, const char *code);

/* Members of the JSON body by a path of names such as "stable.sha256". These
 * fail the test where the member is missing or has another type. */
const cJSON *answer_member(const struct http_answer *a, const char *path);
double answer_number(const struct http_answer *a, const char *path);
const char *answer_string(const struct http_answer *a, const char *path);
bool answer_bool(const struct http_answer *a, const char *path);
void answer_is_null(const struct http_answer *a, const char *path);

void answer_string_is(const struct http_answer *a, const char *path, const char *value);
void assert_near(double value, double wanted, double tolerance, const char *what);

/* The header is there with this value; value NULL: it is there. Returns it. */
const char *answer_header(const struct http_answer *a, const char *name, const char *value);

/* The texts stand in the body, in this order; the list ends with NULL. */
void answer_has_in_order(const struct http_answer *a, const char *const texts[]);

#endif
