/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * See report.h. Stated figures stand in parentheses.
 */
#include "tests/simulate/report.h"

#include <math.h>

#include <cjson/cJSON.h>

#include "tests/simulate/table.h"

/* ".009 (.008)" */
static void set_part(struct table *t, int row, const char *column, struct part part, double stated)
{
    char text[24] = "";
    if (!isnan(stated))
        snprintf(text, sizeof text, " (%.3f)", stated);
    table_set(t, row, table_column(t, column), "%.4f%s", part.p, text);
}

/* "560 (560)"; ">" where not half of the runs came to a verdict */
static void set_median(struct table *t, int row, const char *column, double median, double stated,
                       uint64_t longest)
{
    char text[24] = "";
    if (!isnan(stated))
        snprintf(text, sizeof text, " (%.0f)", stated);
    table_set(t, row, table_column(t, column), isfinite(median) ? "%.0f%s" : "> %.0f%s",
              isfinite(median) ? median : (double)longest, text);
}

static void fill_false_alarms(struct table *t, const struct cell *cell, const struct figures *f,
                              bool both_clocks)
{
    int row = table_row(t, cell->row);
    set_part(t, row, "naive", f->naive, cell->stated.naive);
    set_part(t, row, "M", f->mean, cell->stated.mean);
    set_part(t, row, "T", f->tail, cell->stated.tail);
    set_part(t, row, "M or T", f->either, cell->stated.either);
    if (both_clocks)
        set_part(t, row, "all rows", f->any, NAN);
    table_set(t, row, table_column(t, "+-"), "%.4f", both_clocks ? f->any.se : f->either.se);
}

static void fill_detection(struct table *t, const struct cell *cell, const struct figures *f)
{
    int row = table_row(t, cell->row);
    set_median(t, row, cell->column, f->median, cell->stated.median, cell->trial.n_requests);
    if (!cell->trial.naive)
        return;
    char name[64];
    snprintf(name, sizeof name, "naive: %s", cell->row);
    set_median(t, table_row(t, name), cell->column, f->naive_median, cell->stated.naive_median,
               cell->trial.n_requests);
}

static void fill_errors(struct table *t, const struct cell *cell, const struct figures *f)
{
    int row = table_row(t, cell->row);
    if (isnan(cell->stated.median))
        set_part(t, row, "false alarms", f->any, cell->stated.either);
    else
        set_median(t, row, "requests", f->median, cell->stated.median, cell->trial.n_requests);
}

static void fill_promotion(struct table *t, const struct cell *cell, const struct figures *f)
{
    int row = table_row(t, cell->row);
    if (isnan(cell->stated.median))
        set_part(t, row, "promoted though 10 % slower", f->promoted, cell->stated.either);
    else
        set_median(t, row, "requests until an equal one is", f->promoted_median,
                   cell->stated.median, cell->trial.n_requests);
}

static void fill_walk(struct table *t, const struct cell *cell, const struct figures *f)
{
    int row = table_row(t, cell->row);
    for (int i = 0; i < FIGURES_BY; i++) {
        char name[32];
        snprintf(name, sizeof name, "by request %llu", (unsigned long long)plan_by[i]);
        set_part(t, row, name, f->by[i], cell->stated.by[i]);
    }
}

static void fill_stops(struct table *t, const struct cell *cell, const struct figures *f)
{
    int row = table_row(t, cell->row);
    if (cell->trial.fault.kind == FAULT_NONE)
        set_part(t, row, cell->column, f->naive, NAN);
    else
        set_median(t, row, cell->column, f->median, NAN, cell->trial.n_requests);
}

static void fill(struct table *tables, const struct cell *cell, const struct figures *f)
{
    struct table *t = &tables[cell->group];
    switch (cell->group) {
    case GROUP_FALSE_ALARMS:
    case GROUP_LONG:
        fill_false_alarms(t, cell, f, cell->trial.service);
        break;
    case GROUP_DETECTION:
    case GROUP_FAST:
        fill_detection(t, cell, f);
        break;
    case GROUP_ERRORS:
        fill_errors(t, cell, f);
        break;
    case GROUP_PROMOTION:
        fill_promotion(t, cell, f);
        break;
    case GROUP_WALK:
        fill_walk(t, cell, f);
        break;
    case GROUP_STOPS:
        fill_stops(t, cell, f);
        break;
    case N_CELL_GROUPS:
        break;
    }
}

void report_print(const struct report *r, bool markdown, FILE *out)
{
    static const char *const titles[N_CELL_GROUPS] = {
        [GROUP_FALSE_ALARMS] = "False alarms of an equal canary over 10,000 requests",
        [GROUP_LONG] = "The same over 200,000 requests",
        [GROUP_DETECTION] = "Requests until a slower canary is rolled back (median)",
        [GROUP_FAST] = "The same at 5,000 requests a second, blocks of 10 ms",
        [GROUP_ERRORS] = "Row E: a canary that fails (median requests, or false alarms)",
        [GROUP_PROMOTION] = "Promotion",
        [GROUP_WALK] = "The walk-through: alert after 10 ms more from request 201 on",
        [GROUP_STOPS] = "GC by the clock: the rate, and what a pause costs who comes then",
    };
    static struct table tables[N_CELL_GROUPS]; /* too large for a stack */
    for (int group = 0; group < N_CELL_GROUPS; group++)
        tables[group] = (struct table){.title = titles[group]};
    for (size_t i = 0; i < r->n; i++) {
        if (r->wanted[i])
            fill(tables, &r->cells[i], &r->figures[i]);
    }
    for (int group = 0; group < N_CELL_GROUPS; group++)
        table_print(&tables[group], markdown, out);
    fprintf(out, "%zu runs a cell, seed %llu; in parentheses the figures stated before.\n",
            r->n_runs, (unsigned long long)r->seed);
}

static void print_departure(const struct cell *cell, const struct figures *f, FILE *out)
{
    double median = cell->group == GROUP_PROMOTION ? f->promoted_median : f->median;
    struct part part = cell->group == GROUP_PROMOTION ? f->promoted : f->any;
    fprintf(out, "not kept: %s, %s%s%s: ", plan_group_name(cell->group), cell->row,
            cell->column[0] != '\0' ? ", " : "", cell->column);
    if (isfinite(cell->stated.median))
        fprintf(out, "after %.0f requests, stated were %.0f\n", median, cell->stated.median);
    else if (cell->group == GROUP_WALK)
        fprintf(out, "found in too few of the runs\n");
    else
        fprintf(out, "in %.4f +- %.4f of the runs\n", part.p, part.se);
}

int report_print_departures(const struct report *r, FILE *out)
{
    int n = 0;
    for (size_t i = 0; i < r->n; i++) {
        if (!r->wanted[i] || figures_keep(&r->cells[i], &r->figures[i]))
            continue;
        print_departure(&r->cells[i], &r->figures[i], out);
        n++;
    }
    return n;
}

static void add_number(cJSON *object, const char *name, double value)
{
    if (isfinite(value))
        cJSON_AddNumberToObject(object, name, value);
    else
        cJSON_AddNullToObject(object, name);
}

static void add_part(cJSON *object, const char *name, struct part part, double stated)
{
    cJSON *item = cJSON_AddObjectToObject(object, name);
    add_number(item, "part", part.p);
    add_number(item, "standard_error", part.se);
    add_number(item, "stated", stated);
}

static cJSON *cell_to_json(const struct cell *cell, const struct figures *f)
{
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "group", plan_group_name(cell->group));
    cJSON_AddStringToObject(o, "row", cell->row);
    cJSON_AddStringToObject(o, "column", cell->column);
    cJSON_AddNumberToObject(o, "requests", (double)cell->trial.n_requests);
    cJSON_AddBoolToObject(o, "kept", figures_keep(cell, f));
    if (cell->group == GROUP_WALK) {
        for (int i = 0; i < FIGURES_BY; i++) {
            char name[32];
            snprintf(name, sizeof name, "by_%llu", (unsigned long long)plan_by[i]);
            add_part(o, name, f->by[i], cell->stated.by[i]);
        }
        return o;
    }
    if (cell->group == GROUP_PROMOTION) {
        add_part(o, "promoted", f->promoted, cell->stated.either);
        add_number(o, "promoted_median", f->promoted_median);
        add_number(o, "stated", cell->stated.median);
        return o;
    }
    if (isfinite(cell->stated.median) || cell->trial.fault.kind != FAULT_NONE) {
        add_number(o, "median", f->median);
        add_number(o, "tenth", f->low);
        add_number(o, "nine_tenths", f->high);
        add_number(o, "stated", cell->stated.median);
        if (cell->trial.naive)
            add_number(o, "naive_median", f->naive_median);
        return o;
    }
    add_part(o, "any", f->any, NAN);
    if (cell->trial.shape == NULL)
        return o;
    add_part(o, "naive", f->naive, cell->stated.naive);
    add_part(o, "mean", f->mean, cell->stated.mean);
    add_part(o, "tail", f->tail, cell->stated.tail);
    add_part(o, "either", f->either, cell->stated.either);
    return o;
}

void report_print_json(const struct report *r, FILE *out)
{
    cJSON *root = cJSON_CreateObject();
    cJSON_AddNumberToObject(root, "runs", (double)r->n_runs);
    cJSON_AddNumberToObject(root, "seed", (double)r->seed);
    cJSON_AddNumberToObject(root, "alpha", FIGURES_ALPHA);
    cJSON *cells = cJSON_AddArrayToObject(root, "cells");
    for (size_t i = 0; i < r->n; i++) {
        if (r->wanted[i])
            cJSON_AddItemToArray(cells, cell_to_json(&r->cells[i], &r->figures[i]));
    }
    char *text = cJSON_Print(root);
    fprintf(out, "%s\n", text);
    cJSON_free(text);
    cJSON_Delete(root);
}
