/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * One model behind one evhttp: what stands behind a proxy that splits traffic.
 * It checks and answers what canaryd checks and answers, and times nothing.
 * usage: model_server PORT MODEL.json
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>

#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>

#include "common/fdio.h"
#include "common/jsonx.h"
#include "common/log.h"
#include "common/mem.h"
#include "worker/model.h"

#define MAX_MODEL_BYTES (64UL * 1024 * 1024)

static struct model *model;
static double *features;

static int read_features(struct evbuffer *input, struct err *e)
{
    size_t n = evbuffer_get_length(input), i = 0;
    evbuffer_add(input, "", 1);
    cJSON *root = jsonx_parse((const char *)evbuffer_pullup(input, -1), n, e);
    const cJSON *array = cJSON_IsObject(root) ? jsonx_member(root, "features") : NULL;
    for (const cJSON *item = array != NULL ? array->child : NULL;
         item != NULL && cJSON_IsNumber(item) && i < model_n_features(model); item = item->next)
        features[i++] = item->valuedouble;
    bool fits = i == model_n_features(model) && cJSON_GetArraySize(array) == (int)i;
    cJSON_Delete(root);
    return fits ? 0 : err_set(e, "bad-body", "expected %zu features", model_n_features(model));
}

static void answer(struct evhttp_request *request, void *arg)
{
    struct err e = {0};
    double output = NAN;
    char number[JSONX_NUMBER_SIZE];
    (void)arg;
    if (read_features(evhttp_request_get_input_buffer(request), &e) < 0 ||
        model_predict(model, features, 1, &output, &e) < 0) {
        evhttp_send_error(request, 422, e.text);
        return;
    }
    jsonx_print_number(number, output);
    evbuffer_add_printf(evhttp_request_get_output_buffer(request), "{\"%s\":%s}",
                        model_output_name(model), number);
    evhttp_add_header(evhttp_request_get_output_headers(request), "Content-Type",
                      "application/json");
    evhttp_send_reply(request, 200, "OK", NULL);
}

static void load(const char *path)
{
    struct err e = {0};
    FILE *file = fopen(path, "rb");
    char *text = mem_array(MAX_MODEL_BYTES, 1);
    size_t n = file != NULL ? fread(text, 1, MAX_MODEL_BYTES - 1, file) : 0;
    text[n] = '\0';
    model = model_read(text, n, &e);
    if (model == NULL)
        fatal(EX_DATAERR, "%s: %s", path, e.text);
    free(text);
    fclose(file);
    features = mem_array(model_n_features(model), sizeof *features);
}

int main(int argc, char **argv)
{
    struct event_base *base = event_base_new();
    struct evhttp *http = evhttp_new(base);
    if (argc != 3)
        fatal(EX_USAGE, "usage: model_server PORT MODEL.json");
    load(argv[2]);
    evhttp_set_gencb(http, answer, NULL);
    if (evhttp_bind_socket(http, "127.0.0.1", (uint16_t)atoi(argv[1])) < 0)
        fatal(EX_UNAVAILABLE, "can't listen on 127.0.0.1:%s", argv[1]);
    event_base_dispatch(base);
    return 0;
}
