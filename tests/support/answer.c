/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * See answer.h.
 */
#include "tests/support/answer.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/jsonx.h"
#include "common/mem.h"

void answer_is(const struct http_answer *a, int status)
{
    if (a->status != status)
        fail_msg("expected %d, got: %s%s", status, a->head, a->body);
}

const char *answer_is_problem(const struct http_answer *a, int status, const char *code)
{
    static const char *const strings[] = {"type", "title", "detail", "instance", "code"};
    answer_is(a, status);
    const char *type = answer_header(a, "Content-Type", NULL);
    if (strncmp(type, "application/problem+json", 24) != 0)
        fail_msg("an error of type %s: %s", type, a->body);
    answer_header(a, "X-Request-ID", NULL);
    for (size_t i = 0; i < sizeof strings / sizeof strings[0]; i++)
        answer_string(a, strings[i]);
    if ((int)answer_number(a, "status") != status)
        fail_msg("the body has another status: %s", a->body);
    if (code != NULL)
        answer_string_is(a, "code", code);
    return answer_string(a, "detail");
}

const cJSON *answer_member(const struct http_answer *a, const char *path)
{
    char *names = mem_strdup(path);
    char *rest = names;
    const cJSON *at = a->json;
    while (at != NULL && rest != NULL)
        at = jsonx_member(at, strsep(&rest, "."));
    free(names);
    if (at == NULL)
        fail_msg("no \"%s\" in: %s%s", path, a->head, a->body);
    return at;
}

double answer_number(const struct http_answer *a, const char *path)
{
    const cJSON *item = answer_member(a, path);
    if (!cJSON_IsNumber(item))
        fail_msg("\"%s\" is %s: %s", path, jsonx_type_name(item), a->body);
    return cJSON_GetNumberValue(item);
}

const char *answer_string(const struct http_answer *a, const char *path)
{
    const cJSON *item = answer_member(a, path);
    if (!cJSON_IsString(item))
        fail_msg("\"%s\" is %s: %s", path, jsonx_type_name(item), a->body);
    return cJSON_GetStringValue(item);
}

bool answer_bool(const struct http_answer *a, const char *path)
{
    const cJSON *item = answer_member(a, path);
    if (!cJSON_IsBool(item))
        fail_msg("\"%s\" is %s: %s", path, jsonx_type_name(item), a->body);
    return cJSON_IsTrue(item);
}

void answer_is_null(const struct http_answer *a, const char *path)
{
    const cJSON *item = answer_member(a, path);
    if (!cJSON_IsNull(item))
        fail_msg("\"%s\" is %s: %s", path, jsonx_type_name(item), a->body);
}

void answer_string_is(const struct http_answer *a, const char *path, const char *value)
{
    const char *got = answer_string(a, path);
    if (strcmp(got, value) != 0)
        fail_msg("\"%s\" is \"%s\", not \"%s\": %s", path, got, value, a->body);
}

void assert_near(double value, double wanted, double tolerance, const char *what)
{
    if (!(fabs(value - wanted) <= tolerance))
        fail_msg("%s is %.17g, not %.17g within %g", what, value, wanted, tolerance);
}

const char *answer_header(const struct http_answer *a, const char *name, const char *value)
{
    const char *got = http_header(a, name);
    if (got == NULL)
        fail_msg("no %s in: %s", name, a->head);
    if (got != NULL && value != NULL && strcmp(got, value) != 0)
        fail_msg("%s is \"%s\", not \"%s\"", name, got, value);
    return got;
}

void answer_has_in_order(const struct http_answer *a, const char *const texts[])
{
    const char *at = a->body;
    for (size_t i = 0; texts[i] != NULL; i++) {
        const char *found = strstr(at, texts[i]);
        if (found == NULL)
            fail_msg("%s is missing or out of order: %s", texts[i], a->body);
        else
            at = found + strlen(texts[i]);
    }
}
