/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A bare evhttp that reads a request and answers a fixed body: what libevent's
 * HTTP alone costs. The measure that `make bench` gives everything in.
 * usage: bare_evhttp PORT
 */
#include <stdlib.h>
#include <sysexits.h>

#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>

#include "common/log.h"

static const char body[] = "{\"churn_probability\":0.12345678901234567,\"model_used\":\"stable\","
                           "\"latency_ms\":0.041,\"request_id\":\"req_0123456789abcdef\"}";

static void answer(struct evhttp_request *request, void *arg)
{
    (void)arg;
    evhttp_add_header(evhttp_request_get_output_headers(request), "Content-Type",
                      "application/json");
    evbuffer_add(evhttp_request_get_output_buffer(request), body, sizeof body - 1);
    evhttp_send_reply(request, 200, "OK", NULL);
}

int main(int argc, char **argv)
{
    struct event_base *base = event_base_new();
    struct evhttp *http = evhttp_new(base);
    int port = argc == 2 ? atoi(argv[1]) : 0;
    evhttp_set_gencb(http, answer, NULL);
    if (evhttp_bind_socket(http, "127.0.0.1", (uint16_t)port) < 0)
        fatal(EX_UNAVAILABLE, "can't listen on 127.0.0.1:%d", port);
    event_base_dispatch(base);
    return 0;
}
