/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Requests that killed workers: their features, as keyed hashes, are refused
 * for a while. Bounded: a newer one takes the place of the oldest. Who is put
 * in, and what refusing means, is the router's affair.
 */
#ifndef CANARYD_QUARANTINE_H
#define CANARYD_QUARANTINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct quarantine;

#define QUARANTINE_PLACES  256
#define QUARANTINE_SECONDS 60

struct quarantine *quarantine_new(void);
void quarantine_free(struct quarantine **q);

/* now_ns: monotonic, never less than before. */
void quarantine_add(struct quarantine *q, const double *features, size_t n, int64_t now_ns);

/* Whether these very features, bit for bit, were put in and their time is not
 * over. Costs nothing while nobody is in, else a hash and at most
 * QUARANTINE_PLACES comparisons. */
bool quarantine_has(struct quarantine *q, const double *features, size_t n, int64_t now_ns);

#endif
