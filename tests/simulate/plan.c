/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * See plan.h.
 */
#include "tests/simulate/plan.h"

#include <math.h>
#include <string.h>

#include "common/clock.h"
#include "common/mem.h"

enum { SHORT_RUN = 10000, LONG_RUN = 200000, DETECTION_RUN = 120000, N_COLUMNS = 6, N_MAX = 160 };

static const char *const group_names[N_CELL_GROUPS] = {
    [GROUP_FALSE_ALARMS] = "false-alarms",
    [GROUP_LONG] = "long",
    [GROUP_DETECTION] = "detection",
    [GROUP_FAST] = "fast",
    [GROUP_ERRORS] = "errors",
    [GROUP_PROMOTION] = "promotion",
    [GROUP_WALK] = "walk-through",
    [GROUP_STOPS] = "stops",
};

static const struct {
    const char *shape;
    double naive, mean, tail, either;
    bool beyond_reach;
} false_alarms[] = {
    {"normal", .323, .008, .002, .009, false},        {"lognormal", .314, .004, .002, .005, false},
    {"lognormal-1.5", .301, .002, .002, .004, false}, {"pauses", .293, .001, .002, .003, false},
    {"pareto", .300, .002, .001, .003, false},        {"uniform", .320, .007, .001, .008, false},
    {"common", .204, .007, .001, .007, false},        {"own-.3", .509, .016, .005, .018, false},
    {"own-.6", .670, .028, .011, .035, true},         {"bursts", .645, .005, .007, .011, false},
    {"collector", .513, .003, .002, .004, false},     {"load", .241, .003, .001, .003, false},
    {"tides", .366, .007, .002, .009, false},
};

static const struct {
    const char *shape;
    double either;
} long_runs[] = {
    {"normal", .009}, {"lognormal", .006}, {"pauses", .006},
    {"own-.3", .023}, {"collector", .008}, {"bursts", .026},
};

static const char *const columns[N_COLUMNS] = {"normal",  "lognormal", "pauses",
                                               "uniform", "pareto",    "collector"};

static const struct {
    const char *title;
    struct fault fault;
    double median[N_COLUMNS]; /* NAN: none stated, and none simulated */
    double naive[N_COLUMNS];  /* 0: not asked */
} detection[] = {
    {"+.67 SD", {FAULT_PLUS_SD, .67, 0}, {560, 420, 370, 560, 370, 370}, {0}},
    {"x 1.2",
     {FAULT_TIMES, 1.2, 0},
     {4830, 9660, 940, 360, 1190, 570},
     {890, 1115, 675, 360, 425, 360}},
    {"x 2", {FAULT_TIMES, 2, 0}, {610, 810, 460, 360, 360, 360}, {360, 360, 360, 360, 360, 360}},
    {"slowest 1 % x 5", {FAULT_SLOWEST, 5, 0}, {23500, 24200, 22500, NAN, 26000, 37100}, {0}},
    {"x 10 from sample 20", {FAULT_TIMES, 10, 20}, {510, 530, 440, 400, 450, 410}, {0}},
    {"x 2 from sample 100", {FAULT_TIMES, 2, 100}, {1760, 2270, 1580, 1430, 1630, 1560}, {0}},
    {"x 10 from sample 500", {FAULT_TIMES, 10, 500}, {5730, 5710, 5760, 5890, 5760, 5950}, {0}},
    {"x 10 from sample 2,000",
     {FAULT_TIMES, 10, 2000},
     {20820, 20940, 20900, 21030, 20890, 21270},
     {0}},
};

/* Of a range over the columns its upper end. */
static const struct {
    const char *title;
    struct fault fault;
    double median;
} fast[] = {
    {"+.67 SD", {FAULT_PLUS_SD, .67, 0}, 840},
    {"x 2", {FAULT_TIMES, 2, 0}, 1140},
    {"x 10 from sample 20", {FAULT_TIMES, 10, 20}, 1050},
};

static const struct {
    const char *title;
    struct failures failures;
    uint64_t n_requests;
    double median; /* NAN: an equal canary */
} errors[] = {
    {"the canary always fails", {.canary = 1}, SHORT_RUN, 110},
    {"5 % against 0", {.canary = .05}, DETECTION_RUN, 2600},
    {"1 % against 0", {.canary = .01}, DETECTION_RUN, 12800},
    {"5 % both, outages of both", {.05, .05, .0005}, SHORT_RUN, NAN},
};

/* Stated were two times, of the mean and of the tail: the later one. A canary that is 10 %
 * slower is promoted by the mean alone in so many runs. */
static const struct {
    const char *shape;
    double median, wrongly;
} promotion[] = {
    {"normal", 13700, .043}, {"lognormal", 28500, .021}, {"pauses", 22500, .009},
    {"pareto", 8200, .009},  {"own-.3", 7400, .044},
};

const uint64_t plan_by[FIGURES_BY] = {400, 450, 600};

/* Stated for margins of 0; what the default margins make of it, too. */
static const struct {
    const char *title, *shape;
    double rate;
    bool margins;
    double by[FIGURES_BY];
} walks[] = {
    {"20 us, a request each 0.6 ms", "model-us", 1000 / .6, true, {.9, 1, NAN}},
    {"20 us, a request each 2 ms", "model-us", 500, true, {.98, 1, NAN}},
    {"20 us, a request each 10 ms", "model-us", 100, true, {.98, 1, NAN}},
    {"5 +- 1.5 ms, margins 0", "model-5", 500, false, {.8, 1, NAN}},
    {"15 +- 4.5 ms, margins 0", "model-15", 500, false, {.2, NAN, .98}},
    {"5 +- 1.5 ms, default margins", "model-5", 500, true, {NAN, NAN, NAN}},
    {"15 +- 4.5 ms, default margins", "model-15", 500, true, {NAN, NAN, NAN}},
};

static const struct {
    const char *title;
    double rate;
} stop_rates[] = {
    {"100 a second", 100},    {"200 a second", 200},    {"500 a second", 500},
    {"1,000 a second", 1000}, {"2,000 a second", 2000},
};

static const struct {
    const char *title, *shape;
    struct fault fault;
} stops[] = {
    {"all 50 ms: naive", "collector", {0}},
    {"x 1.2", "collector", {FAULT_TIMES, 1.2, 0}},
    {"slowest 1 % x 5", "collector", {FAULT_SLOWEST, 5, 0}},
    {"the rest: naive", "collector-rest", {0}},
    {"x 1.2, rest", "collector-rest", {FAULT_TIMES, 1.2, 0}},
    {"slowest 1 % x 5, rest", "collector-rest", {FAULT_SLOWEST, 5, 0}},
};

const char *plan_group_name(enum cell_group group)
{
    return group_names[group];
}

struct plan {
    struct cell *cells;
    size_t n;
};

static struct cell *add(struct plan *plan, enum cell_group group, const char *row,
                        const char *column)
{
    struct cell *cell = &plan->cells[plan->n++];
    *cell = (struct cell){.group = group, .row = row, .column = column};
    cell->stated = (struct stated){NAN, NAN, NAN, NAN, NAN, NAN, {NAN, NAN, NAN}};
    return cell;
}

static void add_false_alarms(struct plan *plan)
{
    for (size_t i = 0; i < sizeof false_alarms / sizeof false_alarms[0]; i++) {
        const struct shape *shape = source_shape_by_name(false_alarms[i].shape);
        struct cell *cell = add(plan, GROUP_FALSE_ALARMS, shape->title, "");
        cell->beyond_reach = false_alarms[i].beyond_reach;
        cell->trial = (struct trial){.shape = shape,
                                     .service = true,
                                     .naive = true,
                                     .to_the_end = true,
                                     .n_requests = SHORT_RUN};
        cell->stated.naive = false_alarms[i].naive;
        cell->stated.mean = false_alarms[i].mean;
        cell->stated.tail = false_alarms[i].tail;
        cell->stated.either = false_alarms[i].either;
    }
}

static void add_long(struct plan *plan)
{
    for (size_t i = 0; i < sizeof long_runs / sizeof long_runs[0]; i++) {
        const struct shape *shape = source_shape_by_name(long_runs[i].shape);
        struct cell *cell = add(plan, GROUP_LONG, shape->title, "");
        cell->trial = (struct trial){
            .shape = shape, .naive = true, .to_the_end = true, .n_requests = LONG_RUN};
        cell->stated.either = long_runs[i].either;
    }
}

static void add_detection(struct plan *plan)
{
    for (size_t i = 0; i < sizeof detection / sizeof detection[0]; i++) {
        for (int column = 0; column < N_COLUMNS; column++) {
            const struct shape *shape = source_shape_by_name(columns[column]);
            if (isnan(detection[i].median[column]))
                continue;
            struct cell *cell = add(plan, GROUP_DETECTION, detection[i].title, shape->title);
            cell->trial = (struct trial){.shape = shape,
                                         .fault = detection[i].fault,
                                         .naive = detection[i].naive[column] > 0,
                                         .n_requests = DETECTION_RUN};
            cell->stated.median = detection[i].median[column];
            if (cell->trial.naive)
                cell->stated.naive_median = detection[i].naive[column];
        }
    }
}

static void add_fast(struct plan *plan)
{
    for (size_t i = 0; i < sizeof fast / sizeof fast[0]; i++) {
        for (int column = 0; column < N_COLUMNS; column++) {
            const struct shape *shape = source_shape_by_name(columns[column]);
            struct cell *cell = add(plan, GROUP_FAST, fast[i].title, shape->title);
            cell->trial = (struct trial){.shape = shape,
                                         .fault = fast[i].fault,
                                         .rate = 5000,
                                         .block_ns = 10 * NS_PER_MS,
                                         .n_requests = DETECTION_RUN};
            cell->stated.median = fast[i].median;
        }
    }
}

static void add_errors(struct plan *plan)
{
    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++) {
        bool is_null = isnan(errors[i].median);
        struct cell *cell = add(plan, GROUP_ERRORS, errors[i].title, "");
        cell->trial = (struct trial){.failures = errors[i].failures,
                                     .to_the_end = is_null,
                                     .n_requests = errors[i].n_requests};
        cell->stated.median = errors[i].median;
        cell->stated.either = is_null ? .003 : NAN;
    }
}

static void add_promotion(struct plan *plan)
{
    for (size_t i = 0; i < 2 * (sizeof promotion / sizeof promotion[0]); i++) {
        const struct shape *shape = source_shape_by_name(promotion[i / 2].shape);
        bool is_slow = i % 2 == 1;
        struct cell *cell =
            add(plan, GROUP_PROMOTION, shape->title, is_slow ? "10 % slower" : "equal");
        cell->trial =
            (struct trial){.shape = shape, .promotion = true, .n_requests = DETECTION_RUN};
        if (is_slow)
            cell->trial.fault = (struct fault){FAULT_TIMES, 1.1, 0};
        cell->stated.median = is_slow ? NAN : promotion[i / 2].median;
        cell->stated.either = is_slow ? promotion[i / 2].wrongly : NAN;
    }
}

static void add_walks(struct plan *plan)
{
    for (size_t i = 0; i < sizeof walks / sizeof walks[0]; i++) {
        struct cell *cell = add(plan, GROUP_WALK, walks[i].title, "");
        cell->trial = (struct trial){.shape = source_shape_by_name(walks[i].shape),
                                     .fault = {FAULT_PLUS_MS, 10, 20},
                                     .rate = walks[i].rate,
                                     .margins = walks[i].margins,
                                     .blocks = true,
                                     .one_by_one = true,
                                     .n_requests = plan_by[FIGURES_BY - 1]};
        memcpy(cell->stated.by, walks[i].by, sizeof cell->stated.by);
    }
}

static void add_stops(struct plan *plan)
{
    enum {
        N_STOPS = sizeof stops / sizeof stops[0],
        N_RATES = sizeof stop_rates / sizeof stop_rates[0]
    };
    for (size_t i = 0; i < N_STOPS * N_RATES; i++) {
        size_t rate = i / N_STOPS, stop = i % N_STOPS;
        struct cell *cell = add(plan, GROUP_STOPS, stop_rates[rate].title, stops[stop].title);
        bool is_null = stops[stop].fault.kind == FAULT_NONE;
        cell->beyond_reach = true;
        cell->trial = (struct trial){.shape = source_shape_by_name(stops[stop].shape),
                                     .fault = stops[stop].fault,
                                     .rate = stop_rates[rate].rate,
                                     .naive = is_null,
                                     .to_the_end = is_null,
                                     .n_requests = is_null ? SHORT_RUN : DETECTION_RUN};
    }
}

struct cell *plan_new(size_t *n)
{
    struct plan plan = {.cells = mem_array(N_MAX, sizeof *plan.cells)};
    add_false_alarms(&plan);
    add_long(&plan);
    add_detection(&plan);
    add_fast(&plan);
    add_errors(&plan);
    add_promotion(&plan);
    add_walks(&plan);
    add_stops(&plan); /* last: a run's seed hangs on its cell's place */
    *n = plan.n;
    return plan.cells;
}

void plan_measure(struct cell *cells, size_t n, const bool *wanted)
{
    for (size_t i = 0; i < n; i++) {
        struct trial *trial = &cells[i].trial;
        bool needs = trial->fault.kind == FAULT_PLUS_SD || trial->fault.kind == FAULT_SLOWEST ||
                     trial->promotion;
        if (wanted[i] && needs)
            trial->figures = source_figures(trial->shape);
    }
}
