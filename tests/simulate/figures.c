/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * See figures.h.
 */
#include "tests/simulate/figures.h"

#include <math.h>
#include <stdlib.h>

#include "common/mem.h"

typedef uint64_t value_fn(const struct trial_result *r);

static uint64_t verdict_of(const struct trial_result *r)
{
    return r->verdict;
}

static uint64_t naive_of(const struct trial_result *r)
{
    return r->naive;
}

static uint64_t promoted_of(const struct trial_result *r)
{
    return r->promoted;
}

static uint64_t mean_of(const struct trial_result *r)
{
    return r->row[ROW_MEAN];
}

static uint64_t tail_of(const struct trial_result *r)
{
    return r->row[ROW_TAIL];
}

static uint64_t either_of(const struct trial_result *r)
{
    return mean_of(r) < tail_of(r) ? mean_of(r) : tail_of(r);
}

/* Of the runs in which value is at most that; TRIAL_NEVER itself is never. */
static struct part part_by(const struct trial_result *results, size_t n, value_fn *value,
                           uint64_t most)
{
    size_t fired = 0;
    for (size_t i = 0; i < n; i++)
        fired += value(&results[i]) != TRIAL_NEVER && value(&results[i]) <= most;
    double p = (double)fired / (double)n, floor = 0.5 / (double)n;
    double q = fmin(fmax(p, floor), 1 - floor);
    return (struct part){.p = p, .se = sqrt(q * (1 - q) / (double)n)};
}

static struct part part_of(const struct trial_result *results, size_t n, value_fn *value)
{
    return part_by(results, n, value, TRIAL_NEVER);
}

static int by_size(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static double ranked(const uint64_t *sorted, size_t n, double q)
{
    size_t rank = (size_t)ceil(q * (double)n);
    uint64_t value = sorted[rank > 0 ? rank - 1 : 0];
    return value == TRIAL_NEVER ? INFINITY : (double)value;
}

static uint64_t *sorted_by(const struct trial_result *results, size_t n, value_fn *value)
{
    uint64_t *sorted = mem_array(n, sizeof *sorted);
    for (size_t i = 0; i < n; i++)
        sorted[i] = value(&results[i]);
    qsort(sorted, n, sizeof *sorted, by_size);
    return sorted;
}

struct figures figures_of(const struct trial_result *results, size_t n)
{
    uint64_t *verdicts = sorted_by(results, n, verdict_of);
    uint64_t *naive = sorted_by(results, n, naive_of);
    uint64_t *promoted = sorted_by(results, n, promoted_of);
    struct figures figures = {
        .naive = part_of(results, n, naive_of),
        .mean = part_of(results, n, mean_of),
        .tail = part_of(results, n, tail_of),
        .either = part_of(results, n, either_of),
        .any = part_of(results, n, verdict_of),
        .promoted = part_of(results, n, promoted_of),
        .promoted_median = ranked(promoted, n, .5),
        .median = ranked(verdicts, n, .5),
        .low = ranked(verdicts, n, .1),
        .high = ranked(verdicts, n, .9),
        .naive_median = ranked(naive, n, .5),
    };
    for (int i = 0; i < FIGURES_BY; i++)
        figures.by[i] = part_by(results, n, verdict_of, plan_by[i]);
    free(promoted);
    free(verdicts);
    free(naive);
    return figures;
}

static bool is_at_most(struct part part, double most)
{
    return part.p <= most + 2 * part.se;
}

static bool walk_is_kept(const struct cell *cell, const struct figures *figures)
{
    for (int i = 0; i < FIGURES_BY; i++) {
        double stated = cell->stated.by[i];
        if (!isnan(stated) && figures->by[i].p + 2 * figures->by[i].se < stated)
            return false;
    }
    return true;
}

bool figures_keep(const struct cell *cell, const struct figures *figures)
{
    bool has_median = isfinite(cell->stated.median);
    double slowest = FIGURES_SLOWNESS * cell->stated.median;
    if (cell->beyond_reach)
        return true;
    if (cell->group == GROUP_WALK)
        return walk_is_kept(cell, figures);
    if (cell->group == GROUP_PROMOTION)
        return has_median ? figures->promoted_median <= FIGURES_BOTH * cell->stated.median
                          : is_at_most(figures->promoted, FIGURES_ALPHA);
    return has_median ? figures->median <= slowest : is_at_most(figures->any, FIGURES_ALPHA);
}
