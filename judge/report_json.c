/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * See report_json.h.
 */
#include "judge/report_json.h"

#include <math.h>

#include "common/clock.h"

static cJSON *number_or_null(double value)
{
    return isfinite(value) ? cJSON_CreateNumber(value) : cJSON_CreateNull();
}

void report_add_number(cJSON *object, const char *name, double value)
{
    cJSON_AddItemToObject(object, name, number_or_null(value));
}

void report_add_text(cJSON *object, const char *name, const char *text)
{
    if (text != NULL)
        cJSON_AddStringToObject(object, name, text);
    else
        cJSON_AddNullToObject(object, name);
}

void report_add_interval(cJSON *object, const char *name, double low, double high)
{
    cJSON *interval = cJSON_AddArrayToObject(object, name);
    cJSON_AddItemToArray(interval, number_or_null(low));
    cJSON_AddItemToArray(interval, number_or_null(high));
}

static void add_draw(cJSON *object, const char *name, uint64_t draw)
{
    report_add_number(object, name, draw > 0 ? (double)draw : NAN);
}

cJSON *report_metric_to_json(const struct rule_metric *m)
{
    cJSON *entry = cJSON_CreateObject();
    cJSON_AddStringToObject(entry, "test", m->test);
    report_add_text(entry, "clock", m->clock);
    report_add_number(entry, "alpha", m->alpha);
    report_add_number(entry, "evidence", m->evidence);
    report_add_number(entry, "threshold", m->threshold);
    report_add_number(entry, "anytime_p_value", m->anytime_p_value);
    add_draw(entry, "fired_at", m->fired_at);
    return entry;
}

static cJSON *bet_to_json(const struct bet_basis *b)
{
    cJSON *object = cJSON_CreateObject();
    cJSON_AddItemToObject(object, "ln_wealths", cJSON_CreateDoubleArray(b->ln_wealth, BET_LAMBDAS));
    report_add_number(object, "vif", b->vif);
    return object;
}

static cJSON *basis_to_json(const struct rule_metric *m)
{
    const struct rule_basis *b = &m->basis;
    cJSON *object = cJSON_CreateObject();
    cJSON_AddStringToObject(object, "test", m->test);
    report_add_text(object, "clock", m->clock);
    cJSON_AddNumberToObject(object, "blocks", (double)b->n_blocks);
    if (b->n_bets == 0) {
        cJSON_AddNumberToObject(object, "first_look", (double)b->first_look);
        report_add_number(object, "mean_ns", b->mean);
        report_add_number(object, "variance_ns2", b->variance);
        report_add_number(object, "vif", b->vif);
        return object;
    }
    cJSON *bets = cJSON_AddArrayToObject(object, "bets");
    for (size_t i = 0; i < b->n_bets; i++)
        cJSON_AddItemToArray(bets, bet_to_json(&b->bets[i]));
    return object;
}

cJSON *report_basis_to_json(const struct rule_report *r)
{
    cJSON *rows = cJSON_CreateArray();
    for (size_t i = 0; i < r->n_metrics; i++)
        cJSON_AddItemToArray(rows, basis_to_json(&r->metrics[i]));
    return rows;
}

cJSON *report_effect_to_json(const struct rule_effect *e)
{
    cJSON *object = cJSON_CreateObject();
    report_add_number(object, "difference_ms", ns_to_ms(e->difference));
    report_add_interval(object, "interval_ms", ns_to_ms(e->interval_low),
                        ns_to_ms(e->interval_high));
    report_add_number(object, "interval_level", e->interval_level);
    report_add_number(object, "minimum_detectable_effect_ms", ns_to_ms(e->minimum_detectable));
    cJSON_AddNumberToObject(object, "blocks", (double)e->n_blocks);
    cJSON_AddNumberToObject(object, "reference_samples", (double)e->n_samples[SIDE_REFERENCE]);
    cJSON_AddNumberToObject(object, "canary_samples", (double)e->n_samples[SIDE_CANARY]);
    return object;
}

static void add_shown(cJSON *object, const char *name, bool shown, double evidence,
                      double threshold)
{
    cJSON *part = cJSON_AddObjectToObject(object, name);
    cJSON_AddBoolToObject(part, "shown", shown);
    report_add_number(part, "evidence", evidence);
    report_add_number(part, "threshold", threshold);
}

static cJSON *promotion_clock(const struct rule_promotion_clock *c, enum rule_clock clock)
{
    cJSON *object = cJSON_CreateObject();
    cJSON_AddStringToObject(object, "clock", clock == RULE_SERVICE ? "service" : "round_trip");
    cJSON_AddBoolToObject(object, "enough_samples", c->has_samples);
    report_add_number(object, "margin_ms", ns_to_ms(c->margin_ns));
    report_add_number(object, "spare_ms", ns_to_ms(c->spare_ns));
    add_shown(object, "mean", c->mean_is_shown, c->mean_evidence, c->mean_threshold);
    add_shown(object, "tail", c->tail_is_shown, c->tail_evidence, c->tail_threshold);
    return object;
}

cJSON *report_promotion_to_json(const struct rule_promotion *p)
{
    cJSON *object = cJSON_CreateObject();
    cJSON_AddBoolToObject(object, "shown", p->promoted_at > 0);
    add_draw(object, "promoted_at", p->promoted_at);
    cJSON_AddBoolToObject(object, "errors_are_fine", p->errors_are_fine);
    cJSON *clocks = cJSON_AddArrayToObject(object, "clocks");
    for (enum rule_clock clock = 0; clock < N_RULE_CLOCKS; clock++)
        if (p->clock[clock].counts)
            cJSON_AddItemToArray(clocks, promotion_clock(&p->clock[clock], clock));
    return object;
}

cJSON *report_expected_to_json(const struct rule_expected *e)
{
    cJSON *object = cJSON_CreateObject();
    report_add_number(object, "rollback_s", e->rollback_ns / (double)NS_PER_SEC);
    report_add_number(object, "rollback_requests", ceil(e->rollback_draws));
    report_add_number(object, "promotion_s", e->promotion_ns / (double)NS_PER_SEC);
    report_add_number(object, "promotion_requests", ceil(e->promotion_draws));
    return object;
}

cJSON *report_outcomes_to_json(const struct rule_report *r)
{
    cJSON *object = cJSON_CreateObject();
    for (enum arm arm = 0; arm < N_ARMS; arm++) {
        cJSON *counts = cJSON_AddObjectToObject(object, arm_name(arm));
        for (enum outcome i = 0; i < OUTCOME_UNASKED; i++)
            cJSON_AddNumberToObject(counts, outcome_name(i), (double)r->n_outcomes[arm][i]);
    }
    return object;
}
