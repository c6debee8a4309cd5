/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Tolerant members; see field.h.
 */
#include "ctl/member.h"

#include "common/jsonx.h"

const char *member_text(const cJSON *object, const char *name, const char *otherwise)
{
    const cJSON *item = jsonx_member(object, name);
    return cJSON_IsString(item) ? item->valuestring : otherwise;
}

bool member_number(const cJSON *object, const char *name, double *value)
{
    const cJSON *item = jsonx_member(object, name);
    if (!cJSON_IsNumber(item))
        return false;
    *value = item->valuedouble;
    return true;
}

double member_number_or(const cJSON *object, const char *name, double otherwise)
{
    member_number(object, name, &otherwise);
    return otherwise;
}

bool member_true(const cJSON *object, const char *name)
{
    return cJSON_IsTrue(jsonx_member(object, name));
}

const cJSON *member_object(const cJSON *object, const char *name)
{
    const cJSON *item = jsonx_member(object, name);
    return cJSON_IsObject(item) ? item : NULL;
}

const cJSON *member_array(const cJSON *object, const char *name)
{
    const cJSON *item = jsonx_member(object, name);
    return cJSON_IsArray(item) ? item : NULL;
}
