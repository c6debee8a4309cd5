/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * See api_predict.h. Unknown keys beside "features" are ignored, so that a
 * client may send what it also sends elsewhere.
 */
#include "supervisor/api_predict.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/clock.h"
#include "common/jsonx.h"
#include "common/mem.h"
#include "proto/wire.h"
#include "supervisor/features.h"
#include "supervisor/gateway.h"
#include "supervisor/router.h"
#include "supervisor/settings.h"

_Static_assert(SETTINGS_MAX_HEADER <= GATEWAY_MAX_FIELD, "any user_header has room");

struct api_predict {
    struct gateway *gateway;
    struct router *router;
    const struct settings *settings;
    double features[WIRE_MAX_FEATURES]; /* of the request being read */
};

static int read_numbers(const cJSON *array, double *numbers, size_t expected, struct err *e)
{
    size_t n = 0;
    for (const cJSON *item = array->child; item != NULL; item = item->next, n++) {
        char pointer[40];
        if (n >= expected)
            continue; /* counted for the message */
        snprintf(pointer, sizeof pointer, "/features/%zu", n);
        if (!cJSON_IsNumber(item))
            return err_set_at(e, "wrong-type", pointer, "features[%zu]: expected a number, got %s",
                              n, jsonx_type_name(item));
        numbers[n] = item->valuedouble;
    }
    if (n != expected)
        return err_set_at(e, "wrong-length", "/features", "features: expected %zu numbers, got %zu",
                          expected, n);
    return 0;
}

static int read_features(const cJSON *root, double *numbers, size_t expected, struct err *e)
{
    if (!cJSON_IsObject(root))
        return err_set(e, "not-an-object", "expected an object like {\"features\": [...]}, got %s",
                       jsonx_type_name(root));
    const cJSON *features = jsonx_member(root, "features");
    if (features == NULL)
        return err_set_at(e, "missing-features", "/features",
                          "features: missing; expected an array of %zu numbers", expected);
    if (!cJSON_IsArray(features))
        return err_set_at(e, "wrong-type", "/features", "features: expected an array, got %s",
                          jsonx_type_name(features));
    return read_numbers(features, numbers, expected, e);
}

static int read_body(struct api_predict *a, const struct exchange *x, size_t expected,
                     struct err *e)
{
    size_t n;
    const char *body = exchange_body(x, &n);
    if (n == 0)
        return err_set(e, "empty-body", "expected a body like {\"features\": [...]}");
    if (features_read(body, n, a->features, expected))
        return 0;
    cJSON *root = jsonx_parse(body, n, e);
    if (root == NULL)
        return -1;
    int rc = read_features(root, a->features, expected, e);
    cJSON_Delete(root);
    return rc;
}

/* An arm by name counts for more than a user's. */
static int read_wish(const struct api_predict *a, const struct exchange *x, struct wish *wish,
                     struct err *e)
{
    const char *arm = exchange_header(x, "X-Canary");
    const char *header = a->settings->user_header;
    const char *user = header[0] != '\0' ? exchange_header(x, header) : NULL;
    if (arm != NULL && strcasecmp(arm, "always") == 0)
        wish->routing = ROUTING_TO_CANARY;
    else if (arm != NULL && strcasecmp(arm, "never") == 0)
        wish->routing = ROUTING_TO_STABLE;
    else if (arm != NULL)
        return err_set(e, "bad-header", "X-Canary: expected always or never, got \"%.64s\"", arm);
    else if (user != NULL && user[0] != '\0')
        *wish = (struct wish){.routing = ROUTING_BY_USER, .user = router_user(user, strlen(user))};
    return 0;
}

/* In ms with three decimals, rounded; by hand, as printf takes as long as all the rest. */
static char *put_ms(char *at, int64_t ns)
{
    uint64_t us = ns > 0 ? ((uint64_t)ns + 500) / 1000 : 0;
    at += jsonx_print_whole(at, us / 1000);
    *at++ = '.';
    for (unsigned place = 100; place > 0; place /= 10)
        *at++ = (char)('0' + us / place % 10);
    return at;
}

static void reply_prediction(struct exchange *x, const struct prediction *p)
{
    char body[WIRE_MAX_NAME + 256];
    char *at = stpcpy(body, "{\"");
    at = stpcpy(at, p->output_name);
    at = stpcpy(at, "\":");
    at += jsonx_print_number(at, p->output);
    at = stpcpy(at, ",\"model_used\":\"");
    at = stpcpy(at, arm_user_name(p->arm));
    at = stpcpy(at, "\",\"latency_ms\":");
    at = put_ms(at, p->round_trip_ns);
    at = stpcpy(at, ",\"request_id\":\"");
    at = stpcpy(at, exchange_id(x));
    at = stpcpy(at, "\"}");
    exchange_set_header(x, "X-Model-Version", p->version);
    exchange_set_header(x, "X-Canary-Arm", arm_name(p->arm));
    exchange_reply(x, 200, "application/json", body, (size_t)(at - body));
}

static void on_predicted(void *arg, const struct prediction *answer, const struct err *why)
{
    struct exchange *x = arg;
    if (answer != NULL)
        reply_prediction(x, answer);
    else
        exchange_reply_problem(x, why);
}

static void handle_predict(void *arg, struct exchange *x)
{
    struct api_predict *a = arg;
    struct err e = {0};
    struct wish wish = {.routing = ROUTING_BY_LOT};
    size_t n = router_n_features(a->router);
    if (read_wish(a, x, &wish, &e) < 0 || read_body(a, x, n, &e) < 0 ||
        router_predict(a->router, a->features, n, &wish, on_predicted, x, &e) < 0)
        exchange_reply_problem(x, &e);
}

static const struct route routes[] = {
    {"POST", "/predict", false, handle_predict},
};

void api_predict_set_settings(struct api_predict *a, const struct settings *settings)
{
    a->settings = settings;
    gateway_keep_field(a->gateway, settings->user_header);
}

struct api_predict *api_predict_new(struct gateway *g, struct router *router,
                                    const struct settings *settings)
{
    struct api_predict *a = mem_alloc(sizeof *a);
    a->gateway = g;
    a->router = router;
    api_predict_set_settings(a, settings);
    gateway_add_routes(g, routes, sizeof routes / sizeof routes[0], a);
    gateway_set_express(g, &routes[0], a);
    return a;
}

void api_predict_free(struct api_predict **a)
{
    free(*a);
    *a = NULL;
}
