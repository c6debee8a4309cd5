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

#include "supervisor/address.h"

#define MAX_LENGTH_DIGITS 15

/* Fields of which there may be one: of two we would look at the first, and a proxy
 * perhaps at the last. */
enum single {
    SINGLE_LENGTH,
    SINGLE_ENCODING,
    SINGLE_HOST,
    SINGLE_ORIGIN,
    SINGLE_AUTHORIZATION,
    SINGLE_TYPE,
    SINGLE_CODING,
    N_SINGLES
};

/* A field's name, whatever its case; most names differ in the first letter. */
static bool is_name(const char *key, const char *name)
{
    return ((key[0] ^ name[0]) & ~0x20) == 0 && strcasecmp(key, name) == 0;
}

static const char *const singles[N_SINGLES] = {
    [SINGLE_LENGTH] = "Content-Length",
    [SINGLE_ENCODING] = "Transfer-Encoding",
    [SINGLE_HOST] = "Host",
    [SINGLE_ORIGIN] = "Origin",
    [SINGLE_AUTHORIZATION] = "Authorization",
    [SINGLE_TYPE] = "Content-Type",
    [SINGLE_CODING] = "Content-Encoding",
};

struct framing {
    const char *values[N_SINGLES]; /* NULL: not there */
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
    for (int i = 0; i < N_SINGLES; i++) {
        if (!is_name(field->key, singles[i]))
            continue;
        if (f->values[i] != NULL)
            return err_set(e, "malformed-request", "the request is malformed: more than one %s",
                           singles[i]);
        f->values[i] = field->value;
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
    const char *length = f->values[SINGLE_LENGTH], *encoding = f->values[SINGLE_ENCODING];
    if (length != NULL && !is_length(length))
        return malformed(e, "a Content-Length that is not a decimal number");
    if (encoding != NULL && strcasecmp(encoding, "chunked") != 0)
        return malformed(e, "a Transfer-Encoding other than chunked");
    if (encoding != NULL && length != NULL)
        return malformed(e, "Content-Length together with Transfer-Encoding");
    return 0;
}

/* RFC 9112 section 3.2: one, and only HTTP/1.0 may do without. */
static int check_host(const struct framing *f, const struct evhttp_request *request, struct err *e)
{
    const char *host = f->values[SINGLE_HOST];
    if (host == NULL)
        return request->minor == 1 ? malformed(e, "no Host") : 0;
    return address_is_host(host, strlen(host)) ? 0 : malformed(e, "a Host that is no host");
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
    if (request->major != 1 || request->minor < 0 || request->minor > 1) {
        err_set(e, "unsupported-version", "HTTP/%d.%d is not served; use HTTP/1.1", request->major,
                request->minor);
        request->major = request->minor = 1; /* the answer's, which evhttp takes from here */
        return -1;
    }
    if (read_fields(request, &f, e) < 0 || check_framing(&f, e) < 0 ||
        check_host(&f, request, e) < 0)
        return -1;
    const char *length = f.values[SINGLE_LENGTH];
    if (!may_have_body(request) && (f.values[SINGLE_ENCODING] != NULL ||
                                    (length != NULL && strspn(length, "0") != strlen(length))))
        return malformed(e, "a body on a method that has none");
    return 0;
}

/* One of the elements of a comma-separated list is the word. */
static bool has_element(const char *list, const char *word)
{
    while (*list != '\0') {
        list += strspn(list, " \t,");
        size_t n = strcspn(list, " \t,");
        if (n == strlen(word) && strncasecmp(list, word, n) == 0)
            return true;
        list += n;
    }
    return false;
}

bool gate_wants_close(struct evhttp_request *request)
{
    const struct evkeyval *field;
    TAILQ_FOREACH(field, evhttp_request_get_input_headers(request), next)
        if (is_name(field->key, "Connection") && has_element(field->value, "close"))
            return true;
    return false;
}

bool gate_has_body_length(struct evhttp_request *request)
{
    const struct evkeyvalq *fields = evhttp_request_get_input_headers(request);
    return evhttp_find_header(fields, "Content-Length") != NULL ||
           evhttp_find_header(fields, "Transfer-Encoding") != NULL;
}
