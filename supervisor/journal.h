/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What happened, for good: one JSON object per line in state_dir/journal.jsonl,
 * append only, and the most recent entries in memory for whoever asks.
 */
#ifndef CANARYD_JOURNAL_H
#define CANARYD_JOURNAL_H

#include <stddef.h>

#include <cjson/cJSON.h>

#include "common/err.h"

struct chores;
struct journal;

#define JOURNAL_RECENT 256 /* entries kept in memory */

/* Opens (creates, 0640) journal.jsonl in dir and locks it: NULL with err,
 * "already-running" if another supervisor has it, else "cannot-create". */
struct journal *journal_open(const char *dir, struct chores *chores, struct err *e);
void journal_free(struct journal **j); /* after the chores have ended */

/* Appends an entry: its time, the event's name, then the members of fields
 * (taken; may be NULL). Writing and fsync are the helper thread's; a disk that
 * refuses is logged and loses only the entry. */
void journal_add(struct journal *j, const char *event, cJSON *fields);

/* An array of the recent entries, the oldest first. The caller owns it. */
cJSON *journal_recent(const struct journal *j);

#endif
