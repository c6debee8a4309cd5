/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The table of errors; see problems.h. docs/http.md says what they mean.
 */
#include "supervisor/problems.h"

#include <stdio.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "common/jsonx.h"
#include "common/log.h"

/* clang-format off */
static const struct problem table[] = {
    /* bytes and syntax */
    {"malformed-request",      400, "Malformed HTTP request"},
    {"bad-json",               400, "Malformed JSON"},
    {"too-deep",               400, "JSON nested too deeply"},
    {"duplicate-key",          400, "Duplicate key"},
    {"empty-body",             400, "Empty body"},
    {"bad-header",             400, "Malformed header"},
    {"missing-model-path",     400, "Missing model path"},
    {"path-outside-model-dir", 400, "Path outside the model directory"},
    {"not-a-regular-file",     400, "Not a regular file"},
    /* who and where */
    {"token-missing",          401, "Token missing"},
    {"token-wrong",            401, "Token wrong"},
    {"admin-closed",           403, "Admin endpoints are closed"},
    {"wrong-host",             403, "Wrong host"},
    {"cross-site",             403, "Cross-site request"},
    {"peer-not-allowed",       403, "Peer not allowed"},
    {"model-unreadable",       403, "Model file unreadable"},
    {"not-found",              404, "Not found"},
    {"model-not-found",        404, "Model not found"},
    {"method-not-allowed",     405, "Method not allowed"},
    {"request-timeout",        408, "Request timeout"},
    /* state */
    {"canary-active",          409, "A canary is active"},
    {"canary-loading",         409, "A canary is loading"},
    {"promotion-pending",      409, "A promotion is under way"},
    {"canary-not-ready",       409, "The canary is not ready"},
    {"no-canary",              409, "No canary"},
    {"alert-stands",           409, "The alert stands"},
    {"incompatible-inputs",    409, "Incompatible inputs"},
    {"superseded",             409, "Superseded"},
    /* limits */
    {"body-too-large",         413, "Body too large"},
    {"model-too-large",        413, "Model too large"},
    {"unsupported-media-type", 415, "Unsupported media type"},
    {"too-many-failures",      429, "Too many failures"},
    /* meaning */
    {"not-an-object",          422, "Not an object"},
    {"missing-features",       422, "Missing features"},
    {"wrong-type",             422, "Wrong type"},
    {"wrong-length",           422, "Wrong number of features"},
    {"not-finite",             422, "Number not finite"},
    {"number-too-long",        422, "Number too long"},
    {"out-of-range",           422, "Out of range"},
    {"unknown-key",            422, "Unknown key"},
    {"model-invalid",          422, "Not a model that can be served"},
    {"sha256-mismatch",        422, "Checksum does not match"},
    {"unsafe-directory",       422, "Anybody may write there"},
    {"python-missing",         422, "Python is not installed"},
    {"cage-missing",           422, "Nothing to cage a pickle with"},
    /* workers and load */
    {"model-fault",            502, "The model cannot answer"},
    {"poison-request",         502, "Poison request"},
    {"spawn-failed",           503, "No worker could be started"},
    {"overloaded",             503, "Overloaded"},
    {"too-many-connections",   503, "Too many connections"},
    {"unavailable",            503, "Unavailable"},
    {"not-ready",              503, "Not ready"},
    {"state-not-saved",        507, "The state cannot be saved"},
    {"deadline",               504, "Deadline exceeded"},
    {"worker-start-timeout",   504, "Worker not ready in time"},
    {"unsupported-version",    505, "HTTP version not supported"},
};
/* clang-format on */

static const struct {
    int status;
    const char *reason;
} reasons[] = {
    {200, "OK"},
    {204, "No Content"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {408, "Request Timeout"},
    {409, "Conflict"},
    {413, "Content Too Large"},
    {415, "Unsupported Media Type"},
    {422, "Unprocessable Content"},
    {429, "Too Many Requests"},
    {502, "Bad Gateway"},
    {503, "Service Unavailable"},
    {504, "Gateway Timeout"},
    {505, "HTTP Version Not Supported"},
    {507, "Insufficient Storage"},
};

const struct problem *problem_find(const char *code)
{
    static const struct problem unknown = {"unexpected", 502, "Unexpected failure"};
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if (strcmp(table[i].code, code) == 0)
            return &table[i];
    log_error("error code \"%s\" is missing in the table of problems", code);
    return &unknown;
}

const char *status_reason(int status)
{
    for (size_t i = 0; i < sizeof reasons / sizeof reasons[0]; i++)
        if (reasons[i].status == status)
            return reasons[i].reason;
    return "Unknown";
}

char *problem_to_json(const struct problem *p, const struct err *e, const char *instance)
{
    char text[sizeof e->text];
    char type[80];
    char pointer[sizeof e->pointer + 1];
    snprintf(text, sizeof text, "%s", e->text);
    jsonx_clean_utf8(text);
    snprintf(type, sizeof type, "urn:canaryd:problem:%s", p->code);
    cJSON *root = cJSON_CreateObject();
    cJSON_AddStringToObject(root, "type", type);
    cJSON_AddStringToObject(root, "title", p->title);
    cJSON_AddNumberToObject(root, "status", p->status);
    cJSON_AddStringToObject(root, "detail", text);
    cJSON_AddStringToObject(root, "instance", instance);
    cJSON_AddStringToObject(root, "code", p->code);
    if (e->pointer[0] != '\0') {
        cJSON *entry = cJSON_CreateObject();
        snprintf(pointer, sizeof pointer, "#%s", e->pointer);
        jsonx_clean_utf8(pointer);
        cJSON_AddStringToObject(entry, "pointer", pointer);
        cJSON_AddStringToObject(entry, "detail", text);
        cJSON_AddItemToArray(cJSON_AddArrayToObject(root, "errors"), entry);
    }
    char *body = cJSON_PrintUnformatted(root);
    cJSON_Delete(root);
    return body;
}
