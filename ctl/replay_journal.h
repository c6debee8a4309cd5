/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Decisions in a journal, computed again as far as what stands there goes: the
 * samples are gone, but each number of a health report follows from others.
 */
#ifndef CANARYD_CTL_REPLAY_JOURNAL_H
#define CANARYD_CTL_REPLAY_JOURNAL_H

#include <stdbool.h>
#include <stdio.h>

#include "common/err.h"

/* "journal.jsonl" and its like. */
bool replay_is_journal(const char *path);

/* Reads the journal from fd's present offset to its end and prints a JSON line for
 * each decision (an entry that holds a health report) and one with their
 * number: {"decisions":2,"agree":2}. A line that a crash tore is told and passed
 * over. 0, or -1 with err: "io", or "bad-samples" when a decision does not follow
 * from its numbers (all has been printed then). */
int replay_journal(int fd, const char *name, FILE *out, struct err *e);

#endif
