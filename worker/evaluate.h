/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Evaluating a model file by hand: rows of numbers in, predictions out. For
 * people who want to see what a model says, and for checking all of a data set.
 */
#ifndef CANARYD_EVALUATE_H
#define CANARYD_EVALUATE_H

#include <stdio.h>

#include "common/err.h"

/* Reads the native model at path, then one row of comma- or blank-separated
 * numbers per line of in, and prints each prediction with 17 significant digits
 * on a line of out. 0, or -1 with err naming the line. */
int evaluate_file(const char *path, FILE *in, FILE *out, struct err *e);

#endif
