/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * canaryctl power: how many samples it takes to find a slower canary.
 */
#include <inttypes.h>
#include <math.h>
#include <sysexits.h>

#include "ctl/command.h"
#include "ctl/session.h"
#include "judge/power.h"

#define MAX_SIDES 2

/* What is asked. */
struct plan {
    struct power_design design; /* its sides are set row by row */
    double target;
    double share;   /* 0 .. 0.5, of canary and baseline each */
    double samples; /* a side, whose power is told */
};

/* The answer for one test. */
struct row {
    int sides;
    uint64_t n;              /* a side, with a baseline */
    uint64_t n_off;          /* canary samples against all of stable */
    double requests;         /* that hold n canary samples */
    double requests_off;     /* n_off likewise */
    double power_at_samples; /* with a baseline */
};

static struct plan plan_of(const struct options *o)
{
    return (struct plan){
        .design = {.effect = o->number[OPTION_EFFECT_MS],
                   .sd = o->number[OPTION_SD_MS],
                   .alpha = o->number[OPTION_ALPHA]},
        .target = o->number[OPTION_POWER],
        .share = o->number[OPTION_SHARE] / 100,
        .samples = o->number[OPTION_SAMPLES],
    };
}

/* The tolerance: 37 / 0.1 is not quite 370 in binary. */
static double requests_for(uint64_t n, double share)
{
    double requests = (double)n / share;
    return ceil(requests - 1e-12 * requests);
}

static int compute(const struct plan *plan, int sides, struct row *row, struct err *e)
{
    struct power_design design = plan->design;
    design.sides = sides;
    *row = (struct row){.sides = sides};
    if (power_needed_samples(&design, 1, plan->target, &row->n, e) < 0 ||
        power_needed_samples(&design, (1 - plan->share) / plan->share, plan->target, &row->n_off,
                             e) < 0)
        return -1;
    row->requests = requests_for(row->n, plan->share);
    row->requests_off = requests_for(row->n_off, plan->share);
    row->power_at_samples = power_of_test(&design, plan->samples, plan->samples);
    return 0;
}

static void print_rows(const struct printer *p, const struct plan *plan, const struct row *rows,
                       int n_rows)
{
    char power_at[32];
    print_text(p, STYLE_BOLD,
               "To find +%.10g ms where one latency has a standard deviation of "
               "%.10g ms,\nwith power %.4g %% at alpha %.4g:\n",
               plan->design.effect, plan->design.sd, 100 * plan->target, plan->design.alpha);
    print_text(p, STYLE_DIM, "  %-10s %26s %26s\n", "", "against the baseline",
               "baseline off: all stable");
    snprintf(power_at, sizeof power_at, "power at %.0f", plan->samples);
    print_text(p, STYLE_DIM, "  %-10s %11s %14s %11s %14s %20s\n", "t-test", "a side", "requests",
               "canary", "requests", power_at);
    for (int i = 0; i < n_rows; i++)
        print_text(p, STYLE_PLAIN, "  %-10s %11" PRIu64 " %14.0f %11" PRIu64 " %14.0f %18.1f %%\n",
                   rows[i].sides == 1 ? "one-sided" : "two-sided", rows[i].n, rows[i].requests,
                   rows[i].n_off, rows[i].requests_off, 100 * rows[i].power_at_samples);
    print_text(p, STYLE_PLAIN, "The last column is for %.0f samples each of canary and baseline.\n",
               plan->samples);
    print_text(p, STYLE_DIM,
               "%.4g %% of the requests to the canary, and as many to the baseline. For one look: "
               "the guard\nlooks all the time and needs somewhat more (docs/statistics.md).\n",
               100 * plan->share);
}

static cJSON *row_to_json(const struct row *row)
{
    cJSON *entry = cJSON_CreateObject();
    cJSON_AddNumberToObject(entry, "sides", row->sides);
    cJSON_AddNumberToObject(entry, "samples_a_side", (double)row->n);
    cJSON_AddNumberToObject(entry, "requests", row->requests);
    cJSON_AddNumberToObject(entry, "power_at_samples", row->power_at_samples);
    cJSON *off = cJSON_AddObjectToObject(entry, "baseline_off");
    cJSON_AddNumberToObject(off, "canary_samples", (double)row->n_off);
    cJSON_AddNumberToObject(off, "requests", row->requests_off);
    return entry;
}

static void print_json(const struct printer *p, const struct plan *plan, const struct row *rows,
                       int n_rows)
{
    cJSON *root = cJSON_CreateObject();
    cJSON_AddNumberToObject(root, "effect_ms", plan->design.effect);
    cJSON_AddNumberToObject(root, "sd_ms", plan->design.sd);
    cJSON_AddNumberToObject(root, "alpha", plan->design.alpha);
    cJSON_AddNumberToObject(root, "power", plan->target);
    cJSON_AddNumberToObject(root, "share_percent", 100 * plan->share);
    cJSON_AddNumberToObject(root, "samples", plan->samples);
    cJSON *tests = cJSON_AddArrayToObject(root, "tests");
    for (int i = 0; i < n_rows; i++)
        cJSON_AddItemToArray(tests, row_to_json(&rows[i]));
    char *text = cJSON_PrintUnformatted(root);
    fprintf(p->out, "%s\n", text);
    cJSON_free(text);
    cJSON_Delete(root);
}

static int refuse(struct session *s, const char *why)
{
    print_text(&s->trouble, STYLE_BAD, "canaryctl: ");
    print_text(&s->trouble, STYLE_PLAIN, "%s\n", why);
    return EX_USAGE;
}

int command_power(struct session *s)
{
    const struct options *o = s->options;
    struct plan plan = plan_of(o);
    struct row rows[MAX_SIDES];
    struct err e = {0};
    int n_rows = 0;
    if (plan.target <= plan.design.alpha)
        return refuse(s, "--power must be above --alpha: a lot alone has that power");
    for (int sides = 1; sides <= MAX_SIDES; sides++) {
        if (options_given(o, OPTION_SIDES) && o->number[OPTION_SIDES] != sides)
            continue;
        if (compute(&plan, sides, &rows[n_rows++], &e) < 0)
            return refuse(s, e.text);
    }
    if (options_given(o, OPTION_JSON))
        print_json(&s->out, &plan, rows, n_rows);
    else
        print_rows(&s->out, &plan, rows, n_rows);
    return 0;
}
