/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * See table.h.
 */
#include "tests/simulate/table.h"

#include <assert.h>
#include <stdarg.h>
#include <string.h>

void table_set(struct table *t, int row, int column, const char *fmt, ...)
{
    va_list ap;
    assert(row < TABLE_MAX_ROWS && column < TABLE_MAX_COLUMNS);
    va_start(ap, fmt);
    vsnprintf(t->cell[row][column], TABLE_CELL_SIZE, fmt, ap);
    va_end(ap);
    t->n_rows = row >= t->n_rows ? row + 1 : t->n_rows;
    t->n_columns = column >= t->n_columns ? column + 1 : t->n_columns;
}

int table_row(struct table *t, const char *name)
{
    for (int row = 1; row < t->n_rows; row++) {
        if (strcmp(t->cell[row][0], name) == 0)
            return row;
    }
    int row = t->n_rows > 1 ? t->n_rows : 1;
    table_set(t, row, 0, "%s", name);
    return row;
}

int table_column(struct table *t, const char *name)
{
    for (int column = 1; column < t->n_columns; column++) {
        if (strcmp(t->cell[0][column], name) == 0)
            return column;
    }
    int column = t->n_columns > 1 ? t->n_columns : 1;
    table_set(t, 0, column, "%s", name);
    return column;
}

static int width_of(const struct table *t, int column)
{
    size_t width = 3;
    for (int row = 0; row < t->n_rows; row++) {
        size_t n = strlen(t->cell[row][column]);
        width = n > width ? n : width;
    }
    return (int)width;
}

static void print_rule(const struct table *t, FILE *out)
{
    for (int column = 0; column < t->n_columns; column++)
        fprintf(out, "|%.*s%s", width_of(t, column) + 1,
                "-----------------------------------------", column == 0 ? "-" : ":");
    fputs("|\n", out);
}

void table_print(const struct table *t, bool markdown, FILE *out)
{
    if (t->n_rows < 2)
        return;
    fprintf(out, markdown ? "**%s**\n\n" : "%s\n", t->title);
    for (int row = 0; row < t->n_rows; row++) {
        for (int column = 0; column < t->n_columns; column++)
            fprintf(out, column == 0 ? "%s%-*s" : "%s%*s", markdown ? "| " : "  ",
                    width_of(t, column), t->cell[row][column]),
                fputs(markdown ? " " : "", out);
        fputs(markdown ? "|\n" : "\n", out);
        if (row == 0 && markdown)
            print_rule(t, out);
    }
    fputc('\n', out);
}
