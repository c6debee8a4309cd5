/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Edit distance by the two-row recurrence of Wagner and Fischer 1974, J. ACM
 * 21:168.
 */
#include "common/nearest.h"

#include <string.h>

#define MAX_LENGTH 64 /* of a name; a longer one has no neighbour */

static size_t smallest(size_t a, size_t b, size_t c)
{
    size_t ab = a < b ? a : b;
    return ab < c ? ab : c;
}

static size_t edit_distance(const char *a, const char *b)
{
    size_t row[MAX_LENGTH + 1];
    size_t n = strlen(b);
    for (size_t j = 0; j <= n; j++)
        row[j] = j;
    for (size_t i = 1; a[i - 1] != '\0'; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= n; j++) {
            size_t above = row[j];
            row[j] = smallest(above + 1, row[j - 1] + 1, diagonal + (a[i - 1] != b[j - 1]));
            diagonal = above;
        }
    }
    return row[n];
}

const char *nearest_name(const char *name, size_t n, const char *(*name_at)(size_t i))
{
    const char *best = NULL;
    size_t length = strlen(name);
    size_t limit = length / 3 + 1;
    if (length > MAX_LENGTH)
        return NULL;
    for (size_t i = 0; i < n; i++) {
        const char *known = name_at(i);
        size_t distance = strlen(known) <= MAX_LENGTH ? edit_distance(name, known) : limit + 1;
        if (distance <= limit && (best == NULL || distance < limit)) {
            best = known;
            limit = distance;
        }
    }
    return best;
}
