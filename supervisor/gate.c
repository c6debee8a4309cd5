/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Each check closes one hole of evhttp 2.1; docs/http.md lists what remains
 * out of a handler's sight.
 */
#include "supervisor/gate.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>
#include <sys/queue.h>

#include <event2/http.h>
#include <event2/http_struct.h>
#include <event2/keyvalq_struct.h>

#define MAX_LENGTH_DIGITS 15

struct framing {
    int n_lengths;
    int n_encodings;
    int n_hosts;
    int n_origins;
    int n_authorizations;
    const char *length;
    const char *encoding;
};

static int malformed(struct err *e, const char *what)
{
    return err_set(e, "malformed-request", "the request is malformed: %s", what);
}

/* A field name is a token (RFC 9110 section 5.6.2). */
static bool is_token(const char *text)
{
    if (text[0] == '\0')
        return false;
    for (const unsigned char *p = (const unsigned char *)text; *p != '\0'; p++)
        if (!isalnum(*p) && strchr("!#$%&'*+-.^_`|~", *p) == NULL)
            return false;
    return true;
}

static bool has_control_bytes(const char *text)
{
    for (const unsigned char *p = (const unsigned char *)text; *p != '\0'; p++)
        if ((*p < 0x20 && *p != '\t') || *p == 0x7f)
            return true;
    return false;
}

static int check_field(const struct evkeyval *field, struct framing *f, struct err *e)
{
    if (!is_token(field->key))
        return malformed(e, "a field name that is not a token");
    if (has_control_bytes(field->value))
        return malformed(e, "control bytes in a field value");
    if (strcasecmp(field->key, "Content-Length") == 0) {
        f->n_lengths++;
        f->length = field->value;
    } else if (strcasecmp(field->key, "Transfer-Encoding") == 0) {
        f->n_encodings++;
        f->encoding = field->value;
    } else if (strcasecmp(field->key, "Host") == 0) {
        f->n_hosts++;
    } else if (strcasecmp(field->key, "Origin") == 0) {
        f->n_origins++;
    } else if (strcasecmp(field->key, "Authorization") == 0) {
        f->n_authorizations++;
    }
    return 0;
}

static int read_fields(struct evhttp_request *request, struct framing *f, struct err *e)
{
    const struct evkeyvalq *fields = evhttp_request_get_input_headers(request);
    const struct evkeyval *field;
    *f = (struct framing){0};
    TAILQ_FOREACH(field, fields, next)
        if (check_field(field, f, e) < 0)
            return -1;
    return 0;
}

static bool is_length(const char *text)
{
    size_t n = strspn(text, "0123456789");
    return n > 0 && n <= MAX_LENGTH_DIGITS && text[n] == '\0';
}

static int check_framing(const struct framing *f, struct err *e)
{
    if (f->n_lengths > 1)
        return malformed(e, "more than one Content-Length");
    if (f->n_lengths == 1 && !is_length(f->length))
        return malformed(e, "a Content-Length that is not a decimal number");
    if (f->n_encodings > 1 || (f->n_encodings == 1 && strcasecmp(f->encoding, "chunked") != 0))
        return malformed(e, "a Transfer-Encoding other than chunked");
    if (f->n_encodings == 1 && f->n_lengths == 1)
        return malformed(e, "Content-Length together with Transfer-Encoding");
    return 0;
}

static bool may_have_body(struct evhttp_request *request)
{
    enum evhttp_cmd_type method = evhttp_request_get_command(request);
    return method != EVHTTP_REQ_GET && method != EVHTTP_REQ_HEAD && method != EVHTTP_REQ_CONNECT &&
           method != EVHTTP_REQ_TRACE;
}

int gate_check(struct evhttp_request *request, const char *fault, struct err *e)
{
    struct framing f;
    if (fault != NULL)
        return malformed(e, fault);
    if (request->major != 1 || request->minor < 0 || request->minor > 1)
        return err_set(e, "unsupported-version", "HTTP/%d.%d is not served; use HTTP/1.1",
                       request->major, request->minor);
    if (read_fields(request, &f, e) < 0 || check_framing(&f, e) < 0)
        return -1;
    if (f.n_hosts > 1 || (f.n_hosts == 0 && request->minor == 1))
        return malformed(e, f.n_hosts > 1 ? "more than one Host" : "no Host");
    /* We would look at the first, and a proxy perhaps at the last. */
    if (f.n_origins > 1 || f.n_authorizations > 1)
        return malformed(e,
                         f.n_origins > 1 ? "more than one Origin" : "more than one Authorization");
    if (!may_have_body(request) &&
        (f.n_encodings > 0 || (f.n_lengths > 0 && strspn(f.length, "0") != strlen(f.length))))
        return malformed(e, "a body on a method that has none");
    return 0;
}

bool gate_has_body_length(struct evhttp_request *request)
{
    const struct evkeyvalq *fields = evhttp_request_get_input_headers(request);
    return evhttp_find_header(fields, "Content-Length") != NULL ||
           evhttp_find_header(fields, "Transfer-Encoding") != NULL;
}
