/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What canaryctl shows: lines, fields and units. Whatever a server says is
 * cleaned of control bytes here, so that no answer can steer a terminal.
 * Colour only on a terminal, and not when NO_COLOR is set (no-color.org).
 */
#ifndef CANARYD_CTL_PRINT_H
#define CANARYD_CTL_PRINT_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>

#include <cjson/cJSON.h>

enum style { STYLE_PLAIN, STYLE_BOLD, STYLE_DIM, STYLE_GOOD, STYLE_WARN, STYLE_BAD, N_STYLES };

struct printer {
    FILE *out;
    bool terminal; /* progress may be drawn */
    bool colour;
};

/* out stays the caller's. */
struct printer printer_on(FILE *out);

/* Formats, cleans and writes; a line feed at the end stands. */
void print_text(const struct printer *p, enum style style, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* "  label              ": the text comes after it. */
void print_label(const struct printer *p, const char *label);

/* "  label              text\n" */
void print_field(const struct printer *p, const char *label, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* The text as a string of its own, not cleaned; free() it. */
char *print_format(const char *fmt, va_list ap) __attribute__((format(printf, 1, 0)));

#define PRINT_CELL_SIZE 32

/* A number as a cell of a table; "-" when the member isn't a number.
 * Milliseconds have three decimals, so that their points line up. */
const char *cell_ms(char text[PRINT_CELL_SIZE], const cJSON *object, const char *name);
const char *cell_count(char text[PRINT_CELL_SIZE], const cJSON *object, const char *name);
const char *cell_number(char text[PRINT_CELL_SIZE], const cJSON *object, const char *name);

/* "2 d 3 h", "4 min 10 s", "0.5 s": two units, rounded down. */
const char *cell_duration(char text[PRINT_CELL_SIZE], double seconds);

#endif
