/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Checked reading of a document's members; see field.h.
 */
#include "worker/field.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/jsonx.h"
#include "common/mem.h"

#define MODEL_INVALID "model-invalid"

_Static_assert(FIELD_QUOTED_SIZE >= JSONX_NUMBER_SIZE, "describe writes either");

struct field field_root(const cJSON *root)
{
    return (struct field){.item = root};
}

/* key is one of ours, so it needs no escaping. The widths are bounds that the
 * compiler wants to see: no pointer in the format is as long. */
struct field field_of(const struct field *object, const char *key)
{
    struct field f = {.item = jsonx_member(object->item, key)};
    snprintf(f.pointer, sizeof f.pointer, "%.70s/%.20s", object->pointer, key);
    return f;
}

struct field field_element(const struct field *array, size_t k, const cJSON *item)
{
    struct field f = {.item = item};
    snprintf(f.pointer, sizeof f.pointer, "%.70s/%zu", array->pointer, k);
    return f;
}

int field_refuse(const struct field *f, struct err *e, const char *fmt, ...)
{
    char sentence[400];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(sentence, sizeof sentence, fmt, ap);
    va_end(ap);
    if (f->pointer[0] == '\0')
        return err_set(e, MODEL_INVALID, "%s", sentence);
    return err_set_at(e, MODEL_INVALID, f->pointer, "%s: %s", f->pointer, sentence);
}

/* What stands there, in as few words as will do. */
static void describe(const cJSON *item, char text[FIELD_QUOTED_SIZE])
{
    if (cJSON_IsString(item))
        field_quote(text, item->valuestring);
    else if (cJSON_IsNumber(item))
        jsonx_print_number(text, item->valuedouble);
    else
        snprintf(text, FIELD_QUOTED_SIZE, "%s", jsonx_type_name(item));
}

int field_expected(const struct field *f, struct err *e, const char *fmt, ...)
{
    char expected[300];
    char got[FIELD_QUOTED_SIZE];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(expected, sizeof expected, fmt, ap);
    va_end(ap);
    if (f->item == NULL)
        return field_refuse(f, e, "is missing; expected %s", expected);
    describe(f->item, got);
    return field_refuse(f, e, "expected %s, got %s", expected, got);
}

const char *field_quote(char quoted[FIELD_QUOTED_SIZE], const char *s)
{
    size_t n = 0;
    quoted[n++] = '"';
    for (; *s != '\0' && n < FIELD_QUOTED_SIZE - 5; s++)
        quoted[n++] = (char)(*s >= 0x20 && *s < 0x7f ? *s : '?');
    snprintf(quoted + n, FIELD_QUOTED_SIZE - n, *s == '\0' ? "\"" : "...\"");
    return quoted;
}

static bool is_among(const char *s, const char *const names[], size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(s, names[i]) == 0)
            return true;
    return false;
}

/* "a, b, c" */
static void join(const char *const names[], size_t n, char *text, size_t size)
{
    size_t used = 0;
    text[0] = '\0';
    for (size_t i = 0; i < n && used < size; i++)
        used += (size_t)snprintf(text + used, size - used, "%s%s", i > 0 ? ", " : "", names[i]);
}

int field_object(const struct field *f, const char *const keys[], size_t n_keys, struct err *e)
{
    char quoted[FIELD_QUOTED_SIZE];
    char known[256];
    if (!cJSON_IsObject(f->item))
        return field_expected(f, e, "an object");
    for (const cJSON *m = f->item->child; m != NULL; m = m->next) {
        if (is_among(m->string, keys, n_keys))
            continue;
        join(keys, n_keys, known, sizeof known);
        return field_refuse(f, e, "the key %s is not known here; known are %s",
                            field_quote(quoted, m->string), known);
    }
    return 0;
}

int field_number(const struct field *f, double *x, struct err *e)
{
    if (!cJSON_IsNumber(f->item) || !isfinite(f->item->valuedouble))
        return field_expected(f, e, "a number");
    *x = f->item->valuedouble;
    return 0;
}

int field_whole(const struct field *f, int64_t min, int64_t max, int64_t *n, struct err *e)
{
    if (!jsonx_as_int(f->item, min, max, n))
        return field_expected(f, e, "a whole number from %lld to %lld", (long long)min,
                              (long long)max);
    return 0;
}

int field_text(const struct field *f, size_t max_bytes, const char **text, struct err *e)
{
    size_t n = cJSON_IsString(f->item) ? strlen(f->item->valuestring) : 0;
    if (n == 0 || n > max_bytes)
        return field_expected(f, e, "a string of 1 to %zu bytes", max_bytes);
    *text = f->item->valuestring;
    return 0;
}

int field_choice(const struct field *f, const char *const names[], size_t n, size_t *chosen,
                 struct err *e)
{
    char known[256];
    for (size_t i = 0; i < n && cJSON_IsString(f->item); i++) {
        if (strcmp(f->item->valuestring, names[i]) == 0) {
            *chosen = i;
            return 0;
        }
    }
    join(names, n, known, sizeof known);
    return field_expected(f, e, "one of %s", known);
}

int field_count(const struct field *f, size_t min, size_t max, size_t *n, struct err *e)
{
    size_t got = 0;
    if (!cJSON_IsArray(f->item))
        return field_expected(f, e, "an array");
    for (const cJSON *item = f->item->child; item != NULL; item = item->next)
        got++;
    if (got < min || got > max)
        return min == max
                   ? field_refuse(f, e, "expected %zu elements, got %zu", min, got)
                   : field_refuse(f, e, "expected %zu to %zu elements, got %zu", min, max, got);
    *n = got;
    return 0;
}

int field_numbers(const struct field *f, size_t n, double *x, struct err *e)
{
    size_t k = 0;
    if (field_count(f, n, n, &n, e) < 0)
        return -1;
    for (const cJSON *item = f->item->child; item != NULL; item = item->next, k++) {
        if (cJSON_IsNumber(item) && isfinite(item->valuedouble)) {
            x[k] = item->valuedouble;
            continue;
        }
        const struct field element = field_element(f, k, item);
        return field_expected(&element, e, "a number");
    }
    return 0;
}

double *field_new_numbers(const struct field *f, size_t n, struct err *e)
{
    if (field_count(f, n, n, &n, e) < 0)
        return NULL;
    double *x = mem_array(n, sizeof(*x));
    if (field_numbers(f, n, x, e) < 0) {
        free(x);
        return NULL;
    }
    return x;
}
