/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A model in the native JSON format (models/FORMAT.md): read once, evaluated
 * for ever. The document is hostile until it is read: every count, index and
 * number is checked, and a model that was read cannot read or loop outside
 * itself. Used by canary-worker alone.
 */
#ifndef CANARYD_MODEL_H
#define CANARYD_MODEL_H

#include <stddef.h>

#include "common/err.h"

struct model;

/* Reads a model from n bytes of JSON; text[n] must be NUL. If the document
 * carries probes (inputs with the outputs that its author's runtime gave), they
 * are evaluated here and must agree to the last bit. The caller owns the result.
 * NULL with err, code "model-invalid", the reason in err->text and, where there
 * is one, the JSON pointer of the culprit in err->pointer. Linear in n. */
struct model *model_read(const char *text, size_t n, struct err *e);
void model_free(struct model **m);

/* What it is, for READY and for people: "logistic-regression", "gradient-boosting", ... */
const char *model_kind(const struct model *m);
const char *model_output_name(const struct model *m); /* "churn_probability" by default */
size_t model_n_features(const struct model *m);

/* Evaluates n_rows rows of model_n_features() doubles each, row after row, into
 * outputs[n_rows]. No allocation; the model's scratch row is written, so one
 * thread at a time. Returns 0, or -1 with err ("not-finite", naming the row) when
 * an input or an output is NaN or infinite, or an input is beyond the 32-bit
 * floats that the model compares; outputs are then unspecified. */
int model_predict(const struct model *m, const double *features, size_t n_rows, double *outputs,
                  struct err *e);

#endif
