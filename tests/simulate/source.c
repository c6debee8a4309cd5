/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * See source.h. Parameters of next are named where they are used.
 */
#include "tests/simulate/source.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"

double source_uniform(struct source *s)
{
    return ((double)(rng_next(&s->rng) >> 11) + 0.5) * 0x1p-53;
}

/* Marsaglia's polar method: two at a time. */
double source_normal(struct source *s)
{
    double u, v, q;
    if (!isnan(s->spare)) {
        double z = s->spare;
        s->spare = NAN;
        return z;
    }
    do {
        u = 2 * source_uniform(s) - 1;
        v = 2 * source_uniform(s) - 1;
        q = u * u + v * v;
    } while (q >= 1 || q == 0);
    double factor = sqrt(-2 * log(q) / q);
    s->spare = v * factor;
    return u * factor;
}

static double next_normal(struct source *s, enum arm arm)
{
    (void)arm;
    return s->shape->parameter + s->shape->parameter_2 * source_normal(s);
}

/* parameter: s of ln; the median is 10 ms. */
static double next_lognormal(struct source *s, enum arm arm)
{
    (void)arm;
    return 10 * exp(s->shape->parameter * source_normal(s));
}

/* parameter: s of ln; the median is 20 us. */
static double next_microseconds(struct source *s, enum arm arm)
{
    (void)arm;
    return 0.02 * exp(s->shape->parameter * source_normal(s));
}

/* Never below a tenth: a latency is above 0. */
static double usual(struct source *s)
{
    return fmax(1, 10 + 2 * source_normal(s));
}

static double paused(struct source *s)
{
    return fmax(1, 100 + 20 * source_normal(s));
}

static double next_pauses(struct source *s, enum arm arm)
{
    (void)arm;
    return source_uniform(s) < s->shape->parameter ? paused(s) : usual(s);
}

/* P(X > x) = (10 / x)^parameter from 10 ms on. */
static double next_pareto(struct source *s, enum arm arm)
{
    (void)arm;
    return 10 * pow(source_uniform(s), -1 / s->shape->parameter);
}

/* Whole microseconds from 20 to 40. */
static double next_uniform(struct source *s, enum arm arm)
{
    (void)arm;
    return round(20 + 20 * source_uniform(s)) / 1000;
}

/* parameter: part of the variance that all arms share; it hardly changes from
 * one request to the next, so it is every arm's autocorrelation too. */
static double next_common(struct source *s, enum arm arm)
{
    double share = s->shape->parameter;
    (void)arm;
    return 50 + 15 * (sqrt(share) * s->common + sqrt(1 - share) * source_normal(s));
}

/* parameter: correlation of an arm's sample with its last one. */
static double next_own(struct source *s, enum arm arm)
{
    double r = s->shape->parameter;
    double *level = &s->arm[arm].level;
    *level = r * *level + sqrt(1 - r * r) * source_normal(s);
    return 50 + 15 * *level;
}

/* Pauses that spoil parameter samples of one arm in a row, 2 % in all. */
static double next_bursts(struct source *s, enum arm arm)
{
    int *left = &s->arm[arm].burst_left;
    int length = (int)s->shape->parameter;
    if (*left == 0 && source_uniform(s) < 0.02 / length)
        *left = length;
    if (*left == 0)
        return usual(s);
    --*left;
    return paused(s);
}

/* Each worker stands still for parameter ms every parameter_2 ms, by a clock of
 * its own: how much of that is left now. */
static double left_of_pause(const struct source *s, enum arm arm)
{
    double into = fmod(s->time_ms + s->arm[arm].phase_ms, s->shape->parameter_2);
    return fmax(0, s->shape->parameter - into);
}

/* Who comes then takes a whole pause longer. */
static double next_collector(struct source *s, enum arm arm)
{
    return usual(s) + (left_of_pause(s, arm) > 0 ? s->shape->parameter : 0);
}

/* Who comes then waits for its end. */
static double next_collector_rest(struct source *s, enum arm arm)
{
    return usual(s) + left_of_pause(s, arm);
}

/* parameter: how strongly the load that all share stretches every latency. */
static double next_load(struct source *s, enum arm arm)
{
    (void)arm;
    return usual(s) * exp(s->shape->parameter * s->common);
}

/* Lognormal with a tide of 3,000 requests, +-parameter; and from request 6,000 on all takes twice
 * as long. */
static double next_tides(struct source *s, enum arm arm)
{
    double tide = 1 + s->shape->parameter * sin(2 * M_PI * (double)s->n_drawn / 3000);
    (void)arm;
    return 10 * exp(.5 * source_normal(s)) * tide * (s->n_drawn > 6000 ? 2 : 1);
}

static const struct shape shapes[] = {
    {.name = "normal",
     .title = "normal 15/15",
     .means = "mean 15 ms, SD 15 ms",
     .next = next_normal,
     .parameter = 15,
     .parameter_2 = 15,
     .offset_ms = 120},
    {.name = "lognormal",
     .title = "lognormal s = 1",
     .means = "median 10 ms",
     .next = next_lognormal,
     .parameter = 1},
    {.name = "lognormal-1.5",
     .title = "lognormal s = 1.5",
     .means = "median 10 ms",
     .next = next_lognormal,
     .parameter = 1.5},
    {.name = "pauses",
     .title = "2 % pauses",
     .means = "10 +- 2 ms, else 100 +- 20 ms",
     .next = next_pauses,
     .parameter = .02},
    {.name = "pareto",
     .title = "Pareto 2.5",
     .means = "from 10 ms on",
     .next = next_pareto,
     .parameter = 2.5},
    {.name = "uniform", .title = "uniform, whole us", .means = "20 to 40 us", .next = next_uniform},
    {.name = "common",
     .title = "autocorrelation .3, common",
     .means = "50 +- 15 ms",
     .next = next_common,
     .parameter = .3,
     .offset_ms = 100,
     .has_load = true},
    {.name = "own-.3",
     .title = "autocorrelation .3, own",
     .means = "50 +- 15 ms, each arm its own",
     .next = next_own,
     .parameter = .3,
     .offset_ms = 100},
    {.name = "own-.6",
     .title = "autocorrelation .6, own",
     .means = "50 +- 15 ms, each arm its own",
     .next = next_own,
     .parameter = .6,
     .offset_ms = 100},
    {.name = "bursts",
     .title = "bursts of five, own",
     .means = "pauses of 100 +- 20 ms spoil five samples of an arm, 2 % in all",
     .next = next_bursts,
     .parameter = 5},
    {.name = "collector",
     .title = "GC by the clock, own",
     .means = "50 ms every 2.5 s, each worker its own; a pause costs 50 ms",
     .next = next_collector,
     .parameter = 50,
     .parameter_2 = 2500},
    {.name = "collector-rest",
     .title = "GC by the clock, its rest",
     .means = "50 ms every 2.5 s, each worker its own; a pause costs what is left of it",
     .next = next_collector_rest,
     .parameter = 50,
     .parameter_2 = 2500},
    {.name = "load",
     .title = "slow common load",
     .means = "10 +- 2 ms, stretched together",
     .next = next_load,
     .parameter = .15,
     .has_load = true},
    {.name = "tides",
     .title = "common tides",
     .means = "+-20 %, and doubling at 6,000",
     .next = next_tides,
     .parameter = .2},
    {.name = "model-us",
     .title = "model of 20 us",
     .means = "median 20 us, s = .2",
     .next = next_microseconds,
     .parameter = .2},
    {.name = "model-5",
     .title = "model of 5 ms",
     .means = "5 +- 1.5 ms",
     .next = next_normal,
     .parameter = 5,
     .parameter_2 = 1.5},
    {.name = "model-15",
     .title = "model of 15 ms",
     .means = "15 +- 4.5 ms",
     .next = next_normal,
     .parameter = 15,
     .parameter_2 = 4.5},
};
enum { N_SHAPES = sizeof shapes / sizeof shapes[0] };

const struct shape *source_shape(size_t i)
{
    return i < N_SHAPES ? &shapes[i] : NULL;
}

const struct shape *source_shape_by_name(const char *name)
{
    for (size_t i = 0; i < N_SHAPES; i++) {
        if (strcmp(shapes[i].name, name) == 0)
            return &shapes[i];
    }
    abort();
}

void source_begin(struct source *s, const struct shape *shape, uint64_t seed)
{
    *s = (struct source){.shape = shape, .spare = NAN};
    rng_seed(&s->rng, seed);
    s->common = source_normal(s);
    for (int arm = 0; arm < N_ARMS; arm++)
        s->arm[arm] =
            (struct source_arm){.level = source_normal(s), .phase_ms = 10000 * source_uniform(s)};
}

#define LOAD_MEMORY 0.999 /* of the common load, from request to request */

void source_advance(struct source *s, double rate)
{
    s->time_ms -= 1000 * log(source_uniform(s)) / rate;
    s->n_drawn++;
    if (s->shape->has_load)
        s->common =
            LOAD_MEMORY * s->common + sqrt(1 - LOAD_MEMORY * LOAD_MEMORY) * source_normal(s);
}

double source_latency(struct source *s, enum arm arm)
{
    return s->shape->next(s, arm);
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

struct shape_figures source_figures(const struct shape *shape)
{
    enum { N = 200000 };
    double *samples = mem_array(N, sizeof *samples);
    double mean = 0, square = 0;
    struct source s;
    source_begin(&s, shape, 1);
    for (int i = 0; i < N; i++) {
        source_advance(&s, 1000);
        samples[i] = source_latency(&s, ARM_CANARY);
        mean += samples[i] / N;
    }
    for (int i = 0; i < N; i++)
        square += (samples[i] - mean) * (samples[i] - mean) / (N - 1);
    qsort(samples, N, sizeof *samples, by_size);
    struct shape_figures figures = {.mean = mean, .sd = sqrt(square), .q99 = samples[N / 100 * 99]};
    free(samples);
    return figures;
}
