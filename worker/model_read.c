/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The reader of a native model document: what it is, its inputs and output, and
 * the linear predictor. Trees are read by model_read_trees.c, probes by
 * model_read_probes.c. A complaint that does not come from here or there comes
 * from the strict JSON scan, with the byte offset.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/jsonx.h"
#include "common/mem.h"
#include "worker/model.h"
#include "worker/model_parts.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

/* The kind says what the model is and which predictor the document must hold;
 * the arithmetic is in the members alone. */
static const char *const kind_names[] = {"logistic-regression", "linear-regression",
                                         "decision-tree", "random-forest", "gradient-boosting"};
static const enum predictor kind_predictors[COUNT(kind_names)] = {
    PREDICTOR_LINEAR, PREDICTOR_LINEAR, PREDICTOR_ENSEMBLE, PREDICTOR_ENSEMBLE, PREDICTOR_ENSEMBLE,
};

static const char *const predictor_names[N_PREDICTORS] = {
    [PREDICTOR_LINEAR] = "linear",
    [PREDICTOR_ENSEMBLE] = "ensemble",
};
static int (*const predictor_readers[N_PREDICTORS])(struct model *, const struct field *,
                                                    struct err *) = {
    [PREDICTOR_LINEAR] = model_read_linear,
    [PREDICTOR_ENSEMBLE] = model_read_ensemble,
};

static const char *const operation_names[N_OPS] = {
    [OP_ADD] = "add",       [OP_SUBTRACT] = "subtract", [OP_MULTIPLY] = "multiply",
    [OP_DIVIDE] = "divide", [OP_AT_LEAST] = "at_least", [OP_AT_MOST] = "at_most",
};
static const char *const sum_names[N_SUMS] = {
    [SUM_SEQUENTIAL] = "sequential",
    [SUM_FUSED] = "fused",
};
static const char *const link_names[N_LINKS] = {
    [LINK_IDENTITY] = "identity",
    [LINK_LOGISTIC] = "logistic",
};

/* "format" and "version" come first, so that a document of another kind is told
 * so and not that one of its keys is unknown. */
static int read_signature(const struct field *root, struct err *e)
{
    const struct field format = field_of(root, "format");
    const struct field version = field_of(root, "version");
    static const char *const names[] = {"canaryd-model"};
    size_t chosen;
    int64_t number;
    if (!cJSON_IsObject(root->item))
        return field_expected(root, e, "a model: an object");
    if (format.item == NULL)
        return field_refuse(root, e,
                            "this JSON is not a canaryd model: it has no \"format\":"
                            "\"canaryd-model\"");
    if (field_choice(&format, names, 1, &chosen, e) < 0)
        return -1;
    return field_whole(&version, 1, 1, &number, e);
}

static int read_kind(struct model *m, const struct field *root, struct err *e)
{
    const struct field f = field_of(root, "kind");
    size_t kind;
    if (field_choice(&f, kind_names, COUNT(kind_names), &kind, e) < 0)
        return -1;
    m->kind = kind_names[kind];
    m->predictor = kind_predictors[kind];
    return 0;
}

static int read_name(const struct field *root, struct err *e)
{
    const struct field f = field_of(root, "name");
    const char *unused;
    return f.item == NULL ? 0 : field_text(&f, MODEL_MAX_NAME, &unused, e);
}

/* The output's name becomes a key of every reply, beside ours. */
static int read_output(struct model *m, const struct field *root, struct err *e)
{
    static const char *const taken[] = {"model_used", "latency_ms", "request_id"};
    static const char *const letters =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-";
    const struct field f = field_of(root, "output");
    const char *name = "churn_probability";
    if (f.item != NULL && field_text(&f, MODEL_MAX_OUTPUT_NAME, &name, e) < 0)
        return -1;
    if (name[strspn(name, letters)] != '\0')
        return field_expected(&f, e, "a name of letters, digits, '_', '.' and '-'");
    for (size_t i = 0; i < COUNT(taken); i++)
        if (strcmp(name, taken[i]) == 0)
            return field_refuse(&f, e, "\"%s\" is already a key of every reply", name);
    snprintf(m->output, sizeof m->output, "%s", name);
    return 0;
}

static int read_n_features(struct model *m, const struct field *root, struct err *e)
{
    const struct field f = field_of(root, "n_features");
    int64_t n;
    if (field_whole(&f, 1, MODEL_MAX_FEATURES, &n, e) < 0)
        return -1;
    m->n_features = (size_t)n;
    return 0;
}

/* Only checked: an array of n_features strings. */
static int read_feature_names(const struct model *m, const struct field *root, struct err *e)
{
    const struct field f = field_of(root, "feature_names");
    size_t n = m->n_features;
    size_t k = 0;
    const char *unused;
    if (f.item == NULL)
        return 0;
    if (field_count(&f, n, n, &n, e) < 0)
        return -1;
    for (const cJSON *item = f.item->child; item != NULL; item = item->next) {
        const struct field name = field_element(&f, k++, item);
        if (field_text(&name, MODEL_MAX_NAME, &unused, e) < 0)
            return -1;
    }
    return 0;
}

/* For people: an object of strings, whatever its keys. */
static int read_about(const struct field *root, struct err *e)
{
    const struct field f = field_of(root, "about");
    char quoted[FIELD_QUOTED_SIZE];
    if (f.item == NULL)
        return 0;
    if (!cJSON_IsObject(f.item))
        return field_expected(&f, e, "an object");
    for (const cJSON *m = f.item->child; m != NULL; m = m->next)
        if (!cJSON_IsString(m))
            return field_refuse(&f, e, "%s: expected a string, got %s",
                                field_quote(quoted, m->string), jsonx_type_name(m));
    return 0;
}

static int read_transform(struct model *m, const struct field *f, struct err *e)
{
    struct transform *t = &m->transforms[m->n_transforms];
    const cJSON *member = f->item->child;
    if (field_object(f, operation_names, N_OPS, e) < 0)
        return -1;
    if (member == NULL || member->next != NULL)
        return field_refuse(f, e, "expected exactly one operation");
    const struct field by = field_of(f, member->string);
    for (size_t op = 0; op < N_OPS; op++)
        if (strcmp(member->string, operation_names[op]) == 0)
            t->operation = (enum operation)op;
    t->by = field_new_numbers(&by, m->n_features, e);
    if (t->by == NULL)
        return -1;
    m->n_transforms++;
    for (size_t i = 0; t->operation == OP_DIVIDE && i < m->n_features; i++)
        if (t->by[i] == 0)
            return field_refuse(&by, e, "element %zu divides by zero", i);
    return 0;
}

static int read_transforms(struct model *m, const struct field *root, struct err *e)
{
    const struct field f = field_of(root, "transforms");
    size_t n;
    size_t k = 0;
    if (f.item == NULL)
        return 0;
    if (field_count(&f, 0, MODEL_MAX_TRANSFORMS, &n, e) < 0)
        return -1;
    for (const cJSON *item = f.item->child; item != NULL; item = item->next) {
        const struct field one = field_element(&f, k++, item);
        if (read_transform(m, &one, e) < 0)
            return -1;
    }
    return 0;
}

int model_read_sum(const struct field *predictor, enum summing *sum, struct err *e)
{
    const struct field f = field_of(predictor, "sum");
    size_t chosen;
    if (f.item == NULL)
        return 0;
    if (field_choice(&f, sum_names, N_SUMS, &chosen, e) < 0)
        return -1;
    *sum = (enum summing)chosen;
    return 0;
}

int model_read_linear(struct model *m, const struct field *f, struct err *e)
{
    static const char *const keys[] = {"coefficients", "intercept", "sum"};
    if (field_object(f, keys, COUNT(keys), e) < 0)
        return -1;
    const struct field coefficients = field_of(f, "coefficients");
    const struct field intercept = field_of(f, "intercept");
    m->linear.coefficients = field_new_numbers(&coefficients, m->n_features, e);
    if (m->linear.coefficients == NULL || field_number(&intercept, &m->linear.intercept, e) < 0)
        return -1;
    return model_read_sum(f, &m->linear.sum, e);
}

/* The predictor that the kind asks for, and no other. */
static int read_predictor(struct model *m, const struct field *root, struct err *e)
{
    for (size_t i = 0; i < N_PREDICTORS; i++) {
        const struct field f = field_of(root, predictor_names[i]);
        if (i != m->predictor && f.item != NULL)
            return field_refuse(&f, e, "a %s has \"%s\" instead", m->kind,
                                predictor_names[m->predictor]);
    }
    const struct field f = field_of(root, predictor_names[m->predictor]);
    return predictor_readers[m->predictor](m, &f, e);
}

static int read_link(struct model *m, const struct field *root, struct err *e)
{
    const struct field f = field_of(root, "link");
    size_t chosen;
    if (field_choice(&f, link_names, N_LINKS, &chosen, e) < 0)
        return -1;
    m->link = (enum link)chosen;
    return 0;
}

/* Inputs before predictor, predictor before probes: each needs the ones before. */
static int read_document(struct model *m, const struct field *root, struct err *e)
{
    static const char *const keys[] = {
        "format", "version",    "kind",   "name",     "output", "n_features", "feature_names",
        "about",  "transforms", "linear", "ensemble", "link",   "probes",
    };
    if (read_signature(root, e) < 0 || read_kind(m, root, e) < 0 ||
        field_object(root, keys, COUNT(keys), e) < 0 || read_name(root, e) < 0 ||
        read_output(m, root, e) < 0 || read_n_features(m, root, e) < 0 ||
        read_feature_names(m, root, e) < 0 || read_about(root, e) < 0 ||
        read_transforms(m, root, e) < 0 || read_predictor(m, root, e) < 0 ||
        read_link(m, root, e) < 0)
        return -1;
    m->row = mem_array(m->n_features, sizeof(*m->row));
    const struct field probes = field_of(root, "probes");
    return model_check_probes(m, &probes, e);
}

struct model *model_read(const char *text, size_t n, struct err *e)
{
    cJSON *root = jsonx_parse(text, n, e);
    if (root == NULL) {
        if (e != NULL)
            e->code = "model-invalid";
        return NULL;
    }
    struct model *m = mem_alloc(sizeof(*m));
    const struct field document = field_root(root);
    if (read_document(m, &document, e) < 0)
        model_free(&m);
    cJSON_Delete(root);
    return m;
}
