/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * See paired.h.
 */
#include "judge/paired.h"

#include <math.h>

#define MAX_GROWTH       1000                /* beyond it nothing is foreseen */
#define DEVIATE_OF_POWER 0.84162123357291441 /* Phi of it is .8 */

static double t_of(double difference, double standard_error)
{
    return standard_error > 0 ? difference / standard_error : NAN;
}

struct paired paired_of(const struct series *s, uint64_t first_look)
{
    double n = (double)s->x.n;
    double difference = s->x.n > 0 ? s->x.mean : NAN;
    double standard_error = series_standard_error(s);
    return (struct paired){
        .difference = difference,
        .standard_error = standard_error,
        .t = t_of(difference, standard_error),
        .df = n - 1,
        .ln_r = first_look == 0 ? 0 : log(fmax(1, n / (double)first_look)),
    };
}

struct paired paired_with_floor(const struct paired *p, double floor)
{
    struct paired raised = *p;
    raised.standard_error = fmax(p->standard_error, floor);
    raised.t = t_of(p->difference, raised.standard_error);
    return raised;
}

struct interval paired_interval(const struct paired *p, const struct boundary *half)
{
    double t = boundary_t_quantile(boundary_z(half, p->ln_r), p->df);
    return (struct interval){p->difference - t * p->standard_error,
                             p->difference + t * p->standard_error};
}

double paired_detectable(const struct paired *p, const struct boundary *b)
{
    return p->standard_error * (boundary_z(b, p->ln_r) + DEVIATE_OF_POWER);
}

/* t^2 g = z^2(R g): z grows with the root of a logarithm, so each round comes
 * closer. The tails of t and normal are taken for alike, as they are by then. */
double paired_growth_needed(const struct paired *p, const struct boundary *b)
{
    double growth = 1;
    if (!(p->t > 0))
        return NAN;
    for (int i = 0; i < 20; i++) {
        double z = boundary_z(b, p->ln_r + log(growth));
        growth = fmax(1, z * z / (p->t * p->t));
    }
    return growth <= MAX_GROWTH ? growth : NAN;
}
