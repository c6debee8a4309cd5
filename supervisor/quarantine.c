/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A ring: all stay equally long, so the oldest is the first to go.
 */
#include "supervisor/quarantine.h"

#include <stdlib.h>

#include "common/clock.h"
#include "common/mem.h"
#include "common/rng.h"
#include "common/siphash.h"

struct patient {
    uint64_t hash;
    int64_t until_ns;
};

struct quarantine {
    struct siphash_key key;
    struct patient ring[QUARANTINE_PLACES];
    size_t first;
    size_t n;
};

struct quarantine *quarantine_new(void)
{
    struct quarantine *q = mem_alloc(sizeof *q);
    struct rng rng;
    rng_seed_from_system(&rng);
    q->key = (struct siphash_key){.k = {rng_next(&rng), rng_next(&rng)}};
    return q;
}

void quarantine_free(struct quarantine **q)
{
    free(*q);
    *q = NULL;
}

static struct patient *at(struct quarantine *q, size_t i)
{
    return &q->ring[(q->first + i) % QUARANTINE_PLACES];
}

static void drop_first(struct quarantine *q)
{
    q->first = (q->first + 1) % QUARANTINE_PLACES;
    q->n--;
}

void quarantine_add(struct quarantine *q, const double *features, size_t n, int64_t now_ns)
{
    if (q->n == QUARANTINE_PLACES)
        drop_first(q);
    *at(q, q->n++) = (struct patient){.hash = siphash(&q->key, features, n * sizeof *features),
                                      .until_ns = now_ns + QUARANTINE_SECONDS * NS_PER_SEC};
}

bool quarantine_has(struct quarantine *q, const double *features, size_t n, int64_t now_ns)
{
    while (q->n > 0 && at(q, 0)->until_ns <= now_ns)
        drop_first(q);
    if (q->n == 0)
        return false;
    uint64_t hash = siphash(&q->key, features, n * sizeof *features);
    for (size_t i = 0; i < q->n; i++)
        if (at(q, i)->hash == hash)
            return true;
    return false;
}
