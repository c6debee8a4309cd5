/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * canary-worker --evaluate MODEL.json: a model as a filter from rows of numbers
 * to outputs, to compare it with the program that trained it.
 */
#ifndef CANARYD_EVALUATE_H
#define CANARYD_EVALUATE_H

#include <stdio.h>

/* Reads the model in the file path, then rows from in, one per line, numbers
 * separated by commas or blanks, and writes one output per line to out, with 17
 * significant digits (they read back to the same bits). Empty lines are skipped.
 * Returns 0, or -1 after logging what was wrong and in which line; the outputs
 * of the lines before it are written. */
int evaluate_file(const char *path, FILE *in, FILE *out);

#endif
