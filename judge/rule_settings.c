/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * See rule_settings.h; the figures are those of the simulations.
 */
#include "judge/rule_settings.h"

#include <string.h>

#include "common/clock.h"

static const char *const names[N_RULE_ROWS] = {
    [ROW_MEAN] = "mean",     [ROW_SERVICE_MEAN] = "service-mean",
    [ROW_TAIL] = "tail",     [ROW_SERVICE_TAIL] = "service-tail",
    [ROW_ERRORS] = "errors",
};

struct rule_settings rule_default_settings(void)
{
    return (struct rule_settings){
        .alpha = 0.05,
        .min_samples = 36,
        .clock = {[RULE_ROUND_TRIP] = {50 * NS_PER_MS, {0.1 * (double)NS_PER_MS, 0.20}},
                  [RULE_SERVICE] = {10 * NS_PER_MS, {0.01 * (double)NS_PER_MS, 0.05}}},
        .row = {[ROW_MEAN] = {.part = 0.25},
                [ROW_SERVICE_MEAN] = {.part = 0.25},
                [ROW_TAIL] = {.part = 0.15},
                [ROW_SERVICE_TAIL] = {.part = 0.15},
                [ROW_ERRORS] = {.part = 0.10}},
        .promotion_alpha = 0.05,
        .promotion_margin = 0.10,
        .promotion_min_samples = 200,
    };
}

const char *rule_row_name(enum rule_row row)
{
    return names[row];
}

enum rule_row rule_row_by_name(const char *name, size_t n)
{
    enum rule_row row = 0;
    while (row < N_RULE_ROWS && (strlen(names[row]) != n || memcmp(names[row], name, n) != 0))
        row++;
    return row;
}

bool rule_read_rows(const char *list, bool marks[N_RULE_ROWS])
{
    memset(marks, false, N_RULE_ROWS * sizeof marks[0]);
    while (*list != '\0') {
        size_t n = strcspn(list, ",");
        enum rule_row row = rule_row_by_name(list, n);
        if (row == N_RULE_ROWS || (list[n] == ',' && list[n + 1] == '\0'))
            return false;
        marks[row] = true;
        list += list[n] == ',' ? n + 1 : n;
    }
    return true;
}
