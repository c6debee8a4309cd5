/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Members of an answer, read tolerantly: a server of another version may leave
 * some out or send null.
 */
#ifndef CANARYD_CTL_FIELD_H
#define CANARYD_CTL_FIELD_H

#include <stdbool.h>

#include <cjson/cJSON.h>

/* object may be NULL everywhere. */
const char *field_text(const cJSON *object, const char *name, const char *otherwise);
bool field_number(const cJSON *object, const char *name, double *value); /* false: *value stays */
double field_number_or(const cJSON *object, const char *name, double otherwise);
bool field_true(const cJSON *object, const char *name);
const cJSON *field_object(const cJSON *object, const char *name); /* NULL unless an object */
const cJSON *field_array(const cJSON *object, const char *name);  /* NULL unless an array */

#endif
