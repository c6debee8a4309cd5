/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Lines, fields and units; see print.h.
 */
#include "ctl/print.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/log.h"
#include "ctl/member.h"

static const char *const escapes[N_STYLES] = {
    [STYLE_PLAIN] = "",        [STYLE_BOLD] = "\033[1m",  [STYLE_DIM] = "\033[2m",
    [STYLE_GOOD] = "\033[32m", [STYLE_WARN] = "\033[33m", [STYLE_BAD] = "\033[1;31m",
};

struct printer printer_on(FILE *out)
{
    int fd = fileno(out); /* -1 for a stream in memory */
    const char *no_color = getenv("NO_COLOR");
    bool terminal = fd >= 0 && isatty(fd) == 1;
    return (struct printer){
        .out = out,
        .terminal = terminal,
        .colour = terminal && (no_color == NULL || no_color[0] == '\0'),
    };
}

/* Writes text without control bytes (C0 but the line feed, DEL, and C1 in UTF-8). */
static void put_clean(FILE *out, const char *text)
{
    for (const unsigned char *c = (const unsigned char *)text; *c != '\0'; c++) {
        if (*c == 0xc2 && c[1] >= 0x80 && c[1] < 0xa0)
            fprintf(out, "\\u00%02x", *++c);
        else if ((*c < 0x20 && *c != '\n') || *c == 0x7f)
            fprintf(out, "\\x%02x", *c);
        else
            putc(*c, out);
    }
}

char *print_format(const char *fmt, va_list ap)
{
    char *text = NULL;
    if (vasprintf(&text, fmt, ap) < 0)
        fatal(EX_SOFTWARE, "out of memory: a line could not be written");
    return text;
}

/* The style never spans a line feed at either end: pagers and logs dislike it. */
void print_text(const struct printer *p, enum style style, const char *fmt, ...)
{
    bool coloured = p->colour && style != STYLE_PLAIN;
    va_list ap;
    va_start(ap, fmt);
    char *text = print_format(fmt, ap), *from = text;
    va_end(ap);
    while (*from == '\n')
        putc(*from++, p->out);
    size_t n = strlen(from);
    bool line_end = n > 0 && from[n - 1] == '\n';
    if (line_end)
        from[n - 1] = '\0';
    if (coloured)
        fputs(escapes[style], p->out);
    put_clean(p->out, from);
    if (coloured)
        fputs("\033[0m", p->out);
    if (line_end)
        putc('\n', p->out);
    free(text);
}

void print_field(const struct printer *p, const char *label, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    char *text = print_format(fmt, ap);
    va_end(ap);
    print_label(p, label);
    put_clean(p->out, text);
    putc('\n', p->out);
    free(text);
}

void print_label(const struct printer *p, const char *label)
{
    print_text(p, STYLE_DIM, "  %-17s", label);
    fputs("  ", p->out);
}

const char *cell_ms(char text[PRINT_CELL_SIZE], const cJSON *object, const char *name)
{
    double x;
    if (!member_number(object, name, &x))
        return "-";
    snprintf(text, PRINT_CELL_SIZE, fabs(x) < 1e12 ? "%.3f ms" : "%.3e ms", x);
    return text;
}

const char *cell_count(char text[PRINT_CELL_SIZE], const cJSON *object, const char *name)
{
    double x;
    if (!member_number(object, name, &x))
        return "-";
    snprintf(text, PRINT_CELL_SIZE, fabs(x) < 1e15 ? "%.0f" : "%.3e", x);
    return text;
}

const char *cell_number(char text[PRINT_CELL_SIZE], const cJSON *object, const char *name)
{
    double x;
    if (!member_number(object, name, &x))
        return "-";
    snprintf(text, PRINT_CELL_SIZE, "%.4g", x);
    return text;
}

const char *cell_duration(char text[PRINT_CELL_SIZE], double seconds)
{
    static const struct {
        double seconds;
        const char *name, *next;
        double next_seconds;
    } units[] = {{86400, "d", "h", 3600}, {3600, "h", "min", 60}, {60, "min", "s", 1}};
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (seconds < units[i].seconds)
            continue;
        double whole = floor(seconds / units[i].seconds);
        double rest = floor((seconds - whole * units[i].seconds) / units[i].next_seconds);
        snprintf(text, PRINT_CELL_SIZE, "%.0f %s %.0f %s", whole, units[i].name, rest,
                 units[i].next);
        return text;
    }
    snprintf(text, PRINT_CELL_SIZE, "%.1f s", seconds);
    return text;
}
