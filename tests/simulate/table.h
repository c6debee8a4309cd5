/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A table of short texts, for a terminal or in Markdown.
 */
#ifndef CANARYD_TESTS_SIMULATE_TABLE_H
#define CANARYD_TESTS_SIMULATE_TABLE_H

#include <stdbool.h>
#include <stdio.h>

enum { TABLE_MAX_ROWS = 40, TABLE_MAX_COLUMNS = 9, TABLE_CELL_SIZE = 40 };

struct table {
    const char *title;
    int n_rows, n_columns; /* the first row is the header, the first column names rows */
    char cell[TABLE_MAX_ROWS][TABLE_MAX_COLUMNS][TABLE_CELL_SIZE];
};

/* Writes a cell; the table grows to hold it. */
void table_set(struct table *t, int row, int column, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* The row that begins with that text, added at the end if there is none; likewise columns. */
int table_row(struct table *t, const char *name);
int table_column(struct table *t, const char *name);

void table_print(const struct table *t, bool markdown, FILE *out);

#endif
