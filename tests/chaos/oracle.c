/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * See oracle.h.
 */
#include "tests/chaos/oracle.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/fdio.h"
#include "common/jsonx.h"
#include "common/mem.h"
#include "tests/support/workdir.h"

#define TOLERANCE 1e-12

enum { V1, V2, N_GOLDEN };

struct question {
    char *body;
    double first; /* feature */
    double answers[N_GOLDEN];
};

struct oracle {
    size_t n;
    struct question *questions;
};

static cJSON *read_golden(const char *dir, const char *name, struct err *e)
{
    char *path = workdir_path(dir, name);
    char *text = workdir_read(path);
    cJSON *golden = text != NULL ? jsonx_parse(text, strlen(text), NULL) : NULL;
    if (golden == NULL)
        err_set(e, "no-oracle", "%s: missing, or not JSON", path);
    free(text);
    free(path);
    return golden;
}

static void add_questions(struct oracle *o, const cJSON *inputs)
{
    o->questions = mem_array((size_t)cJSON_GetArraySize(inputs), sizeof *o->questions);
    for (const cJSON *row = inputs->child; row != NULL; row = row->next) {
        struct question *q = &o->questions[o->n++];
        char *features = cJSON_PrintUnformatted(row);
        q->body = mem_printf("{\"features\":%s}", features);
        q->first = row->child->valuedouble;
        free(features);
    }
}

static void add_answers(struct oracle *o, int version, const cJSON *outputs)
{
    size_t i = 0;
    for (const cJSON *x = outputs->child; x != NULL && i < o->n; x = x->next)
        o->questions[i++].answers[version] = x->valuedouble;
}

struct oracle *oracle_new(const char *dir, struct err *e)
{
    struct oracle *o = NULL;
    cJSON *v1 = read_golden(dir, "golden_v1.json", e);
    cJSON *v2 = read_golden(dir, "golden_v2.json", e);
    if (v1 != NULL && v2 != NULL) { /* both ask the same questions */
        o = mem_alloc(sizeof *o);
        add_questions(o, jsonx_member(v1, "inputs"));
        add_answers(o, V1, jsonx_member(v1, "outputs"));
        add_answers(o, V2, jsonx_member(v2, "outputs"));
    }
    cJSON_Delete(v1);
    cJSON_Delete(v2);
    return o;
}

void oracle_free(struct oracle **o)
{
    if (*o == NULL)
        return;
    for (size_t i = 0; i < (*o)->n; i++)
        free((*o)->questions[i].body);
    free((*o)->questions);
    free(*o);
    *o = NULL;
}

size_t oracle_n(const struct oracle *o)
{
    return o->n;
}

const char *oracle_body(const struct oracle *o, size_t i)
{
    return o->questions[i].body;
}

bool oracle_agrees(const struct oracle *o, size_t i, const char *version, double answer)
{
    const struct question *q = &o->questions[i];
    double wanted = NAN;
    if (strncmp(version, "model_v1", 8) == 0)
        wanted = q->answers[V1];
    else if (strncmp(version, "model_v2", 8) == 0)
        wanted = q->answers[V2];
    else if (strncmp(version, "evil", 4) == 0)
        wanted = q->first;
    return fabs(answer - wanted) <= TOLERANCE; /* no version: never */
}
