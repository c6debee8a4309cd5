/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The request gate: header fields with any bytes, as a parser may hand them on.
 * What passes has one meaning about its body. The input is a method and a
 * version (a byte each), then lines "name: value".
 */
#include <string.h>
#include <strings.h>
#include <sys/queue.h>

#include <event2/http.h>
#include <event2/http_struct.h>
#include <event2/keyvalq_struct.h>

#include "common/mem.h"
#include "supervisor/gate.h"
#include "tests/fuzz/fuzz.h"

static void add_field(struct evhttp_request *r, char *line)
{
    struct evkeyval *field = mem_alloc(sizeof *field);
    char *colon = strchr(line, ':');
    if (colon != NULL)
        *colon++ = '\0';
    while (colon != NULL && *colon == ' ')
        colon++;
    field->key = mem_strdup(line);
    field->value = mem_strdup(colon != NULL ? colon : "");
    TAILQ_INSERT_TAIL(evhttp_request_get_input_headers(r), field, next);
}

static int count(struct evhttp_request *r, const char *name)
{
    const struct evkeyval *field;
    int n = 0;
    TAILQ_FOREACH(field, evhttp_request_get_input_headers(r), next)
        n += strcasecmp(field->key, name) == 0;
    return n;
}

static void check_passed(struct evhttp_request *r)
{
    int lengths = count(r, "Content-Length"), encodings = count(r, "Transfer-Encoding");
    MUST(lengths + encodings <= 1);
    MUST(count(r, "Host") <= 1);
    MUST(gate_has_body_length(r) == (lengths + encodings == 1));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct err e = {0};
    if (n < 2)
        return 0;
    struct evhttp_request *r = evhttp_request_new(NULL, NULL);
    MUST(r != NULL);
    r->type = (enum evhttp_cmd_type)(1 << data[0] % 9);
    r->major = (char)(data[1] % 3);
    r->minor = (char)(data[1] / 3 % 3);
    char *text = fuzz_text(data + 2, n - 2);
    char *rest = text;
    for (char *line = strsep(&rest, "\n"); line != NULL; line = strsep(&rest, "\n"))
        if (line[0] != '\0')
            add_field(r, line);
    if (gate_check(r, false, &e) == 0)
        check_passed(r);
    else
        MUST(e.text[0] != '\0');
    evhttp_request_free(r);
    free(text);
    return 0;
}
