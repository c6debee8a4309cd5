/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A rule's memory as the board may hold it after a crash: refused, or a rule that
 * goes on. The first bytes are written over a good memory where that helps the
 * input past the header: an offset (2 bytes), then bytes.
 */
#include <string.h>

#include "judge/rule.h"
#include "judge/rule_welch.h"
#include "tests/fuzz/fuzz.h"

static void go_on(const void *bytes, size_t n)
{
    struct rule *r = rule_restore(&rule_welch, bytes, n);
    struct rule_report report;
    if (r == NULL)
        return;
    for (int i = 0; i < 50; i++)
        rule_add_sample(r, i % 2 == 0 ? ARM_STABLE : ARM_CANARY, 1000U + (unsigned)i, 900);
    rule_look(r, &report);
    MUST(report.verdict < N_VERDICTS && report.n_metrics <= RULE_METRICS_MAX);
    rule_free(&r);
}

static void change_good(const uint8_t *data, size_t n)
{
    static uint8_t memory[RULE_MEMORY_MAX];
    const struct rule_settings settings = {.alpha = 0.05, .min_samples = 36};
    uint16_t offset;
    struct rule *r = rule_new(&rule_welch, &settings);
    size_t size = rule_save(r, memory, sizeof memory);
    rule_free(&r);
    memcpy(&offset, data, 2);
    offset = (uint16_t)(offset % size);
    size_t room = size - offset < n - 2 ? size - offset : n - 2;
    memcpy(memory + offset, data + 2, room);
    go_on(memory, size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    go_on(data, n);
    if (n > 2)
        change_good(data, n);
    return 0;
}
