/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * See plain_request.h. A field that is not in the table may mean something, so
 * a request that has it is not plain: the table names what may be ignored, and
 * what values say nothing unusual.
 */
#include "supervisor/plain_request.h"

#include <stdint.h>
#include <string.h>
#include <strings.h>

#include "supervisor/address.h"

#define MAX_LENGTH_DIGITS 7

enum field {
    FIELD_HOST,
    FIELD_CONTENT_LENGTH,
    FIELD_CONTENT_TYPE,
    FIELD_CONNECTION,
    FIELD_ACCEPT,
    FIELD_USER_AGENT,
    FIELD_ACCEPT_ENCODING,
    FIELD_REQUEST_ID,
    FIELD_KEPT, /* its name is the caller's; before those that it may be one of */
    FIELD_ACCEPT_LANGUAGE,
    FIELD_FORWARDED,
    FIELD_FORWARDED_FOR,
    FIELD_FORWARDED_HOST,
    FIELD_FORWARDED_PROTO,
    FIELD_REAL_IP,
    FIELD_TRACEPARENT,
    FIELD_TRACESTATE,
    FIELD_VIA,
    N_FIELDS
};

static const struct {
    const char *name;
    size_t size;
    const char *only[2]; /* the values that are plain; none: any */
} fields[N_FIELDS] = {
    [FIELD_HOST] = {"Host", 4, {NULL}},
    [FIELD_CONTENT_LENGTH] = {"Content-Length", 14, {NULL}},
    [FIELD_CONTENT_TYPE] = {"Content-Type", 12, {"application/json", NULL}},
    [FIELD_CONNECTION] = {"Connection", 10, {"keep-alive", NULL}},
    [FIELD_ACCEPT] = {"Accept", 6, {"*/*", "application/json"}},
    [FIELD_USER_AGENT] = {"User-Agent", 10, {NULL}},
    [FIELD_ACCEPT_ENCODING] = {"Accept-Encoding", 15, {NULL}},
    [FIELD_REQUEST_ID] = {"X-Request-ID", 12, {NULL}},
    [FIELD_KEPT] = {"", 0, {NULL}},
    /* what proxies and tracers add */
    [FIELD_ACCEPT_LANGUAGE] = {"Accept-Language", 15, {NULL}},
    [FIELD_FORWARDED] = {"Forwarded", 9, {NULL}},
    [FIELD_FORWARDED_FOR] = {"X-Forwarded-For", 15, {NULL}},
    [FIELD_FORWARDED_HOST] = {"X-Forwarded-Host", 16, {NULL}},
    [FIELD_FORWARDED_PROTO] = {"X-Forwarded-Proto", 17, {NULL}},
    [FIELD_REAL_IP] = {"X-Real-IP", 9, {NULL}},
    [FIELD_TRACEPARENT] = {"traceparent", 11, {NULL}},
    [FIELD_TRACESTATE] = {"tracestate", 10, {NULL}},
    [FIELD_VIA] = {"Via", 3, {NULL}},
};

struct slice {
    const char *text;
    size_t size;
};

/* The line at *at without its CRLF, and *at behind that. */
static bool next_line(const char **at, const char *end, struct slice *line)
{
    const char *stop = memchr(*at, '\r', (size_t)(end - *at));
    if (stop == NULL || stop + 1 == end || stop[1] != '\n')
        return false;
    *line = (struct slice){.text = *at, .size = (size_t)(stop - *at)};
    *at = stop + 2;
    return true;
}

static bool is_visible(const struct slice *s)
{
    for (size_t i = 0; i < s->size; i++)
        if (s->text[i] < ' ' || s->text[i] > '~')
            return false;
    return true;
}

/* Of a path that says nothing but itself: no query, no escape. */
static bool is_plain_in_path(char c)
{
    return c > ' ' && c <= '~' && c != '?' && c != '%' && c != '#' && c != '\\';
}

static bool read_start(const struct slice *line, struct plain_request *r)
{
    static const char method[] = "POST /", version[] = " HTTP/1.1";
    const size_t n_method = sizeof method - 1, n_version = sizeof version - 1;
    if (line->size < n_method + n_version || memcmp(line->text, method, n_method) != 0 ||
        memcmp(line->text + line->size - n_version, version, n_version) != 0)
        return false;
    r->path = line->text + n_method - 1;
    r->path_size = line->size - n_method - n_version + 1;
    for (size_t i = 0; i < r->path_size; i++)
        if (!is_plain_in_path(r->path[i]))
            return false;
    return true;
}

/* Whether the line is "name: value". */
static bool is_field(const struct slice *line, const char *name, size_t n, struct slice *value)
{
    if (line->size <= n || line->text[n] != ':' || strncasecmp(line->text, name, n) != 0)
        return false;
    *value = (struct slice){.text = line->text + n + 1, .size = line->size - n - 1};
    if (value->size > 0 && value->text[0] == ' ') {
        value->text++;
        value->size--;
    }
    return true;
}

/* N_FIELDS: the line is none of them. */
static enum field find_field(const struct slice *line, const char *keep, struct slice *value)
{
    for (enum field f = 0; f < N_FIELDS; f++) {
        const char *name = f == FIELD_KEPT ? keep : fields[f].name;
        size_t n = f == FIELD_KEPT ? strlen(keep) : fields[f].size;
        if (n > 0 && is_field(line, name, n, value))
            return f;
    }
    return N_FIELDS;
}

static bool is_plain_value(enum field f, const struct slice *value)
{
    if (value->size == 0 || value->text[0] == ' ' || value->text[value->size - 1] == ' ' ||
        !is_visible(value))
        return false;
    if (f == FIELD_HOST && !address_is_host(value->text, value->size))
        return false; /* the gate says why */
    bool any = fields[f].only[0] == NULL;
    for (size_t i = 0; i < 2 && !any && fields[f].only[i] != NULL; i++)
        any = strlen(fields[f].only[i]) == value->size &&
              strncasecmp(fields[f].only[i], value->text, value->size) == 0;
    return any;
}

static bool read_length(const struct slice *value, size_t *length)
{
    *length = 0;
    if (value->size > MAX_LENGTH_DIGITS)
        return false;
    for (size_t i = 0; i < value->size; i++) {
        if (value->text[i] < '0' || value->text[i] > '9')
            return false;
        *length = *length * 10 + (size_t)(value->text[i] - '0');
    }
    return *length > 0;
}

static bool read_field(const struct slice *line, const char *keep, uint32_t *seen,
                       struct plain_request *r)
{
    struct slice value = {0};
    enum field f = find_field(line, keep, &value);
    if (f == N_FIELDS || (*seen & UINT32_C(1) << f) != 0 || !is_plain_value(f, &value))
        return false;
    *seen |= UINT32_C(1) << f;
    if (f == FIELD_CONTENT_LENGTH)
        return read_length(&value, &r->body_size);
    if (f == FIELD_REQUEST_ID) {
        r->id = value.text;
        r->id_size = value.size;
    } else if (f == FIELD_KEPT) {
        r->kept = value.text;
        r->kept_size = value.size;
    }
    return true;
}

bool plain_request_read(const char *bytes, size_t n, const char *keep, struct plain_request *r)
{
    const uint32_t needed = UINT32_C(1) << FIELD_HOST | UINT32_C(1) << FIELD_CONTENT_LENGTH;
    const char *at = bytes;
    const char *end = bytes + (n < PLAIN_REQUEST_MAX_HEAD ? n : PLAIN_REQUEST_MAX_HEAD);
    struct slice line;
    uint32_t seen = 0;
    *r = (struct plain_request){0};
    if (!next_line(&at, end, &line) || !read_start(&line, r))
        return false;
    for (;;) {
        if (!next_line(&at, end, &line))
            return false;
        if (line.size == 0)
            break;
        if (!read_field(&line, keep, &seen, r))
            return false;
    }
    r->body = at;
    r->size = (size_t)(at - bytes) + r->body_size;
    return (seen & needed) == needed;
}
