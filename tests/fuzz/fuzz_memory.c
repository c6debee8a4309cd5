/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A rule's memory as the board may hold it after a crash: refused, or a rule that
 * goes on. The input overwrites places of a good one, or there would be no way
 * past its head: a byte that says which part, an offset (2 bytes), a length (1)
 * and bytes, again and again.
 */
#include <string.h>

#include "common/clock.h"
#include "judge/rule.h"
#include "tests/fuzz/fuzz.h"

#define N_DRAWS 600

static uint8_t counts[RULE_COUNTS_MAX], evidence[RULE_EVIDENCE_MAX];
static size_t n_counts, n_evidence;

/* One millisecond from draw to draw; every third is the canary's. */
static void draw(struct rule *r, int n)
{
    rule_open_share(r, ARM_BASELINE, 0);
    for (int i = 0; i < n; i++) {
        enum arm arm = (enum arm)(i % N_ARMS);
        struct rule_ticket t = rule_draw(r, arm, i % 10 == 9, i * NS_PER_MS);
        const struct rule_sample s = {.outcome = i % 50 == 0 ? OUTCOME_FAULT : OUTCOME_OK,
                                      .round_trip_ns = 1000000U + (unsigned)i * 997,
                                      .service_ns = 900000,
                                      .has_service = true};
        rule_end_call(r, &t, &s);
    }
}

static void make_good(void)
{
    const struct rule_settings settings = rule_default_settings();
    struct rule *r = rule_new(&settings);
    draw(r, N_DRAWS);
    n_counts = rule_save_counts(r, counts, sizeof counts);
    n_evidence = rule_save_evidence(r, evidence, sizeof evidence);
    rule_free(&r);
}

static void go_on(const struct rule_memory *memory)
{
    static struct rule_report report;
    struct rule *r = rule_restore(memory);
    if (r == NULL)
        return;
    draw(r, 200);
    rule_look(r, &report);
    MUST(report.verdict < N_VERDICTS);
    rule_free(&r);
}

/* A piece: part, offset (2), length, bytes. Returns how much of the input it is. */
static size_t change(uint8_t *c, uint8_t *e, const uint8_t *data, size_t n)
{
    uint16_t offset;
    size_t size = data[0] % 2 == 0 ? n_counts : n_evidence;
    size_t length = data[3] < n - 4 ? data[3] : n - 4;
    memcpy(&offset, data + 1, 2);
    size_t at = offset % size;
    memcpy((data[0] % 2 == 0 ? c : e) + at, data + 4, length < size - at ? length : size - at);
    return 4 + length;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    uint8_t c[RULE_COUNTS_MAX], e[RULE_EVIDENCE_MAX];
    if (n_counts == 0)
        make_good();
    memcpy(c, counts, n_counts);
    memcpy(e, evidence, n_evidence);
    while (n > 4) {
        size_t used = change(c, e, data, n);
        data += used;
        n -= used;
    }
    go_on(&(struct rule_memory){c, n_counts, e, n_evidence});
    return 0;
}
