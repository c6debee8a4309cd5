/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Questions, and what each model version must answer to them: scikit-learn's
 * own answers for the real models, the first feature for the evil ones.
 */
#ifndef CANARYD_TESTS_ORACLE_H
#define CANARYD_TESTS_ORACLE_H

#include <stdbool.h>
#include <stddef.h>

#include "common/err.h"

struct oracle;

/* Reads golden_v1.json and golden_v2.json of the directory; NULL with err. */
struct oracle *oracle_new(const char *dir, struct err *e);
void oracle_free(struct oracle **o);

size_t oracle_n(const struct oracle *o);

/* The body of question i, for POST /predict. */
const char *oracle_body(const struct oracle *o, size_t i);

/* Whether this version ("model_v1@...") answers so; a version that nobody
 * deploys never does. Safe in threads. */
bool oracle_agrees(const struct oracle *o, size_t i, const char *version, double answer);

#endif
