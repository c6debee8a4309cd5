/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Members of an answer, read tolerantly: a server of another version may leave
 * some out or send null.
 */
#ifndef CANARYD_CTL_MEMBER_H
#define CANARYD_CTL_MEMBER_H

#include <stdbool.h>

#include <cjson/cJSON.h>

/* object may be NULL everywhere. */
const char *member_text(const cJSON *object, const char *name, const char *otherwise);
bool member_number(const cJSON *object, const char *name, double *value); /* false: *value stays */
double member_number_or(const cJSON *object, const char *name, double otherwise);
bool member_true(const cJSON *object, const char *name);
const cJSON *member_object(const cJSON *object, const char *name); /* NULL unless an object */
const cJSON *member_array(const cJSON *object, const char *name);  /* NULL unless an array */

#endif
