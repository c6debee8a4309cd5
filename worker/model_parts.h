/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What a model consists of. Private to model*.c: filled by the readers
 * (model_read*.c), evaluated by model.c. The members are those of
 * models/FORMAT.md, with the same names.
 */
#ifndef CANARYD_MODEL_PARTS_H
#define CANARYD_MODEL_PARTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "worker/field.h"

/* The table of limits; models/FORMAT.md repeats it. */
enum {
    MODEL_MAX_FEATURES = 65536,
    MODEL_MAX_TRANSFORMS = 16,
    MODEL_MAX_TREES = 100000,
    MODEL_MAX_NODES = 1 << 22, /* over all trees: 96 MiB */
    MODEL_MAX_PROBES = 4096,
    MODEL_MAX_NAME = 200,       /* bytes, of the model or of a feature */
    MODEL_MAX_OUTPUT_NAME = 64, /* characters */
};

enum operation { OP_ADD, OP_SUBTRACT, OP_MULTIPLY, OP_DIVIDE, OP_AT_LEAST, OP_AT_MOST, N_OPS };

struct transform {
    enum operation operation;
    double *by; /* one operand per feature */
};

/* How a sum of products is rounded: after the product and after the sum, or
 * once for both (fused multiply-add). */
enum summing { SUM_SEQUENTIAL, SUM_FUSED, N_SUMS };

enum link { LINK_IDENTITY, LINK_LOGISTIC, N_LINKS };

struct linear {
    double *coefficients;
    double intercept;
    enum summing sum;
};

#define NODE_IS_LEAF UINT32_MAX

struct node {
    double number;     /* a split's threshold, or a leaf's value */
    uint32_t feature;  /* NODE_IS_LEAF, or below n_features */
    uint32_t child[2]; /* left and right, as indices into nodes; above the node's own */
};

struct ensemble {
    size_t n_trees;
    uint32_t *roots;
    struct node *nodes; /* of all trees, one after the other */
    double init;
    double scale;
    double divide_by;
    enum summing sum;
    bool float32; /* inputs are rounded to 32-bit floats before they are compared */
};

enum predictor { PREDICTOR_LINEAR, PREDICTOR_ENSEMBLE, N_PREDICTORS };

struct model {
    const char *kind;
    char output[MODEL_MAX_OUTPUT_NAME + 1];
    size_t n_features;
    size_t n_transforms;
    struct transform transforms[MODEL_MAX_TRANSFORMS];
    enum predictor predictor;
    struct linear linear;
    struct ensemble ensemble;
    enum link link;
    double *row; /* scratch: one row of inputs on its way through the transforms */
};

/* The readers of the two predictors: 0, or -1 with err. What they have put into
 * *m by then is freed by model_free either way. */
int model_read_linear(struct model *m, const struct field *f, struct err *e);
int model_read_ensemble(struct model *m, const struct field *f, struct err *e);

/* Reads the optional member "sum" of a predictor; *sum keeps its value without it. */
int model_read_sum(const struct field *predictor, enum summing *sum, struct err *e);

/* Evaluates the probes and compares; f is the member "probes", which may be missing. */
int model_check_probes(const struct model *m, const struct field *f, struct err *e);

#endif
