/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Samples in CSV; see sample_file.h. Two million rows a second leave no time
 * for strtod: plain decimals are read digit by digit, straight to nanoseconds.
 */
#include "ctl/sample_file.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/mem.h"
#include "common/nearest.h"
#include "ctl/line_reader.h"
#include "ctl/number.h"

#define MAX_LATENCY_MS 1e9  /* eleven days */
#define MAX_TIME_MS    9e12 /* in ns it fits 63 bits, and so do milliseconds since 1970 */

enum column {
    COLUMN_ARM,
    COLUMN_ROUND_TRIP,
    COLUMN_TIME,
    COLUMN_SERVICE,
    COLUMN_OUTCOME,
    COLUMN_STALLED,
    COLUMN_GROUP_END,
    N_COLUMNS
};

struct sample_file {
    struct line_reader lines;
    const char *name;
    enum column columns[N_COLUMNS]; /* in the header's order */
    size_t n_columns;
    bool has_column[N_COLUMNS];
    int64_t last_time_ns;
    char *header; /* the first line, without a byte order mark */
    size_t n_header;
};

/* The text of a cell, without its quotes. */
struct cell {
    const char *text;
    size_t n;
};

/* Reads a cell into *row: 0, or -1 with err. */
typedef int take_fn(struct sample_file *f, struct cell cell, struct sample_row *row, struct err *e);
static take_fn take_arm, take_round_trip, take_time, take_service, take_outcome, take_stalled,
    take_group_end;

static const struct {
    const char *name;
    take_fn *take;
    bool needed;
} columns[N_COLUMNS] = {
    [COLUMN_ARM] = {"arm", take_arm, true},
    [COLUMN_ROUND_TRIP] = {"round_trip_ms", take_round_trip, true},
    [COLUMN_TIME] = {"time_ms", take_time, false},
    [COLUMN_SERVICE] = {"service_ms", take_service, false},
    [COLUMN_OUTCOME] = {"outcome", take_outcome, false},
    [COLUMN_STALLED] = {"stalled", take_stalled, false},
    [COLUMN_GROUP_END] = {"group_end", take_group_end, false},
};

static const char *column_at(size_t i)
{
    return columns[i].name;
}

static int refuse(const struct sample_file *f, struct err *e, const char *why)
{
    return err_set(e, "bad-samples", "%s: line %" PRIu64 ": %s", f->name, f->lines.line, why);
}

static int refuse_cell(const struct sample_file *f, enum column column, const char *expected,
                       struct cell cell, struct err *e)
{
    int shown = cell.n < 40 ? (int)cell.n : 40;
    return err_set(e, "bad-samples", "%s: line %" PRIu64 ": %s: expected %s, got '%.*s'", f->name,
                   f->lines.line, columns[column].name, expected, shown, cell.text);
}

/* The cell that begins at text, and where it ends: at a comma or the line's end. */
static const char *take_cell(const char *text, const char *end, struct cell *cell)
{
    const char *stop = text;
    while (stop < end && *stop != ',')
        stop++;
    *cell = (struct cell){.text = text, .n = (size_t)(stop - text)};
    if (cell->n >= 2 && text[0] == '"' && stop[-1] == '"')
        *cell = (struct cell){.text = text + 1, .n = cell->n - 2};
    return stop;
}

static bool is_name(struct cell cell, const char *name)
{
    return strlen(name) == cell.n && memcmp(name, cell.text, cell.n) == 0;
}

static int take_column(struct sample_file *f, struct cell cell, struct err *e)
{
    char text[64];
    size_t column = 0;
    while (column < N_COLUMNS && !is_name(cell, columns[column].name))
        column++;
    snprintf(text, sizeof text, "%.*s", (int)(cell.n < 60 ? cell.n : 60), cell.text);
    if (column == N_COLUMNS) {
        const char *near = nearest_name(text, N_COLUMNS, column_at);
        return err_set(e, "bad-samples",
                       "%s: line 1: there is no column '%s'%s%s%s; the columns are arm, "
                       "round_trip_ms, time_ms, service_ms, outcome, stalled and group_end",
                       f->name, text, near != NULL ? "; did you mean '" : "",
                       near != NULL ? near : "", near != NULL ? "'?" : "");
    }
    if (f->has_column[column])
        return err_set(e, "bad-samples", "%s: line 1: column '%s' is there twice", f->name, text);
    f->has_column[column] = true;
    f->columns[f->n_columns++] = (enum column)column;
    return 0;
}

static int next_line(struct sample_file *f, char **line, size_t *n, struct err *e)
{
    switch (line_reader_next(&f->lines, line, n)) {
    case LINE_READ:
        return 1;
    case LINE_END:
        return 0;
    case LINE_TOO_LONG:
        f->lines.line++;
        return refuse(f, e, "the line is too long");
    case LINE_FAILED:
        break;
    }
    return err_set_errno(e, "io", "%s", f->name);
}

/* The line behind a byte order mark, which spreadsheets write. */
static const char *past_mark(const char *line, size_t n)
{
    static const char mark[] = "\xef\xbb\xbf";
    return n >= 3 && memcmp(line, mark, 3) == 0 ? line + 3 : line;
}

static int read_header(struct sample_file *f, struct err *e)
{
    char *line;
    size_t n;
    int rc = next_line(f, &line, &n, e);
    if (rc < 0)
        return -1;
    if (rc == 0)
        return err_set(e, "bad-samples", "%s: the file is empty; its first line names the columns",
                       f->name);
    const char *at = past_mark(line, n), *end = line + n;
    f->n_header = (size_t)(end - at);
    f->header = mem_alloc(f->n_header + 1);
    memcpy(f->header, at, f->n_header);
    for (;; at++) {
        struct cell cell;
        at = take_cell(at, end, &cell);
        if (take_column(f, cell, e) < 0)
            return -1;
        if (at == end)
            break;
    }
    for (int column = 0; column < N_COLUMNS; column++)
        if (columns[column].needed && !f->has_column[column])
            return err_set(e, "bad-samples", "%s: line 1: the column '%s' is missing", f->name,
                           columns[column].name);
    return 0;
}

struct sample_file *sample_file_open(int fd, const char *name, struct err *e)
{
    struct sample_file *f = mem_alloc(sizeof *f);
    f->name = name;
    line_reader_begin(&f->lines, fd);
    if (read_header(f, e) < 0)
        sample_file_free(&f);
    return f;
}

void sample_file_free(struct sample_file **f)
{
    if (*f != NULL)
        free((*f)->header);
    free(*f);
    *f = NULL;
}

bool sample_file_has_groups(const struct sample_file *f)
{
    return f->has_column[COLUMN_GROUP_END];
}

bool sample_file_has_time(const struct sample_file *f)
{
    return f->has_column[COLUMN_TIME];
}

enum { NS_DIGITS = 6 /* decimals of a ms that are whole ns */, MAX_DIGITS = 13 /* before them */ };

/* A plain decimal such as 12.345678, rounded to ns: false when it is written in
 * another manner. */
static bool read_plain(struct cell cell, uint64_t *ns)
{
    const char *at = cell.text, *end = cell.text + cell.n;
    uint64_t value = 0;
    int decimals = 0;
    while (at < end && *at >= '0' && *at <= '9')
        value = 10 * value + (uint64_t)(*at++ - '0');
    if (at == cell.text || at - cell.text > MAX_DIGITS)
        return false;
    if (at < end && *at == '.')
        for (at++; at < end && *at >= '0' && *at <= '9' && decimals < NS_DIGITS; decimals++)
            value = 10 * value + (uint64_t)(*at++ - '0');
    for (; decimals < NS_DIGITS; decimals++)
        value *= 10;
    if (at < end && at[-1] != '.') /* the seventh decimal rounds, more change nothing */
        value += *at >= '5' && *at <= '9';
    while (at < end && *at >= '0' && *at <= '9')
        at++;
    *ns = value;
    return at == end;
}

/* 1e-05 and the like. */
static bool read_any(struct cell cell, uint64_t *ns)
{
    char text[64];
    double ms;
    if (cell.n >= sizeof text)
        return false;
    memcpy(text, cell.text, cell.n);
    text[cell.n] = '\0';
    if (strlen(text) != cell.n || !number_read(text, &ms) || !(ms >= 0 && ms <= MAX_TIME_MS))
        return false;
    *ns = (uint64_t)llround(ms * NS_PER_MS);
    return true;
}

static bool read_ms(struct cell cell, double max_ms, uint64_t *ns)
{
    return (read_plain(cell, ns) || read_any(cell, ns)) && (double)*ns <= max_ms * NS_PER_MS;
}

/* An empty latency is none. */
static int take_latency(const struct sample_file *f, enum column column, struct cell cell,
                        bool *has, uint64_t *ns, struct err *e)
{
    *has = cell.n > 0;
    if (cell.n > 0 && !read_ms(cell, MAX_LATENCY_MS, ns))
        return refuse_cell(f, column, "milliseconds from 0 to 1e9", cell, e);
    return 0;
}

static int take_round_trip(struct sample_file *f, struct cell cell, struct sample_row *row,
                           struct err *e)
{
    return take_latency(f, COLUMN_ROUND_TRIP, cell, &row->has_round_trip, &row->round_trip_ns, e);
}

static int take_service(struct sample_file *f, struct cell cell, struct sample_row *row,
                        struct err *e)
{
    return take_latency(f, COLUMN_SERVICE, cell, &row->has_service, &row->service_ns, e);
}

static int take_time(struct sample_file *f, struct cell cell, struct sample_row *row, struct err *e)
{
    uint64_t ns;
    if (!read_ms(cell, MAX_TIME_MS, &ns))
        return refuse_cell(f, COLUMN_TIME, "milliseconds from 0 to 9e12", cell, e);
    if ((int64_t)ns < f->last_time_ns)
        return refuse_cell(f, COLUMN_TIME, "a time not before the row above", cell, e);
    f->last_time_ns = row->time_ns = (int64_t)ns;
    return 0;
}

static int take_arm(struct sample_file *f, struct cell cell, struct sample_row *row, struct err *e)
{
    enum arm arm = 0;
    while (arm < N_ARMS && !is_name(cell, arm_name(arm)))
        arm++;
    if (arm == N_ARMS)
        return refuse_cell(f, COLUMN_ARM, "stable, baseline or canary", cell, e);
    row->arm = arm;
    return 0;
}

static int take_outcome(struct sample_file *f, struct cell cell, struct sample_row *row,
                        struct err *e)
{
    enum outcome outcome = 0;
    while (outcome < N_OUTCOMES && !is_name(cell, outcome_name(outcome)))
        outcome++;
    if (outcome == N_OUTCOMES)
        return refuse_cell(f, COLUMN_OUTCOME, "ok, fault, timeout, death or unasked", cell, e);
    row->outcome = outcome;
    return 0;
}

static int take_bit(const struct sample_file *f, enum column column, struct cell cell, bool *bit,
                    struct err *e)
{
    *bit = is_name(cell, "1");
    if (!*bit && !is_name(cell, "0"))
        return refuse_cell(f, column, "0 or 1", cell, e);
    return 0;
}

static int take_stalled(struct sample_file *f, struct cell cell, struct sample_row *row,
                        struct err *e)
{
    return take_bit(f, COLUMN_STALLED, cell, &row->stalled, e);
}

static int take_group_end(struct sample_file *f, struct cell cell, struct sample_row *row,
                          struct err *e)
{
    return take_bit(f, COLUMN_GROUP_END, cell, &row->ends_group, e);
}

static int refuse_count(const struct sample_file *f, size_t found, struct err *e)
{
    return err_set(e, "bad-samples", "%s: line %" PRIu64 ": expected %zu cells, got %s%zu", f->name,
                   f->lines.line, f->n_columns, found > f->n_columns ? "at least " : "", found);
}

static bool is_header(const struct sample_file *f, const char *line, size_t n)
{
    const char *text = past_mark(line, n);
    size_t length = n - (size_t)(text - line);
    return length == f->n_header && memcmp(text, f->header, length) == 0;
}

int sample_file_next(struct sample_file *f, struct sample_row *row, struct err *e)
{
    struct sample_row got = {.outcome = OUTCOME_OK};
    char *line;
    size_t n;
    uint64_t empty = 0;
    int rc;
    while ((rc = next_line(f, &line, &n, e)) > 0 && (n == 0 || is_header(f, line, n))) {
        if (n == 0) {
            empty = f->lines.line;
            continue;
        }
        got.begins_segment = true;
        f->last_time_ns = 0;
    }
    if (rc <= 0)
        return rc;
    if (empty > 0)
        return err_set(e, "bad-samples", "%s: line %" PRIu64 ": the line is empty", f->name, empty);
    const char *at = line, *end = line + n;
    for (size_t i = 0; i < f->n_columns; i++) {
        struct cell cell;
        if (i > 0 && at++ == end)
            return refuse_count(f, i, e);
        at = take_cell(at, end, &cell);
        if (columns[f->columns[i]].take(f, cell, &got, e) < 0)
            return -1;
    }
    if (at != end)
        return refuse_count(f, f->n_columns + 1, e);
    if (got.outcome == OUTCOME_OK && !got.has_round_trip)
        return refuse_cell(f, COLUMN_ROUND_TRIP,
                           "milliseconds from 0 to 1e9 where the outcome is ok",
                           (struct cell){.text = ""}, e);
    *row = got;
    return 1;
}
