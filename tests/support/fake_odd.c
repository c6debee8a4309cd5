/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Replies, proper and odd; see fake_odd.h.
 */
#include "tests/support/fake_odd.h"

#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>

#include "common/mem.h"

struct evbuffer *fake_body(struct evhttp_request *r)
{
    return evhttp_request_get_output_buffer(r);
}

void fake_reply(struct evhttp_request *r, int status, const char *type)
{
    evhttp_add_header(evhttp_request_get_output_headers(r), "Content-Type", type);
    evhttp_send_reply(r, status, NULL, NULL);
}

void fake_reply_json(struct evhttp_request *r, cJSON *json)
{
    char *text = cJSON_PrintUnformatted(json);
    evbuffer_add(fake_body(r), text, strlen(text));
    cJSON_free(text);
    cJSON_Delete(json);
    fake_reply(r, 200, "application/json");
}

void fake_refuse(struct evhttp_request *r, int status, const char *code, const char *detail)
{
    evbuffer_add_printf(fake_body(r),
                        "{\"type\":\"about:blank\",\"title\":\"Refused\",\"status\":%d,"
                        "\"detail\":\"%s\",\"instance\":\"/x\",\"code\":\"%s\","
                        "\"errors\":[{\"pointer\":\"#/percent\",\"detail\":\"too much\"}]}",
                        status, detail, code);
    fake_reply(r, status, "application/problem+json");
}

static void on_peer(struct evhttp_request *r, struct event_base *base)
{
    char *address;
    uint16_t port;
    (void)base;
    evhttp_connection_get_peer(evhttp_request_get_connection(r), &address, &port);
    evbuffer_add_printf(fake_body(r), "{\"port\":%d}", port);
    fake_reply(r, 200, "application/json");
}

static void on_echo(struct evhttp_request *r, struct event_base *base)
{
    struct evkeyval *header;
    cJSON *j = cJSON_CreateObject();
    struct evbuffer *in = evhttp_request_get_input_buffer(r);
    (void)base;
    TAILQ_FOREACH(header, evhttp_request_get_input_headers(r), next)
        cJSON_AddStringToObject(j, header->key, header->value);
    cJSON_AddStringToObject(j, "uri", evhttp_request_get_uri(r));
    cJSON_AddBoolToObject(j, "post", evhttp_request_get_command(r) == EVHTTP_REQ_POST);
    evbuffer_add(in, "", 1);
    cJSON_AddStringToObject(j, "body", (const char *)evbuffer_pullup(in, -1));
    fake_reply_json(r, j);
}

static void on_problem(struct evhttp_request *r, struct event_base *base)
{
    (void)base;
    fake_refuse(r, 409, "canary-active", "a canary is \\u001b[31mactive");
}

static void on_html(struct evhttp_request *r, struct event_base *base)
{
    (void)base;
    evhttp_send_error(r, 400, "Bad Request");
}

static void on_garbage(struct evhttp_request *r, struct event_base *base)
{
    (void)base;
    evbuffer_add_printf(fake_body(r), "{\"a\":1,}");
    fake_reply(r, 200, "application/json");
}

static void on_empty(struct evhttp_request *r, struct event_base *base)
{
    (void)base;
    fake_reply(r, 200, "application/json");
}

static void on_huge(struct evhttp_request *r, struct event_base *base)
{
    char *blanks = mem_alloc(1 << 20);
    (void)base;
    memset(blanks, ' ', 1 << 20);
    for (int i = 0; i < 9; i++)
        evbuffer_add(fake_body(r), blanks, 1 << 20);
    evbuffer_add_printf(fake_body(r), "{}");
    free(blanks);
    fake_reply(r, 200, "application/json");
}

static void on_silent(struct evhttp_request *r, struct event_base *base)
{
    (void)r; /* never answered; evhttp frees it with the connection */
    (void)base;
}

static void drip(evutil_socket_t fd, short events, void *arg)
{
    struct evbuffer *byte = evbuffer_new();
    (void)fd;
    (void)events;
    evbuffer_add(byte, " ", 1);
    evhttp_send_reply_chunk(arg, byte);
    evbuffer_free(byte);
}

static void on_drip(struct evhttp_request *r, struct event_base *base)
{
    const struct timeval pace = {.tv_usec = 20000};
    evhttp_send_reply_start(r, 200, "OK");
    event_add(event_new(base, -1, EV_PERSIST, drip, r), &pace);
}

static void on_hang_up(struct evhttp_request *r, struct event_base *base)
{
    (void)base;
    evhttp_connection_free(evhttp_request_get_connection(r));
}

static const struct {
    const char *path;
    void (*run)(struct evhttp_request *r, struct event_base *base);
} routes[] = {
    {"/test/peer", on_peer},       {"/test/echo", on_echo},       {"/test/problem", on_problem},
    {"/test/html", on_html},       {"/test/garbage", on_garbage}, {"/test/empty", on_empty},
    {"/test/huge", on_huge},       {"/test/silent", on_silent},   {"/test/drip", on_drip},
    {"/test/hang-up", on_hang_up},
};

bool fake_odd_route(struct evhttp_request *r, const char *path, struct event_base *base)
{
    for (size_t i = 0; i < sizeof routes / sizeof routes[0]; i++) {
        size_t n = strlen(routes[i].path), have = strlen(path);
        if (have >= n && strcmp(path + have - n, routes[i].path) == 0) {
            routes[i].run(r, base);
            return true;
        }
    }
    return false;
}
