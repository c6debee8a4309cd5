/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * See comparison.h. Sums run over distances from the first latency, in whole ns:
 * exact, wherever the latencies lie.
 */
#include "judge/comparison.h"

static struct moments moments_of(const struct block_side *side)
{
    uint64_t base = side->latency_ns[0];
    int64_t sum = 0;
    for (size_t i = 0; i < side->n_latencies; i++)
        sum += (int64_t)(side->latency_ns[i] - base);
    struct moments m = {.n = side->n_latencies, .mean = (double)sum / (double)side->n_latencies};
    for (size_t i = 0; i < side->n_latencies; i++) {
        double deviation = (double)(int64_t)(side->latency_ns[i] - base) - m.mean;
        m.m2 += deviation * deviation;
    }
    return moments_shift_scale(&m, (double)base, 1);
}

bool comparison_of(const struct block *block, const struct welch_margin *margin,
                   struct comparison *out)
{
    if (block->side[SIDE_REFERENCE].n_latencies == 0 || block->side[SIDE_CANARY].n_latencies == 0)
        return false;
    for (int side = 0; side < N_SIDES; side++)
        out->side[side] = moments_of(&block->side[side]);
    const struct moments *reference = &out->side[SIDE_REFERENCE];
    out->raw = moments_difference(reference, &out->side[SIDE_CANARY]);
    out->decisive =
        (out->raw - margin->absolute_ns - margin->ratio * reference->mean) / (1 + margin->ratio);
    return true;
}
