/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * See rule.h: joins calls to the blocks of their draws, hands ripe blocks to the
 * guard, and keeps the textbook's moments.
 */
#include "judge/rule.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"
#include "judge/blocks.h"
#include "judge/guard.h"

/* Plain data without pointers. */
struct rule_counts {
    struct moments round_trip[N_ARMS];
    uint64_t n_draws;
    int64_t open_ns; /* how long shares have been open, up to the last draw */
    uint64_t n_outcomes[N_ARMS][N_OUTCOMES];
    uint64_t n_stalled;
    uint64_t n_displaced; /* on the clock of round trips */
};

struct rule {
    struct rule_counts counts;
    struct guard guard;
    struct blocks *blocks[N_RULE_CLOCKS];
    enum arm reference;
    int64_t last_ns; /* of the last draw, or when the share was opened */
    bool is_open;
};

static const char *const verdict_names[N_VERDICTS] = {
    [VERDICT_NONE] = "none",
    [VERDICT_CONTINUE] = "continue",
    [VERDICT_INCONCLUSIVE] = "inconclusive",
    [VERDICT_PROMOTE] = "promote",
    [VERDICT_ROLLBACK] = "rollback",
};

const char *verdict_name(enum verdict verdict)
{
    return verdict_names[verdict];
}

struct rule *rule_new(const struct rule_settings *settings)
{
    assert(settings->alpha > 0 && settings->alpha < 1);
    struct rule *rule = mem_alloc(sizeof *rule);
    guard_init(&rule->guard, settings);
    for (int clock = 0; clock < N_RULE_CLOCKS; clock++)
        rule->blocks[clock] = blocks_new(settings->clock[clock].block_ns);
    return rule;
}

void rule_free(struct rule **rule)
{
    if (*rule == NULL)
        return;
    for (int clock = 0; clock < N_RULE_CLOCKS; clock++)
        blocks_free(&(*rule)->blocks[clock]);
    free(*rule);
    *rule = NULL;
}

/* --- Draws and calls ---------------------------------------------------------*/

void rule_open_share(struct rule *rule, enum arm reference, int64_t now_ns)
{
    assert(reference == ARM_STABLE || reference == ARM_BASELINE);
    rule->reference = reference;
    rule->last_ns = now_ns;
    rule->is_open = true;
    for (int clock = 0; clock < N_RULE_CLOCKS; clock++)
        blocks_restart(rule->blocks[clock], now_ns);
}

static enum side side_of(const struct rule *rule, enum arm arm)
{
    if (arm == ARM_CANARY)
        return SIDE_CANARY;
    return arm == rule->reference ? SIDE_REFERENCE : SIDE_NONE;
}

struct rule_ticket rule_draw(struct rule *rule, enum arm arm, bool ends_group, int64_t now_ns)
{
    assert(rule->is_open && arm < N_ARMS && now_ns >= rule->last_ns);
    struct rule_ticket ticket = {.arm = arm, .draw = ++rule->counts.n_draws};
    enum side side = side_of(rule, arm);
    rule->counts.open_ns += now_ns - rule->last_ns;
    rule->last_ns = now_ns;
    for (enum rule_clock clock = 0; clock < N_RULE_CLOCKS; clock++) {
        struct block_place place =
            blocks_draw(rule->blocks[clock], side, ends_group, ticket.draw, now_ns);
        ticket.block[clock] = place.block;
        ticket.place[clock] = place.place;
        rule->counts.n_displaced += clock == RULE_ROUND_TRIP && place.displaces;
    }
    return ticket;
}

/* The ripe block that was drawn first, of whichever clock, or NULL. A ripe block's
 * calls and all before them have ended, so the other clock's earlier blocks
 * are ripe too: the order is that of the draws, however calls end. */
static const struct block *next_ripe(struct rule *rule, enum rule_clock *clock)
{
    const struct block *next = NULL;
    for (enum rule_clock i = 0; i < N_RULE_CLOCKS; i++) {
        const struct block *block = blocks_ripe(rule->blocks[i]);
        if (block == NULL || (next != NULL && next->last_draw <= block->last_draw))
            continue;
        next = block;
        *clock = i;
    }
    return next;
}

static bool weigh_ripe(struct rule *rule)
{
    const struct block *block;
    enum rule_clock clock = RULE_ROUND_TRIP;
    bool weighed = false;
    while ((block = next_ripe(rule, &clock)) != NULL) {
        guard_weigh(&rule->guard, clock, block);
        blocks_drop_ripe(rule->blocks[clock]);
        weighed = true;
    }
    return weighed;
}

bool rule_end_call(struct rule *rule, const struct rule_ticket *ticket,
                   const struct rule_sample *sample)
{
    enum side side = side_of(rule, ticket->arm);
    const uint64_t latency[N_RULE_CLOCKS] = {
        [RULE_ROUND_TRIP] = sample->stalled ? BLOCKS_NO_LATENCY : sample->round_trip_ns,
        [RULE_SERVICE] = sample->has_service ? sample->service_ns : BLOCKS_NO_LATENCY,
    };
    rule->counts.n_outcomes[ticket->arm][sample->outcome]++;
    if (sample->outcome == OUTCOME_OK) {
        moments_add(&rule->counts.round_trip[ticket->arm], (double)sample->round_trip_ns);
        rule->counts.n_stalled += sample->stalled;
    }
    for (enum rule_clock clock = 0; clock < N_RULE_CLOCKS; clock++) {
        struct block_place place = {.block = ticket->block[clock], .place = ticket->place[clock]};
        blocks_end(rule->blocks[clock], side, &place, sample->outcome, latency[clock]);
    }
    return weigh_ripe(rule);
}

void rule_add_stable(struct rule *rule, uint64_t round_trip_ns)
{
    moments_add(&rule->counts.round_trip[ARM_STABLE], (double)round_trip_ns);
}

/* --- Telling -----------------------------------------------------------------*/

static void describe_textbook(const struct rule *rule, struct rule_report *report)
{
    const struct rule_counts *counts = &rule->counts;
    memcpy(report->round_trip, counts->round_trip, sizeof report->round_trip);
    report->stable_version = counts->round_trip[ARM_STABLE];
    moments_merge(&report->stable_version, &counts->round_trip[ARM_BASELINE]);
    if (welch_test(&report->stable_version, &counts->round_trip[ARM_CANARY], WELCH_LEVEL,
                   &report->plain, NULL) < 0)
        return;
    report->has_welch = true;
    report->minimum_detectable_effect_ns =
        welch_minimum_detectable_effect(&report->plain, rule->guard.settings.alpha, WELCH_POWER);
}

static void describe_expected(const struct rule *rule, struct rule_expected *out)
{
    double rollback = guard_growth_to_rollback(&rule->guard) - 1;
    double promotion = guard_growth_to_promotion(&rule->guard) - 1;
    if (rule_has_fired(rule))
        rollback = 0;
    if (rule_has_promoted(rule))
        promotion = 0;
    *out = (struct rule_expected){
        .rollback_ns = rollback * (double)rule->counts.open_ns,
        .promotion_ns = promotion * (double)rule->counts.open_ns,
        .rollback_draws = rollback * (double)rule->counts.n_draws,
        .promotion_draws = promotion * (double)rule->counts.n_draws,
    };
}

void rule_look(const struct rule *rule, struct rule_report *report)
{
    *report = (struct rule_report){
        .settings = rule->guard.settings,
        .reference = rule->reference,
        .n_draws = rule->counts.n_draws,
        .n_stalled = rule->counts.n_stalled,
        .n_displaced = rule->counts.n_displaced,
    };
    memcpy(report->n_outcomes, rule->counts.n_outcomes, sizeof report->n_outcomes);
    describe_textbook(rule, report);
    guard_describe(&rule->guard, report);
    describe_expected(rule, &report->expected);
    report->verdict = rule_verdict(rule);
}

enum verdict rule_verdict(const struct rule *rule)
{
    const struct moments *arms = rule->counts.round_trip;
    if (rule_has_fired(rule))
        return VERDICT_ROLLBACK;
    if (rule_has_promoted(rule))
        return VERDICT_PROMOTE;
    if (guard_has_looked(&rule->guard))
        return VERDICT_INCONCLUSIVE;
    bool has_welch = arms[ARM_STABLE].n + arms[ARM_BASELINE].n >= 2 && arms[ARM_CANARY].n >= 2;
    return has_welch ? VERDICT_CONTINUE : VERDICT_NONE;
}

bool rule_has_fired(const struct rule *rule)
{
    return guard_has_fired(&rule->guard);
}

bool rule_has_promoted(const struct rule *rule)
{
    return guard_has_promoted(&rule->guard);
}

/* --- Memory ------------------------------------------------------------------*/

/* At the head of either part; the sizes differ from build to build. */
struct head {
    char marker[8];
    uint64_t n_bytes;
};

struct counts_memory {
    struct head head;
    struct rule_settings settings;
    struct rule_counts counts;
};

struct evidence_memory {
    struct head head;
    struct guard_state state;
};

_Static_assert(sizeof(struct counts_memory) <= RULE_COUNTS_MAX, "room for the counts");
_Static_assert(sizeof(struct evidence_memory) <= RULE_EVIDENCE_MAX, "room for the evidence");

#define COUNTS_MARKER   "cntrul1"
#define EVIDENCE_MARKER "evdrul1"

static struct head head_of(const char marker[8], size_t n_bytes)
{
    struct head head = {.n_bytes = n_bytes};
    memcpy(head.marker, marker, sizeof head.marker);
    return head;
}

size_t rule_save_counts(const struct rule *rule, void *bytes, size_t size)
{
    struct counts_memory memory;
    assert(sizeof memory <= size);
    memset(&memory, 0, sizeof memory); /* padding too: it is written down */
    memory.head = head_of(COUNTS_MARKER, sizeof memory);
    memory.settings = rule->guard.settings;
    memory.counts = rule->counts;
    memcpy(bytes, &memory, sizeof memory);
    return sizeof memory;
}

size_t rule_save_evidence(const struct rule *rule, void *bytes, size_t size)
{
    const struct head head = head_of(EVIDENCE_MARKER, sizeof(struct evidence_memory));
    assert(head.n_bytes <= size);
    memcpy(bytes, &head, sizeof head);
    memcpy((char *)bytes + offsetof(struct evidence_memory, state), &rule->guard.state,
           sizeof rule->guard.state);
    return sizeof(struct evidence_memory);
}

static bool has_head(const void *bytes, size_t n, const char marker[8], size_t n_bytes)
{
    const struct head head = head_of(marker, n_bytes);
    return n == n_bytes && memcmp(bytes, &head, sizeof head) == 0;
}

static bool row_is_sound(const struct rule_settings *s, const struct rule_row_settings *row)
{
    unsigned char observe; /* a bool that is neither must not be read as one */
    memcpy(&observe, &row->observe, 1);
    /* Half of it is an alpha too, and that of the least number is 0. */
    return s->alpha * row->part / 2 > 0 && row->part <= 1 && observe <= 1;
}

static bool clock_is_sound(const struct rule_clock_settings *c)
{
    return c->block_ns >= 0 && c->margin.ratio >= 0 && isfinite(c->margin.ratio) &&
           c->margin.absolute_ns >= 0 && isfinite(c->margin.absolute_ns);
}

static bool settings_are_sound(const struct rule_settings *s)
{
    double parts = 0;
    bool sound = s->alpha > 0 && s->alpha < 1 && s->promotion_alpha > 0 && s->promotion_alpha < 1 &&
                 s->promotion_margin > 0 && isfinite(s->promotion_margin);
    for (int row = 0; row < N_RULE_ROWS; row++) {
        sound = sound && row_is_sound(s, &s->row[row]);
        parts += s->row[row].part;
    }
    for (int clock = 0; clock < N_RULE_CLOCKS; clock++)
        sound = sound && clock_is_sound(&s->clock[clock]);
    return sound && parts < 1 + 1e-9;
}

static bool counts_are_sound(const struct rule_counts *c)
{
    bool sound = c->open_ns >= 0;
    for (int arm = 0; arm < N_ARMS; arm++)
        sound = sound && isfinite(c->round_trip[arm].mean) &&
                isfinite(c->round_trip[arm].mean_low) && isfinite(c->round_trip[arm].m2);
    return sound;
}

struct rule *rule_restore(const struct rule_memory *memory)
{
    struct counts_memory counts;
    if (!has_head(memory->counts, memory->n_counts, COUNTS_MARKER, sizeof counts))
        return NULL;
    memcpy(&counts, memory->counts, sizeof counts);
    if (!settings_are_sound(&counts.settings) || !counts_are_sound(&counts.counts))
        return NULL;
    struct rule *rule = rule_new(&counts.settings);
    rule->counts = counts.counts;
    if (memory->n_evidence == 0)
        return rule;
    if (has_head(memory->evidence, memory->n_evidence, EVIDENCE_MARKER,
                 sizeof(struct evidence_memory)))
        memcpy(&rule->guard.state,
               (const char *)memory->evidence + offsetof(struct evidence_memory, state),
               sizeof rule->guard.state);
    else
        rule_free(&rule);
    if (rule != NULL && !guard_is_sound(&rule->guard.state))
        rule_free(&rule);
    return rule;
}

void rule_merge(struct rule *into, const struct rule *from)
{
    struct rule_counts *counts = &into->counts;
    for (int arm = 0; arm < N_ARMS; arm++) {
        moments_merge(&counts->round_trip[arm], &from->counts.round_trip[arm]);
        for (int outcome = 0; outcome < N_OUTCOMES; outcome++)
            counts->n_outcomes[arm][outcome] += from->counts.n_outcomes[arm][outcome];
    }
    counts->n_draws += from->counts.n_draws;
    counts->open_ns += from->counts.open_ns;
    counts->n_stalled += from->counts.n_stalled;
    counts->n_displaced += from->counts.n_displaced;
    guard_merge(&into->guard.state, &from->guard.state);
}
