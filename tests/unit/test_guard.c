/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The guard over the project's reference streams: where blocks end, every
 * number of every look at row M, the request at which it first fires, and what
 * the bets of row T and row E have won. And guards of replicas, merged.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <Rmath.h>

#include "common/clock.h"
#include "common/jsonx.h"
#include "common/mem.h"
#include "judge/guard.h"
#include "judge/paired.h"
#include "tests/support/vectors.h"

#define VECTORS "tests/data/guard_vectors.json"
#define CLOCK   RULE_ROUND_TRIP

static struct rule_settings settings_of(const cJSON *v)
{
    struct rule_settings s = rule_default_settings();
    s.alpha = 0.05;
    s.min_samples = (uint64_t)vectors_number(v, "n_min");
    s.row[ROW_MEAN].part = vectors_number(v, "alpha_mean") / s.alpha;
    s.clock[CLOCK].margin = (struct welch_margin){0};
    s.clock[CLOCK].block_ns = (int64_t)(vectors_number(v, "block_ms") * (double)NS_PER_MS);
    return s;
}

/* One stream on its way through blocks and guard. */
struct run {
    const cJSON *v;
    const char *id;
    const cJSON *look; /* the next that the vectors show */
    struct guard guard;
    struct blocks *blocks;
    size_t n_blocks;
};

static enum side side_of(const struct run *r, char arm)
{
    char reference = strcmp(vectors_text(r->v, "reference"), "baseline") == 0 ? '2' : '0';
    if (arm == '1')
        return SIDE_CANARY;
    return arm == reference ? SIDE_REFERENCE : SIDE_NONE;
}

static void check_paired(const struct run *r, const cJSON *want, const struct paired *p)
{
    struct interval interval = paired_interval(p, &r->guard.interval[CLOCK]);
    const cJSON *low = jsonx_member(want, "interval")->child;
    vectors_close(r->id, "t", p->t, vectors_number(want, "t"), 1e-9);
    vectors_close(r->id, "df", p->df, vectors_number(want, "df"), 0);
    vectors_close(r->id, "p", pt(p->t, p->df, 0, 0), vectors_number(want, "p"), 1e-9);
    vectors_close(r->id, "R", exp(p->ln_r), vectors_number(want, "R"), 1e-12);
    vectors_close(r->id, "low", interval.low / 1e6, low->valuedouble, 1e-9);
    vectors_close(r->id, "high", interval.high / 1e6, low->next->valuedouble, 1e-9);
}

static void check_metric(const struct run *r, const cJSON *want)
{
    struct rule_report report = {0};
    guard_describe(&r->guard, &report);
    const struct rule_metric *m = &report.metrics[ROW_MEAN];
    const cJSON *p = jsonx_member(want, "anytime_p");
    bool rejects = m->evidence >= m->threshold;
    vectors_near(r->id, "z", m->threshold, vectors_number(want, "z_boundary"), 1e-9);
    assert_int_equal(rejects, cJSON_IsTrue(jsonx_member(want, "reject")));
    assert_int_equal(isnan(m->anytime_p_value), cJSON_IsNull(p));
    if (cJSON_IsNumber(p))
        vectors_close(r->id, "anytime p", m->anytime_p_value, p->valuedouble, 1e-9);
}

static void check_look(const struct run *r, const cJSON *want)
{
    const struct clock_evidence *e = &r->guard.state.clock[CLOCK];
    const struct series *d = &e->mean.differences;
    struct paired p = paired_of(d, e->first_look);
    assert_int_equal(e->latency[SIDE_CANARY].n, (int)vectors_number(want, "n_canary"));
    assert_int_equal(e->latency[SIDE_REFERENCE].n, (int)vectors_number(want, "n_reference"));
    assert_int_equal(d->x.n, (int)vectors_number(want, "blocks"));
    vectors_close(r->id, "mean", d->x.mean / 1e6, vectors_number(want, "mean"), 1e-9);
    vectors_close(r->id, "var", moments_variance(&d->x) / 1e12, vectors_number(want, "var"), 1e-9);
    vectors_close(r->id, "vif", series_vif(d), vectors_number(want, "vif"), 1e-9);
    if (cJSON_IsNull(jsonx_member(want, "t"))) {
        assert_true(isnan(p.t));
        return;
    }
    check_paired(r, want, &p);
    check_metric(r, want);
}

/* Bets begin with the blocks after the first draws, at thresholds of the vectors. */
static void begin_bets(struct run *r, uint64_t last_draw)
{
    const cJSON *v = jsonx_member(r->v, "betting");
    struct row_tail *row = &r->guard.state.clock[CLOCK].tail;
    if (row->is_fixed != 0 || last_draw + 1 < (uint64_t)vectors_number(v, "blocks_from_request"))
        return;
    const struct tail_thresholds at = {
        .level = vectors_number(v, "B0") * 1e6,
        .spread = vectors_number(v, "spread") * 1e6,
        .cut = {0, vectors_number(v, "c50") * 1e6, vectors_number(v, "c95") * 1e6,
                vectors_number(v, "c99") * 1e6,
                (double)llround(vectors_number(v, "reference_max0") * 1e6)}};
    row_tail_set_thresholds(row, &at);
}

static void check_bets(const struct run *r)
{
    static const char *const names[N_TAIL_BETS] = {"score", "c50", "c95", "c99", "max"};
    const cJSON *v = jsonx_member(r->v, "betting");
    const struct row_tail *row = &r->guard.state.clock[CLOCK].tail;
    struct rule_report report = {0};
    guard_describe(&r->guard, &report);
    assert_int_equal(row->bet[0].g.x.n, (int)vectors_number(v, "n_blocks"));
    vectors_near(r->id, "B", row->at.level / 1e6, vectors_number(v, "B_end"), 1e-9);
    vectors_near(r->id, "max", (double)row->max_ns / 1e6, vectors_number(v, "reference_max_end"),
                 1e-9);
    for (int i = 0; i < N_TAIL_BETS; i++) {
        const struct bet *bet = &row->bet[i];
        vectors_near(r->id, names[i], bet_family(bet->ln_wealth, BET_LAMBDAS),
                     vectors_number(jsonx_member(v, "lnE"), names[i]), 1e-9);
        vectors_near(r->id, names[i], bet_ln_e(bet),
                     vectors_number(jsonx_member(v, "tempered"), names[i]), 1e-9);
        vectors_close(r->id, names[i], series_vif(&bet->g),
                      vectors_number(jsonx_member(v, "vif"), names[i]), 1e-9);
    }
    vectors_near(r->id, "family", report.metrics[ROW_TAIL].evidence, vectors_number(v, "family"),
                 1e-9);
}

static void weigh_ripe(struct run *r)
{
    const struct block *block = blocks_ripe(r->blocks);
    const cJSON *first = jsonx_member(r->v, "first_blocks");
    if (block == NULL)
        return;
    if ((int)r->n_blocks < cJSON_GetArraySize(first))
        assert_int_equal(block->last_draw, cJSON_GetArrayItem(first, (int)r->n_blocks)->valueint);
    r->n_blocks++;
    guard_weigh(&r->guard, CLOCK, block);
    if (r->look != NULL && block->last_draw == (uint64_t)vectors_number(r->look, "request")) {
        check_look(r, r->look);
        r->look = r->look->next;
    }
    begin_bets(r, block->last_draw);
    blocks_drop_ripe(r->blocks);
}

static void run_stream(struct run *r)
{
    const char *arms = vectors_text(r->v, "arms");
    const cJSON *time = jsonx_member(r->v, "time_ms")->child;
    const cJSON *latency = jsonx_member(r->v, "latency_ms")->child;
    uint64_t group = (uint64_t)vectors_number(r->v, "group");
    for (uint64_t i = 1; *arms != '\0'; arms++, i++) {
        enum side side = side_of(r, *arms);
        struct block_place place = blocks_draw(r->blocks, side, i % group == 0, i,
                                               (int64_t)llround(time->valuedouble * 1e6));
        blocks_end(r->blocks, side, &place, OUTCOME_OK,
                   (uint64_t)llround(latency->valuedouble * 1e6));
        weigh_ripe(r);
        time = time->next;
        latency = latency->next;
    }
}

static void check_stream(const cJSON *v)
{
    const struct rule_settings settings = settings_of(v);
    struct run r = {.v = v, .id = vectors_text(v, "id"), .look = jsonx_member(v, "looks")->child};
    const cJSON *rejects = jsonx_member(v, "first_reject_request");
    guard_init(&r.guard, &settings);
    r.blocks = blocks_new(settings.clock[CLOCK].block_ns);
    run_stream(&r);
    assert_null(r.look);
    assert_int_equal(r.n_blocks, (int)vectors_number(v, "n_blocks"));
    assert_int_equal(r.guard.state.clock[CLOCK].first_look, (int)vectors_number(v, "tau"));
    assert_int_equal(r.guard.state.fired_at[ROW_MEAN],
                     cJSON_IsNumber(rejects) ? rejects->valueint : 0);
    check_bets(&r);
    blocks_free(&r.blocks);
}

static void test_streams(void **state)
{
    cJSON *root = vectors_load(VECTORS);
    const cJSON *v;
    size_t n = 0;
    (void)state;
    cJSON_ArrayForEach(v, jsonx_member(root, "streams")) {
        check_stream(v);
        n++;
    }
    assert_int_equal(n, 9);
    cJSON_Delete(root);
}

/* A block with those parts of failed calls. */
static struct block failing(double canary, double reference)
{
    struct block block = {0};
    for (int side = 0; side < N_SIDES; side++)
        block.side[side].n_ended = 9;
    block.side[SIDE_CANARY].n_failed = (size_t)lround(9 * canary);
    block.side[SIDE_REFERENCE].n_failed = (size_t)lround(9 * reference);
    return block;
}

static void check_errors(const cJSON *v)
{
    const struct rule_settings settings = rule_default_settings();
    const cJSON *want = jsonx_member(v, "tempered")->child;
    const cJSON *first = jsonx_member(v, "first_reject_block_alpha_0_005");
    struct guard g;
    const cJSON *d;
    uint64_t n = 0;
    guard_init(&g, &settings);
    cJSON_ArrayForEach(d, jsonx_member(v, "differences")) {
        struct block block = failing(fmax(d->valuedouble, 0), fmax(-d->valuedouble, 0));
        struct rule_report report = {0};
        block.last_draw = ++n;
        guard_weigh(&g, RULE_SERVICE, &block);
        guard_describe(&g, &report);
        vectors_near(vectors_text(v, "id"), "ln E", report.metrics[ROW_ERRORS].evidence,
                     want->valuedouble, 1e-9);
        want = want->next;
    }
    assert_int_equal(g.state.fired_at[ROW_ERRORS], cJSON_IsNumber(first) ? first->valueint : 0);
    assert_int_equal(guard_has_fired(&g), cJSON_IsNumber(first));
}

static void test_errors(void **state)
{
    cJSON *root = vectors_load(VECTORS);
    const cJSON *v;
    size_t n = 0;
    (void)state;
    cJSON_ArrayForEach(v, jsonx_member(root, "error_betting")) {
        check_errors(v);
        n++;
    }
    assert_int_equal(n, 6);
    cJSON_Delete(root);
}

/* --- Merging -----------------------------------------------------------------*/

/* n blocks of 40 latencies a side on both clocks, the canary's times as long; one
 * of the canary's calls fails in each. */
static void feed(struct guard *g, uint64_t n, double times)
{
    uint64_t latency[N_SIDES][40];
    for (uint64_t i = 0; i < n; i++) {
        struct block block = failing(1.0 / 9, 0);
        block.last_draw = i + 1;
        for (uint64_t side = 0; side < N_SIDES; side++) {
            for (uint64_t k = 0; k < 40; k++)
                latency[side][k] = 1000 + (i * 7919 + side * 104729 + k * 31) % 500;
            for (uint64_t k = 0; side == SIDE_CANARY && k < 40; k++)
                latency[side][k] = (uint64_t)((double)latency[side][k] * times);
            block.side[side].latency_ns = latency[side];
            block.side[side].n_latencies = 40;
        }
        guard_weigh(g, RULE_ROUND_TRIP, &block);
        guard_weigh(g, RULE_SERVICE, &block);
    }
}

static void check_merged_clock(const struct clock_evidence *m, const struct clock_evidence *a,
                               const struct clock_evidence *b)
{
    assert_int_equal(m->raw.x.n, a->raw.x.n + b->raw.x.n);
    assert_int_equal(m->mean.differences.x.n, m->raw.x.n);
    assert_int_equal(m->latency[SIDE_CANARY].n, 40 * m->raw.x.n);
    assert_int_equal(m->tail.reference.n, 40 * m->raw.x.n);
    assert_int_equal(m->promotion.spare.x.n, m->raw.x.n);
    assert_int_equal(m->promotion.tail.g.x.n, m->raw.x.n - 2);
    assert_int_equal(m->first_look, 12);
    assert_int_equal(m->promotion.first_look, 12);
    for (int k = 0; k < BET_LAMBDAS; k++) {
        assert_true(m->promotion.tail.ln_wealth[k] ==
                    a->promotion.tail.ln_wealth[k] + b->promotion.tail.ln_wealth[k]);
        assert_true(m->tail.bet[TAIL_C50].ln_wealth[k] ==
                    a->tail.bet[TAIL_C50].ln_wealth[k] + b->tail.bet[TAIL_C50].ln_wealth[k]);
    }
}

static void test_merged(void **state)
{
    static struct guard a, b, m;
    const struct rule_settings settings = rule_default_settings();
    (void)state;
    guard_init(&a, &settings);
    guard_init(&b, &settings);
    feed(&a, 20, 1);
    feed(&b, 300, 1.6);
    b.state.clock[0].first_look = b.state.clock[1].first_look = 15; /* the earlier one stays */
    m = a;
    guard_merge(&m.state, &b.state);
    for (int clock = 0; clock < N_RULE_CLOCKS; clock++)
        check_merged_clock(&m.state.clock[clock], &a.state.clock[clock], &b.state.clock[clock]);
    assert_int_equal(m.state.errors.n_failed[SIDE_CANARY], 320);
    assert_int_equal(m.state.errors.n_ended[SIDE_REFERENCE], 9 * 320);
    assert_true(bet_ln_e(&m.state.errors.bet) > bet_ln_e(&b.state.errors.bet));
    assert_false(guard_has_fired(&a));
    assert_true(guard_has_fired(&b) && guard_has_fired(&m));
    assert_true(guard_is_sound(&m.state));
    m.state.promoted_at = a.state.promoted_at = 0;
    b.state.promoted_at = 30;
    a.state.fired_at[ROW_ERRORS] = 50;
    b.state.fired_at[ROW_ERRORS] = 40;
    guard_merge(&a.state, &b.state);
    assert_int_equal(a.state.promoted_at, 30);
    assert_int_equal(a.state.fired_at[ROW_ERRORS], 40);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_streams),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_merged),
    };
    return cmocka_run_group_tests_name("guard", tests, NULL, NULL);
}
