/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Evaluation. The order of every operation is the format's promise: this file
 * must be compiled without floating-point contraction (-ffp-contract=off) or
 * reassociation, or probes will disagree.
 */
#include "worker/model.h"

#include <math.h>
#include <stdlib.h>

#include "worker/model_parts.h"

const char *model_kind(const struct model *m)
{
    return m->kind;
}

const char *model_output_name(const struct model *m)
{
    return m->output;
}

size_t model_n_features(const struct model *m)
{
    return m->n_features;
}

void model_free(struct model **model)
{
    struct model *m = *model;
    *model = NULL;
    if (m == NULL)
        return;
    for (size_t i = 0; i < m->n_transforms; i++)
        free(m->transforms[i].by);
    free(m->linear.coefficients);
    free(m->ensemble.roots);
    free(m->ensemble.nodes);
    free(m->row);
    free(m);
}

static void transform(const struct transform *t, double *x, size_t n)
{
    const double *by = t->by;
    switch (t->operation) {
    case OP_ADD:
        for (size_t i = 0; i < n; i++)
            x[i] += by[i];
        break;
    case OP_SUBTRACT:
        for (size_t i = 0; i < n; i++)
            x[i] -= by[i];
        break;
    case OP_MULTIPLY:
        for (size_t i = 0; i < n; i++)
            x[i] *= by[i];
        break;
    case OP_DIVIDE:
        for (size_t i = 0; i < n; i++)
            x[i] /= by[i];
        break;
    case OP_AT_LEAST:
        for (size_t i = 0; i < n; i++)
            x[i] = x[i] < by[i] ? by[i] : x[i];
        break;
    case OP_AT_MOST:
        for (size_t i = 0; i < n; i++)
            x[i] = x[i] > by[i] ? by[i] : x[i];
        break;
    case N_OPS:
        break;
    }
}

/* The index of the first number that is NaN or infinite, or n. 0 * x is 0 for
 * every other number, so the ordinary row costs one pass without a branch, in four sums
 * that need not wait for each other. */
static size_t first_not_finite(const double *x, size_t n)
{
    double zero[4] = {0};
    size_t i = 0;
    for (; i + 4 <= n; i += 4)
        for (size_t k = 0; k < 4; k++)
            zero[k] += x[i + k] * 0.0;
    for (; i < n; i++)
        zero[0] += x[i] * 0.0;
    if (zero[0] + zero[1] + zero[2] + zero[3] == 0)
        return n;
    i = 0;
    while (i < n && isfinite(x[i]))
        i++;
    return i;
}

static int refuse_input(const struct model *m, size_t row, size_t feature, double x, struct err *e)
{
    if (isfinite(x))
        return err_set(e, "not-finite",
                       "row %zu: input %zu (%g) is too large for this %s: scaled, or as a 32-bit "
                       "float, it is infinite",
                       row, feature, x, m->kind);
    return err_set(e, "not-finite", "row %zu: input %zu is %s; expected a finite number", row,
                   feature, isnan(x) ? "NaN" : "infinite");
}

/* Fills m->row with what the predictor sees of the row x. */
static int prepare(const struct model *m, const double *x, size_t row, struct err *e)
{
    size_t n = m->n_features;
    size_t bad = first_not_finite(x, n);
    if (bad < n)
        return refuse_input(m, row, bad, x[bad], e);
    for (size_t i = 0; i < n; i++)
        m->row[i] = x[i];
    for (size_t i = 0; i < m->n_transforms; i++)
        transform(&m->transforms[i], m->row, n);
    for (size_t i = 0; m->ensemble.float32 && i < n; i++)
        m->row[i] = (double)(float)m->row[i];
    bad = first_not_finite(m->row, n);
    return bad < n ? refuse_input(m, row, bad, x[bad], e) : 0;
}

static double score_linear(const struct model *m)
{
    const double *c = m->linear.coefficients;
    const double *x = m->row;
    double sum = 0;
    if (m->linear.sum == SUM_FUSED)
        for (size_t i = 0; i < m->n_features; i++)
            sum = fma(x[i], c[i], sum);
    else
        for (size_t i = 0; i < m->n_features; i++)
            sum += x[i] * c[i];
    return sum + m->linear.intercept;
}

/* Ends because a child's index is always above its parent's (model_read_trees.c). */
static double leaf_value(const struct node *nodes, uint32_t root, const double *x)
{
    const struct node *node = &nodes[root];
    while (node->feature != NODE_IS_LEAF)
        node = &nodes[node->child[!(x[node->feature] <= node->number)]];
    return node->number;
}

static double score_ensemble(const struct model *m)
{
    const struct ensemble *t = &m->ensemble;
    double sum = t->init;
    for (size_t i = 0; i < t->n_trees; i++) {
        double value = leaf_value(t->nodes, t->roots[i], m->row);
        sum = t->sum == SUM_FUSED ? fma(t->scale, value, sum) : sum + t->scale * value;
    }
    return sum / t->divide_by;
}

static double (*const scores[N_PREDICTORS])(const struct model *) = {
    [PREDICTOR_LINEAR] = score_linear,
    [PREDICTOR_ENSEMBLE] = score_ensemble,
};

int model_predict(const struct model *m, const double *features, size_t n_rows, double *outputs,
                  struct err *e)
{
    double (*score)(const struct model *) = scores[m->predictor];
    for (size_t i = 0; i < n_rows; i++) {
        if (prepare(m, features + i * m->n_features, i, e) < 0)
            return -1;
        double y = score(m);
        outputs[i] = m->link == LINK_LOGISTIC ? 1 / (1 + exp(-y)) : y;
        if (!isfinite(outputs[i]))
            return err_set(e, "not-finite", "row %zu: the output is %s", i,
                           isnan(outputs[i]) ? "NaN" : "infinite");
    }
    return 0;
}
