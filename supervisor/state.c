/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * See state.h. Strict reading: what is not exactly as written is damaged.
 */
#include "supervisor/state.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sha2.h>

#include "common/jsonx.h"
#include "common/mem.h"
#include "judge/urn.h"

/* --- Writing ----------------------------------------------------------------*/

static cJSON *model_to_json(const struct saved_model *m)
{
    if (m->path == NULL)
        return cJSON_CreateNull();
    cJSON *object = cJSON_CreateObject();
    cJSON_AddStringToObject(object, "path", m->path);
    cJSON_AddStringToObject(object, "sha256", m->sha256);
    cJSON_AddStringToObject(object, "native_sha256", m->served_sha256);
    if (m->runtime != RUNTIME_NATIVE) /* so that an older canaryd can read all the others */
        cJSON_AddStringToObject(object, "runtime", runtime_name(m->runtime));
    return object;
}

static cJSON *state_to_json(const struct saved_state *s)
{
    char number[32];
    cJSON *object = cJSON_CreateObject();
    cJSON_AddItemToObject(object, "stable", model_to_json(&s->stable));
    cJSON_AddItemToObject(object, "canary", model_to_json(&s->canary));
    cJSON_AddStringToObject(object, "stable_setting", s->stable_setting);
    cJSON_AddStringToObject(object, "canary_setting", s->canary_setting);
    snprintf(number, sizeof number, "%016" PRIx64, s->deployment);
    cJSON_AddStringToObject(object, "deployment", number);
    cJSON_AddNumberToObject(object, "percent", s->percent);
    cJSON_AddBoolToObject(object, "percent_by_settings", s->percent_by_settings);
    snprintf(number, sizeof number, "%" PRId64, s->canary_start_ns);
    cJSON_AddStringToObject(object, "canary_start_ns", number);
    cJSON_AddBoolToObject(object, "slowdown", s->slowdown);
    if (s->rolled_back_by != NULL)
        cJSON_AddStringToObject(object, "rolled_back_by", s->rolled_back_by);
    else
        cJSON_AddNullToObject(object, "rolled_back_by");
    cJSON_AddItemToObject(object, "report",
                          s->report != NULL ? cJSON_Duplicate(s->report, true)
                                            : cJSON_CreateNull());
    return object;
}

static void checksum(const cJSON *state, char sum[SHA256_TEXT_SIZE])
{
    char *text = cJSON_PrintUnformatted(state);
    SHA256Data((const uint8_t *)text, strlen(text), sum);
    cJSON_free(text);
}

char *state_print(const struct saved_state *s)
{
    char sum[SHA256_TEXT_SIZE];
    cJSON *root = cJSON_CreateObject();
    cJSON *state = state_to_json(s);
    checksum(state, sum);
    cJSON_AddNumberToObject(root, "canaryd_state", STATE_VERSION);
    cJSON_AddStringToObject(root, "sha256", sum);
    cJSON_AddItemToObject(root, "state", state);
    char *text = cJSON_Print(root);
    cJSON_Delete(root);
    return text;
}

/* --- Reading: each returns whether it was as it should be -------------------*/

static bool read_sha256(const cJSON *item, char out[SHA256_TEXT_SIZE])
{
    if (!cJSON_IsString(item) || strlen(item->valuestring) != SHA256_TEXT_SIZE - 1 ||
        strspn(item->valuestring, "0123456789abcdef") != SHA256_TEXT_SIZE - 1)
        return false;
    memcpy(out, item->valuestring, SHA256_TEXT_SIZE);
    return true;
}

static bool read_text(const cJSON *item, char **out)
{
    if (!cJSON_IsString(item))
        return false;
    *out = mem_strdup(item->valuestring);
    return true;
}

static bool read_text_or_null(const cJSON *item, char **out)
{
    return cJSON_IsNull(item) || read_text(item, out);
}

/* Not said: native. */
static bool read_runtime(const cJSON *item, enum runtime *out)
{
    for (int r = 0; r < N_RUNTIMES && cJSON_IsString(item); r++) {
        *out = (enum runtime)r;
        if (strcmp(item->valuestring, runtime_name(*out)) == 0)
            return true;
    }
    *out = RUNTIME_NATIVE;
    return item == NULL;
}

static bool read_model(const cJSON *item, struct saved_model *m)
{
    if (cJSON_IsNull(item))
        return true;
    return read_text(jsonx_member(item, "path"), &m->path) &&
           read_sha256(jsonx_member(item, "sha256"), m->sha256) &&
           read_sha256(jsonx_member(item, "native_sha256"), m->served_sha256) &&
           read_runtime(jsonx_member(item, "runtime"), &m->runtime);
}

static bool read_bool(const cJSON *item, bool *out)
{
    *out = cJSON_IsTrue(item);
    return cJSON_IsBool(item);
}

static bool read_hex(const cJSON *item, uint64_t *out)
{
    char *end;
    if (!cJSON_IsString(item))
        return false;
    *out = strtoull(item->valuestring, &end, 16);
    return end != item->valuestring && *end == '\0';
}

static bool read_whole(const cJSON *item, int64_t *out)
{
    char *end;
    if (!cJSON_IsString(item))
        return false;
    *out = strtoll(item->valuestring, &end, 10);
    return end != item->valuestring && *end == '\0' && *out >= 0;
}

static bool read_percent(const cJSON *item, double *out)
{
    if (!cJSON_IsNumber(item) || !(item->valuedouble >= 0) || item->valuedouble > URN_MAX_PERCENT)
        return false;
    *out = item->valuedouble;
    return true;
}

static bool read_report(const cJSON *item, cJSON **out)
{
    if (cJSON_IsObject(item))
        *out = cJSON_Duplicate(item, true);
    return cJSON_IsObject(item) || cJSON_IsNull(item);
}

static bool read_state(const cJSON *o, struct saved_state *s)
{
    return read_model(jsonx_member(o, "stable"), &s->stable) &&
           read_model(jsonx_member(o, "canary"), &s->canary) &&
           read_text(jsonx_member(o, "stable_setting"), &s->stable_setting) &&
           read_text(jsonx_member(o, "canary_setting"), &s->canary_setting) &&
           read_hex(jsonx_member(o, "deployment"), &s->deployment) &&
           read_percent(jsonx_member(o, "percent"), &s->percent) &&
           read_bool(jsonx_member(o, "percent_by_settings"), &s->percent_by_settings) &&
           read_whole(jsonx_member(o, "canary_start_ns"), &s->canary_start_ns) &&
           read_bool(jsonx_member(o, "slowdown"), &s->slowdown) &&
           read_text_or_null(jsonx_member(o, "rolled_back_by"), &s->rolled_back_by) &&
           read_report(jsonx_member(o, "report"), &s->report) &&
           /* a canary has its share, nobody else has one */
           (s->canary.path != NULL) == (s->percent > 0) && s->stable.path != NULL;
}

static int check_frame(const cJSON *root, struct err *e)
{
    char want[SHA256_TEXT_SIZE];
    char sum[SHA256_TEXT_SIZE];
    int64_t version;
    const cJSON *state = jsonx_member(root, "state");
    if (!jsonx_as_int(jsonx_member(root, "canaryd_state"), 1, INT32_MAX, &version))
        return err_set(e, "state-damaged", "it is not a state of canaryd");
    if (version > STATE_VERSION)
        return err_set(e, "state-newer",
                       "it is of version %lld, written by a newer canaryd; this one reads %d",
                       (long long)version, STATE_VERSION);
    if (!cJSON_IsObject(state) || !read_sha256(jsonx_member(root, "sha256"), want))
        return err_set(e, "state-damaged", "its state or its checksum is missing");
    checksum(state, sum);
    if (strcmp(sum, want) != 0)
        return err_set(e, "state-damaged", "its checksum is wrong");
    return 0;
}

struct saved_state *state_parse(const char *text, size_t n, struct err *e)
{
    cJSON *root = jsonx_parse(text, n, e);
    if (root == NULL) {
        if (e != NULL)
            e->code = "state-damaged";
        return NULL;
    }
    struct saved_state *s = mem_alloc(sizeof *s);
    int rc = check_frame(root, e);
    if (rc == 0 && !read_state(jsonx_member(root, "state"), s))
        rc = err_set(e, "state-damaged", "a member of it is missing or wrong");
    cJSON_Delete(root);
    if (rc < 0)
        saved_state_free(&s);
    return s;
}

void saved_state_free(struct saved_state **handle)
{
    struct saved_state *s = *handle;
    if (s == NULL)
        return;
    *handle = NULL;
    free(s->stable.path);
    free(s->canary.path);
    free(s->stable_setting);
    free(s->canary_setting);
    free(s->rolled_back_by);
    cJSON_Delete(s->report);
    free(s);
}
