/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * libevent's HTTP client, driven until one answer is there; see client.h.
 *
 * evhttp does not say why a connection could not be made and knows no deadline
 * for a whole exchange. So reach.c finds the address that takes connections
 * before evhttp is handed it, and a timer of ours ends the wait.
 */
#include "ctl/client.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sysexits.h>

#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>

#include "common/clock.h"
#include "common/jsonx.h"
#include "common/log.h"
#include "common/mem.h"
#include "ctl/local.h"
#include "ctl/reach.h"
#include "ctl/url.h"

struct client {
    char *text;          /* the url as given */
    char *authorization; /* value of the header, or NULL */
    struct url url;
    struct event_base *base;
    struct evhttp_connection *connection; /* NULL: none yet, or the last one failed */
};

/* One exchange, filled by the callbacks. */
struct exchange {
    struct answer answer;
    bool done, connected, failed, expired;
    enum evhttp_request_error why; /* when failed */
};

struct client *client_new(const char *url, struct err *e)
{
    struct url parsed;
    if (url_parse(url, &parsed, e) != 0)
        return NULL;
    struct client *c = mem_alloc(sizeof *c);
    c->text = mem_strdup(url);
    c->url = parsed;
    c->base = event_base_new();
    if (c->base == NULL)
        fatal(EX_OSERR, "no event loop could be made");
    return c;
}

static void drop_connection(struct client *c)
{
    if (c->connection != NULL)
        evhttp_connection_free(c->connection);
    c->connection = NULL;
}

void client_free(struct client **c)
{
    if (*c == NULL)
        return;
    drop_connection(*c);
    event_base_free((*c)->base);
    free((*c)->text);
    free((*c)->authorization);
    free(*c);
    *c = NULL;
}

int client_set_token(struct client *c, const char *token, struct err *e)
{
    for (const char *t = token; *t != '\0'; t++) {
        if (*t <= ' ' || *t > '~')
            return err_set(e, "bad-token", "the token has a byte 0x%02x; expected one word",
                           (unsigned char)*t);
    }
    if (token[0] == '\0')
        return err_set(e, "bad-token", "the token is empty");
    free(c->authorization);
    c->authorization = mem_printf("Bearer %s", token);
    return 0;
}

const char *client_url(const struct client *c)
{
    return c->text;
}

void answer_clear(struct answer *a)
{
    cJSON_Delete(a->json);
    free(a->text);
    *a = (struct answer){0};
}

static int find_address(const struct client *c, int timeout_ms, char address[REACH_ADDRESS_SIZE],
                        struct err *e)
{
    struct err why = {0};
    if (reach_address(c->url.host, c->url.port, timeout_ms, address, &why) == 0)
        return 0;
    return err_set(e, why.code,
                   "no canaryd answers at %s: %s; start one with 'make run', or name another with "
                   "--url",
                   c->text, why.text);
}

static int connect_once(struct client *c, int timeout_ms, struct err *e)
{
    char address[REACH_ADDRESS_SIZE];
    if (find_address(c, timeout_ms, address, e) != 0)
        return -1;
    c->connection = evhttp_connection_base_new(c->base, NULL, address, (uint16_t)c->url.port);
    if (c->connection == NULL)
        fatal(EX_OSERR, "no HTTP connection could be made");
    evhttp_connection_set_max_body_size(c->connection, CLIENT_MAX_BODY_BYTES);
    return 0;
}

static void copy_header(struct evhttp_request *r, const char *name, char *text, size_t size)
{
    const char *value = evhttp_find_header(evhttp_request_get_input_headers(r), name);
    snprintf(text, size, "%s", value == NULL ? "" : value);
}

static void on_expiry(evutil_socket_t fd, short events, void *arg)
{
    struct exchange *x = arg;
    (void)fd;
    (void)events;
    x->expired = true;
}

static void on_failure(enum evhttp_request_error why, void *arg)
{
    struct exchange *x = arg;
    x->failed = true;
    x->why = why;
}

/* r is NULL after a failure, and has status 0 when no connection came about. */
static void on_answer(struct evhttp_request *r, void *arg)
{
    struct exchange *x = arg;
    x->done = true;
    x->connected = x->failed || (r != NULL && evhttp_request_get_response_code(r) != 0);
    if (x->failed || r == NULL || !x->connected)
        return;
    struct evbuffer *body = evhttp_request_get_input_buffer(r);
    x->answer.status = evhttp_request_get_response_code(r);
    x->answer.n = evbuffer_get_length(body);
    x->answer.text = mem_alloc(x->answer.n + 1);
    evbuffer_remove(body, x->answer.text, x->answer.n);
    copy_header(r, "X-Canary-Arm", x->answer.arm, sizeof x->answer.arm);
    copy_header(r, "X-Model-Version", x->answer.model, sizeof x->answer.model);
}

static int send_question(struct client *c, const struct question *q, struct exchange *x)
{
    struct evhttp_request *r = evhttp_request_new(on_answer, x);
    if (r == NULL)
        fatal(EX_SOFTWARE, "no HTTP request could be made");
    struct evkeyvalq *headers = evhttp_request_get_output_headers(r);
    evhttp_request_set_error_cb(r, on_failure);
    evhttp_add_header(headers, "Host", c->url.authority);
    evhttp_add_header(headers, "User-Agent", "canaryctl/" CANARYD_VERSION);
    evhttp_add_header(headers, "Accept", "application/json, application/problem+json");
    if (c->authorization != NULL)
        evhttp_add_header(headers, "Authorization", c->authorization);
    if (q->body != NULL) {
        char *text = cJSON_PrintUnformatted(q->body);
        if (text == NULL)
            fatal(EX_SOFTWARE, "out of memory: a request body could not be written");
        evhttp_add_header(headers, "Content-Type", "application/json");
        evbuffer_add(evhttp_request_get_output_buffer(r), text, strlen(text));
        cJSON_free(text);
    }
    char *target = mem_printf("%s%s", c->url.prefix, q->path);
    enum evhttp_cmd_type method = strcmp(q->method, "POST") == 0 ? EVHTTP_REQ_POST : EVHTTP_REQ_GET;
    int rc = evhttp_make_request(c->connection, r, method, target); /* takes r, even on failure */
    free(target);
    return rc;
}

static void wait_for_answer(struct client *c, struct exchange *x, int64_t left_ns)
{
    struct timeval left = {.tv_sec = left_ns / NS_PER_SEC,
                           .tv_usec = (suseconds_t)(left_ns % NS_PER_SEC / 1000)};
    struct timeval never_first = {.tv_sec = left.tv_sec + 60};
    struct event *timer = evtimer_new(c->base, on_expiry, x);
    if (timer == NULL || evtimer_add(timer, &left) != 0)
        fatal(EX_OSERR, "no timer could be made");
    evhttp_connection_set_timeout_tv(c->connection, &never_first);
    while (!x->done && !x->expired && event_base_loop(c->base, EVLOOP_ONCE) == 0)
        ;
    event_free(timer);
}

static const char *failure_text(enum evhttp_request_error why)
{
    switch (why) {
    case EVREQ_HTTP_EOF:
        return "it closed the connection before the answer was whole";
    case EVREQ_HTTP_INVALID_HEADER:
        return "it does not speak HTTP";
    case EVREQ_HTTP_DATA_TOO_LONG:
        return "the answer is longer than 8 MiB";
    case EVREQ_HTTP_TIMEOUT:
    case EVREQ_HTTP_BUFFER_ERROR:
    case EVREQ_HTTP_REQUEST_CANCEL:
        break;
    }
    return "the connection was lost";
}

/* What came of the exchange, when it is not an answer. */
static int explain(struct client *c, const struct question *q, const struct exchange *x,
                   struct err *e)
{
    drop_connection(c);
    if (!x->done)
        return err_set(e, "timeout", "the server at %s has not answered %s %s in %d ms", c->text,
                       q->method, q->path, q->timeout_ms);
    if (!x->connected) {
        char address[REACH_ADDRESS_SIZE];
        if (find_address(c, q->timeout_ms, address, e) != 0)
            return -1;
    }
    return err_set(e, "bad-answer", "no proper answer to %s %s from %s: %s", q->method, q->path,
                   c->text, failure_text(x->connected ? x->why : EVREQ_HTTP_BUFFER_ERROR));
}

/* A refusal need not be JSON (libevent's parser answers in HTML); a success must. */
static int read_body(const struct client *c, const struct question *q, struct answer *a,
                     struct err *e)
{
    struct err why = {0};
    if (a->n > 0)
        a->json = jsonx_parse(a->text, a->n, &why);
    if (a->json != NULL || a->status < 200 || a->status >= 300)
        return 0;
    return err_set(e, "bad-answer", "the answer to %s %s from %s is no JSON: %s", q->method,
                   q->path, c->text, a->n == 0 ? "it is empty" : why.text);
}

/* --- Over a Unix socket -----------------------------------------------------*/

static char *write_request(const struct client *c, const struct question *q)
{
    char *body = q->body != NULL ? cJSON_PrintUnformatted(q->body) : NULL;
    size_t n = body != NULL ? strlen(body) : 0;
    char *text = mem_printf(
        "%s %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: canaryctl/" CANARYD_VERSION
        "\r\nAccept: application/json, application/problem+json\r\n"
        "Connection: close\r\n%s%s%s%sContent-Length: %zu\r\n\r\n%s",
        q->method, q->path, c->url.authority, c->authorization != NULL ? "Authorization: " : "",
        c->authorization != NULL ? c->authorization : "", c->authorization != NULL ? "\r\n" : "",
        body != NULL ? "Content-Type: application/json\r\n" : "", n, body != NULL ? body : "");
    cJSON_free(body);
    return text;
}

static void explain_socket(const struct client *c, const struct question *q, struct err *e)
{
    char why[sizeof e->text];
    const char *code = e->code;
    snprintf(why, sizeof why, "%s", e->text);
    if (strcmp(code, "unreachable") == 0)
        err_set(e, code, "no canaryd answers at %.120s: %.200s; is admin_listen set?", c->text,
                why);
    else if (strcmp(code, "timeout") == 0)
        err_set(e, code, "the server at %.120s has not answered %s %.100s in %d ms", c->text,
                q->method, q->path, q->timeout_ms);
    else
        err_set(e, code, "no proper answer to %s %.100s from %.120s: %.100s", q->method, q->path,
                c->text, why);
}

static int ask_socket(const struct client *c, const struct question *q, int64_t deadline_ns,
                      struct answer *a, struct err *e)
{
    struct local_answer came;
    char *request = write_request(c, q);
    int rc = local_ask(c->url.socket, request, CLIENT_MAX_BODY_BYTES, deadline_ns, &came, e);
    free(request);
    if (rc < 0) {
        explain_socket(c, q, e);
        return -1;
    }
    a->status = came.status;
    a->n = came.n - came.body;
    local_header(&came, "X-Canary-Arm", a->arm, sizeof a->arm);
    local_header(&came, "X-Model-Version", a->model, sizeof a->model);
    memmove(came.text, came.text + came.body, a->n + 1);
    a->text = came.text;
    return 0;
}

/* --- Over TCP ---------------------------------------------------------------*/

static int ask_tcp(struct client *c, const struct question *q, int64_t deadline_ns,
                   struct answer *a, struct err *e)
{
    struct exchange x = {0};
    if (c->connection != NULL) /* let evhttp notice that the server closed in the meantime */
        event_base_loop(c->base, EVLOOP_NONBLOCK);
    else if (connect_once(c, q->timeout_ms, e) != 0)
        return -1;
    if (send_question(c, q, &x) == 0) {
        int64_t left_ns = deadline_ns - clock_mono_ns();
        wait_for_answer(c, &x, left_ns > NS_PER_MS ? left_ns : NS_PER_MS);
    } else {
        x.done = true;
    }
    if (!x.done || !x.connected || x.failed)
        return explain(c, q, &x, e);
    *a = x.answer;
    return 0;
}

int client_ask(struct client *c, const struct question *q, struct answer *a, struct err *e)
{
    int64_t deadline_ns = clock_mono_ns() + q->timeout_ms * NS_PER_MS;
    *a = (struct answer){0};
    int rc = c->url.socket[0] != '\0' ? ask_socket(c, q, deadline_ns, a, e)
                                      : ask_tcp(c, q, deadline_ns, a, e);
    if (rc == 0 && read_body(c, q, a, e) != 0) {
        answer_clear(a);
        rc = -1;
    }
    return rc;
}
