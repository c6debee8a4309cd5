/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * See row_mean.h.
 */
#include "judge/row_mean.h"

#include <math.h>

#include "judge/paired.h"

void row_mean_weigh(struct row_mean *row, double difference_ns)
{
    series_add(&row->differences, difference_ns);
}

bool row_mean_fires(const struct row_mean *row, const struct boundary *b, uint64_t first_look)
{
    if (row->differences.x.mean <= 0)
        return false;
    struct paired p = paired_of(&row->differences, first_look);
    return boundary_is_crossed(b, p.t, p.df, p.ln_r);
}

void row_mean_describe(const struct row_mean *row, const struct boundary *b, uint64_t first_look,
                       struct rule_metric *out)
{
    struct paired p = paired_of(&row->differences, first_look);
    out->threshold = boundary_z(b, p.ln_r);
    out->evidence = out->anytime_p_value = NAN;
    out->basis = (struct rule_basis){.n_blocks = row->differences.x.n,
                                     .first_look = first_look,
                                     .mean = p.difference,
                                     .variance = moments_variance(&row->differences.x),
                                     .vif = series_vif(&row->differences)};
    if (first_look == 0 || isnan(p.t))
        return;
    out->evidence = boundary_deviate(p.t, p.df);
    if (out->evidence > 0)
        out->anytime_p_value = boundary_anytime_p(out->evidence, p.ln_r);
}
