/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * See trial.h.
 */
#include "tests/simulate/trial.h"

#include <math.h>

#include "common/clock.h"
#include "judge/urn.h"
#include "tests/simulate/naive.h"

#define SHARE_PERCENT   10.0
#define DEFAULT_RATE    1000.0 /* a second */
#define OUTAGE_REQUESTS 100

struct run {
    const struct trial *trial;
    struct rule *rule;
    struct urn urn;
    struct source round_trip, service;
    struct naive naive;
    uint64_t n_requests, n_canary;
    int outage_left;
    struct trial_result result;
};

static struct rule_settings settings_of(const struct trial *trial)
{
    struct rule_settings settings = rule_default_settings();
    for (int clock = 0; clock < N_RULE_CLOCKS; clock++) {
        if (!trial->margins)
            settings.clock[clock].margin = (struct welch_margin){0};
        if (!trial->blocks)
            settings.clock[clock].block_ns = trial->block_ns;
    }
    if (trial->promotion) /* a tenth of the shape's own mean, its offset aside */
        settings.promotion_margin *=
            trial->figures.mean / (trial->figures.mean + trial->shape->offset_ms);
    return settings;
}

static double rate_of(const struct trial *trial)
{
    if (trial->rate > 0)
        return trial->rate;
    return trial->shape != NULL && trial->shape->rate > 0 ? trial->shape->rate : DEFAULT_RATE;
}

static double with_fault(const struct run *r, double ms)
{
    const struct fault *fault = &r->trial->fault;
    if (r->n_canary < fault->from_sample)
        return ms;
    switch (fault->kind) {
    case FAULT_NONE:
        break;
    case FAULT_PLUS_SD:
        return ms + fault->amount * r->trial->figures.sd;
    case FAULT_PLUS_MS:
        return ms + fault->amount;
    case FAULT_TIMES:
        return ms * fault->amount;
    case FAULT_SLOWEST:
        return ms > r->trial->figures.q99 ? ms * fault->amount : ms;
    }
    return ms;
}

static double latency_ms(struct run *r, struct source *source, enum arm arm)
{
    double ms = source_latency(source, arm);
    if (arm == ARM_CANARY)
        ms = with_fault(r, ms);
    return fmax(0, ms + source->shape->offset_ms);
}

/* One number on both clocks, and the road there and back. */
static void fill_nested(struct run *r, enum arm arm, struct rule_sample *sample)
{
    double service = latency_ms(r, &r->service, arm);
    double road = 0.06 * exp(0.3 * source_normal(&r->service));
    r->round_trip.time_ms += service + road;
    sample->has_service = true;
    sample->service_ns = (uint64_t)llround(service * NS_PER_MS);
    sample->round_trip_ns = (uint64_t)llround((service + road) * NS_PER_MS);
}

static enum outcome outcome_of(struct run *r, enum arm arm)
{
    const struct failures *f = &r->trial->failures;
    double chance = arm == ARM_CANARY ? f->canary : f->others;
    if (f->outage > 0 && r->outage_left == 0 && source_uniform(&r->service) < f->outage)
        r->outage_left = OUTAGE_REQUESTS;
    if (r->outage_left > 0) {
        r->outage_left--;
        return OUTCOME_TIMEOUT;
    }
    return chance > 0 && source_uniform(&r->service) < chance ? OUTCOME_FAULT : OUTCOME_OK;
}

static void look_naively(struct run *r, enum arm arm, double ms)
{
    if (r->result.naive == TRIAL_NEVER && naive_add(&r->naive, arm == ARM_CANARY, ms))
        r->result.naive = r->n_requests;
}

static struct rule_sample sample_of(struct run *r, enum arm arm)
{
    const struct trial *trial = r->trial;
    struct rule_sample sample = {.outcome = outcome_of(r, arm)};
    if (trial->shape == NULL || sample.outcome != OUTCOME_OK)
        return sample;
    if (trial->one_by_one) {
        fill_nested(r, arm, &sample);
        return sample;
    }
    if (arm == ARM_STABLE) { /* nothing that is looked at here */
        sample.outcome = OUTCOME_UNASKED;
        return sample;
    }
    double ms = latency_ms(r, &r->round_trip, arm);
    sample.round_trip_ns = (uint64_t)llround(ms * NS_PER_MS);
    if (trial->service) {
        sample.has_service = true;
        sample.service_ns = (uint64_t)llround(latency_ms(r, &r->service, arm) * NS_PER_MS);
    }
    if (trial->naive)
        look_naively(r, arm, ms);
    return sample;
}

static void request(struct run *r)
{
    double rate = rate_of(r->trial);
    if (r->trial->one_by_one)
        r->round_trip.time_ms += 1000 / rate;
    else
        source_advance(&r->round_trip, rate);
    if (r->trial->service)
        source_advance(&r->service, rate);
    r->n_requests++;
    struct urn_draw draw = urn_draw(&r->urn);
    int64_t now = llround(r->round_trip.time_ms * NS_PER_MS);
    struct rule_ticket ticket = rule_draw(r->rule, draw.arm, draw.ends_group, now);
    struct rule_sample sample = sample_of(r, draw.arm);
    r->n_canary += draw.arm == ARM_CANARY;
    if (!rule_end_call(r->rule, &ticket, &sample))
        return;
    if (r->result.verdict == TRIAL_NEVER && rule_has_fired(r->rule))
        r->result.verdict = r->n_requests;
    if (r->result.promoted == TRIAL_NEVER && rule_has_promoted(r->rule))
        r->result.promoted = r->n_requests;
}

static void ask_rows(struct run *r)
{
    struct rule_report report;
    rule_look(r->rule, &report);
    for (size_t i = 0; i < report.n_metrics; i++) {
        const struct rule_metric *m = &report.metrics[i];
        if (m->fired_at > 0)
            r->result.row[m->row] = m->fired_at;
    }
}

static bool is_over(const struct run *r)
{
    const struct trial_result *result = &r->result;
    bool is_promoted = r->trial->promotion && result->promoted != TRIAL_NEVER;
    bool knows_all =
        result->verdict != TRIAL_NEVER && (!r->trial->naive || result->naive != TRIAL_NEVER);
    return r->n_requests == r->trial->n_requests || is_promoted ||
           (knows_all && !r->trial->to_the_end);
}

struct trial_result trial_run(const struct trial *trial, uint64_t seed)
{
    static const struct shape no_shape = {.name = "none"};
    const struct shape *shape = trial->shape != NULL ? trial->shape : &no_shape;
    struct rule_settings settings = settings_of(trial);
    struct run r = {
        .trial = trial,
        .rule = rule_new(&settings),
        .result = {.verdict = TRIAL_NEVER, .promoted = TRIAL_NEVER, .naive = TRIAL_NEVER},
    };
    for (int row = 0; row < N_RULE_ROWS; row++)
        r.result.row[row] = TRIAL_NEVER;
    source_begin(&r.round_trip, shape, 3 * seed);
    source_begin(&r.service, shape, 3 * seed + 1);
    rng_seed(&r.urn.rng, 3 * seed + 2);
    urn_set_share(&r.urn, SHARE_PERCENT, true);
    rule_open_share(r.rule, ARM_BASELINE, 0);
    while (!is_over(&r))
        request(&r);
    ask_rows(&r);
    rule_free(&r.rule);
    return r.result;
}
