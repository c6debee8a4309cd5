/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The samples of a deployment in CSV, one draw a line in the order of the draws,
 * as `canaryctl replay` reads them. Written in chunks by the helper thread; the
 * loop never waits for it. A write that fails ends the log, with one warning.
 */
#ifndef CANARYD_SAMPLE_LOG_H
#define CANARYD_SAMPLE_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "judge/rule.h"

struct chores;
struct event_base;
struct sample_log;

struct sample_log *sample_log_new(struct event_base *base, struct chores *chores);

/* After sample_log_end and chores_free, in this order: nothing may be under way. */
void sample_log_free(struct sample_log **log);

/* A deployment begins: path is created, or emptied unless the deployment goes on
 * after a restart; then a line that a crash tore is taken off its end, and the
 * header stands again where the new segment begins. Times count from start_ns
 * (monotonic). path "": no log. */
void sample_log_begin(struct sample_log *log, const char *path, bool goes_on, int64_t start_ns);

/* Another share is open: times count from now_ns (monotonic), and the header stands again
 * before the next draw. */
void sample_log_open_share(struct sample_log *log, int64_t now_ns);

/* It has ended: draws whose calls are not over are left out, and so is all that
 * followed the first of them. */
void sample_log_end(struct sample_log *log);

/* One request was drawn; ends_group: see urn.h. Returns its place, for the call's end; 0: nothing
 * is logged. */
uint64_t sample_log_draw(struct sample_log *log, enum arm arm, bool ends_group, int64_t now_ns);

/* Once per place; a place of an earlier deployment, or 0, is ignored. */
void sample_log_end_call(struct sample_log *log, uint64_t place, const struct rule_sample *sample);

#endif
