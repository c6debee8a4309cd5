/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What the fake canaryd says, and the paths at which it answers oddly: /test/peer
 * (the port of the client, to see a connection used again), /test/echo (headers,
 * uri and body back), /test/problem, /test/html, /test/garbage, /test/empty,
 * /test/huge, /test/silent, /test/drip (one byte every 20 ms for ever), /test/hang-up.
 */
#ifndef CANARYD_TESTS_FAKE_ODD_H
#define CANARYD_TESTS_FAKE_ODD_H

#include <stdbool.h>

#include <cjson/cJSON.h>

struct evbuffer;
struct event_base;
struct evhttp_request;

struct evbuffer *fake_body(struct evhttp_request *r);
void fake_reply(struct evhttp_request *r, int status, const char *type);
void fake_reply_json(struct evhttp_request *r, cJSON *json); /* takes json */
void fake_refuse(struct evhttp_request *r, int status, const char *code, const char *detail);

/* Answers if path ends in one of those above. */
bool fake_odd_route(struct evhttp_request *r, const char *path, struct event_base *base);

#endif
