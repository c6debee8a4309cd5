/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What all rules share: the samples' moments, the textbook's numbers and the
 * memory of what fired; see rule.h.
 */
#include "judge/rule.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"

/* Plain data without pointers: it can be written down and restored. */
struct rule_state {
    struct moments round_trip[N_ARMS];
    uint64_t fired_at[RULE_METRICS_MAX]; /* see struct rule_metric */
};

struct rule {
    const struct rule_kind *kind;
    struct rule_settings settings;
    struct rule_state state;
};

static const char *const verdict_names[N_VERDICTS] = {
    [VERDICT_NONE] = "none",
    [VERDICT_CONTINUE] = "continue",
    [VERDICT_ROLLBACK] = "rollback",
};

const char *verdict_name(enum verdict verdict)
{
    return verdict_names[verdict];
}

struct rule *rule_new(const struct rule_kind *kind, const struct rule_settings *settings)
{
    assert(settings->alpha > 0 && settings->alpha < 1);
    struct rule *rule = mem_alloc(sizeof *rule);
    rule->kind = kind;
    rule->settings = *settings;
    return rule;
}

void rule_free(struct rule **rule)
{
    free(*rule);
    *rule = NULL;
}

/* What rule_save writes. */
struct rule_memory {
    char kind[16];
    uint64_t n_bytes; /* of this struct: another build may have another */
    struct rule_settings settings;
    struct rule_state state;
};

size_t rule_save(const struct rule *rule, void *bytes, size_t size)
{
    struct rule_memory memory;
    memset(&memory, 0, sizeof memory); /* padding too: it is written down */
    assert(sizeof memory <= size && sizeof memory <= RULE_MEMORY_MAX);
    snprintf(memory.kind, sizeof memory.kind, "%s", rule->kind->name);
    memory.n_bytes = sizeof memory;
    memory.settings = rule->settings;
    memory.state = rule->state;
    memcpy(bytes, &memory, sizeof memory);
    return sizeof memory;
}

static bool is_sound(const struct rule_memory *m)
{
    bool sound = m->settings.alpha > 0 && m->settings.alpha < 1 &&
                 m->settings.margin.absolute_ns >= 0 && m->settings.margin.ratio >= 0;
    for (int arm = 0; arm < N_ARMS; arm++)
        sound = sound && isfinite(m->state.round_trip[arm].mean) &&
                isfinite(m->state.round_trip[arm].m2);
    return sound;
}

struct rule *rule_restore(const struct rule_kind *kind, const void *bytes, size_t n)
{
    struct rule_memory memory;
    if (n != sizeof memory)
        return NULL;
    memcpy(&memory, bytes, sizeof memory);
    if (memory.n_bytes != sizeof memory ||
        strncmp(memory.kind, kind->name, sizeof memory.kind) != 0 || !is_sound(&memory))
        return NULL;
    struct rule *rule = rule_new(kind, &memory.settings);
    rule->state = memory.state;
    return rule;
}

const char *rule_name(const struct rule *rule)
{
    return rule->kind->name;
}

void rule_add_sample(struct rule *rule, enum arm arm, uint64_t round_trip_ns, uint64_t service_ns)
{
    assert(arm < N_ARMS);
    (void)service_ns; /* no kind of rule looks at it yet */
    moments_add(&rule->state.round_trip[arm], (double)round_trip_ns);
}

static void describe(const struct rule *rule, struct rule_report *report)
{
    const struct moments *arms = rule->state.round_trip;
    *report = (struct rule_report){.settings = rule->settings};
    for (int arm = 0; arm < N_ARMS; arm++)
        report->round_trip[arm] = arms[arm];
    if (welch_test(&arms[ARM_STABLE], &arms[ARM_CANARY], WELCH_LEVEL, &report->plain, NULL) < 0)
        return;
    report->has_welch = true;
    report->verdict = VERDICT_CONTINUE;
    report->minimum_detectable_effect_ns =
        welch_minimum_detectable_effect(&report->plain, rule->settings.alpha, WELCH_POWER);
}

/* Remembers which metrics have fired; the first of them names the verdict. */
static void remember(struct rule_state *state, struct rule_report *report)
{
    uint64_t now = state->round_trip[ARM_STABLE].n + state->round_trip[ARM_CANARY].n;
    uint64_t first = UINT64_MAX;
    for (size_t i = 0; i < report->n_metrics; i++) {
        struct rule_metric *metric = &report->metrics[i];
        if (metric->fires && state->fired_at[i] == 0)
            state->fired_at[i] = now;
        metric->fired_at = state->fired_at[i];
        if (metric->fired_at == 0 || metric->fired_at >= first)
            continue;
        first = metric->fired_at;
        report->test = metric->test;
        report->verdict = VERDICT_ROLLBACK;
    }
}

void rule_look(struct rule *rule, struct rule_report *report)
{
    struct rule_input in = {.round_trip = rule->state.round_trip, .settings = &rule->settings};
    describe(rule, report);
    rule->kind->look(&in, report);
    assert(report->n_metrics <= RULE_METRICS_MAX);
    remember(&rule->state, report);
}
