/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Samples in CSV, one draw a row in the order of the draws, as the setting
 * sample_log writes them: read in one pass, in constant memory, and strictly.
 *
 * The first line names the columns, in any order: arm (stable, baseline,
 * canary) and round_trip_ms are needed; time_ms (when drawn, never falling),
 * service_ms, outcome (ok, fault, timeout, death, unasked), stalled (1: the round
 * trip holds a pause of the supervisor's own) and group_end (1: the lot's group of
 * draws, or a group of users, ended here) may be there. Cells may stand in double
 * quotes; lines may end in CR LF, and the file in empty ones. A latency may be empty,
 * but for an ok answer's round trip. The same first line again begins a segment: a
 * share was opened then (a server came back, or the share was changed), and times
 * count from there.
 */
#ifndef CANARYD_CTL_SAMPLE_FILE_H
#define CANARYD_CTL_SAMPLE_FILE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"
#include "judge/arm.h"

struct sample_file;

struct sample_row {
    enum arm arm;
    enum outcome outcome;   /* OUTCOME_OK without that column */
    int64_t time_ns;        /* 0 without that column */
    uint64_t round_trip_ns; /* rounded; 0 when there is none */
    uint64_t service_ns;    /* likewise */
    bool has_round_trip;    /* true for OUTCOME_OK */
    bool has_service;
    bool stalled;        /* false without that column */
    bool ends_group;     /* likewise */
    bool begins_segment; /* the first of one, the file's first aside */
};

/* Reads the header from fd's present offset; fd stays the caller's and may be a
 * pipe. name, for errors, is kept. NULL with err "bad-samples" or "io". */
struct sample_file *sample_file_open(int fd, const char *name, struct err *e);
void sample_file_free(struct sample_file **f); /* *f may be NULL */

bool sample_file_has_time(const struct sample_file *f);
bool sample_file_has_groups(const struct sample_file *f);

/* 1 and the next row, 0 at the end, or -1 with err that names line, column and
 * value: "bad-samples" or "io". *row is written only for 1. About 60 ns. */
int sample_file_next(struct sample_file *f, struct sample_row *row, struct err *e);

#endif
