/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The textbook rule; see rule_welch.h.
 */
#include "judge/rule_welch.h"

#include <math.h>

static void look(const struct rule_input *in, struct rule_report *report)
{
    const struct rule_settings *settings = in->settings;
    const struct moments *stable = &in->round_trip[ARM_STABLE];
    const struct moments *canary = &in->round_trip[ARM_CANARY];
    struct moments shifted = welch_take_margin(canary, &settings->margin);
    struct rule_metric *metric = &report->metrics[report->n_metrics++];
    *metric = (struct rule_metric){
        .test = "mean",
        .clock = "round_trip",
        .alpha = settings->alpha,
        .evidence = NAN,
        .threshold = -log(settings->alpha),
        .anytime_p_value = NAN,
    };
    if (welch_test(stable, &shifted, WELCH_LEVEL, &report->decisive, NULL) < 0)
        return;
    metric->evidence = -report->decisive.ln_p_greater;
    metric->fires = stable->n >= settings->min_samples && canary->n >= settings->min_samples &&
                    report->decisive.p_greater < settings->alpha;
}

const struct rule_kind rule_welch = {.name = "welch", .look = look};
