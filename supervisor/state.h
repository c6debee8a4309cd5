/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What must survive the supervisor: who is stable, who is the canary, with what
 * share and since when, and what became of the last one. Plain data and its
 * JSON; store.h keeps it on disk.
 */
#ifndef CANARYD_STATE_H
#define CANARYD_STATE_H

#include <stdbool.h>
#include <stdint.h>

#include <cjson/cJSON.h>

#include "common/err.h"
#include "supervisor/modelref.h"

#define STATE_VERSION 1

/* A model as it was deployed. path NULL: none. */
struct saved_model {
    char *path;                           /* as the operator gave it */
    char sha256[SHA256_TEXT_SIZE];        /* of the file that was deployed */
    char served_sha256[SHA256_TEXT_SIZE]; /* of what its workers read */
    enum runtime runtime;                 /* of these */
};

struct saved_state {
    struct saved_model stable;
    struct saved_model canary;
    char *stable_setting; /* stable_model when this was saved: a newer value wins */
    char *canary_setting; /* canary_model as it was last acted on */
    uint64_t deployment;  /* the canary's number: tag of its samples on the board */
    double percent;
    bool percent_by_settings;
    int64_t canary_start_ns; /* wall clock */
    bool slowdown;
    char *rolled_back_by; /* NULL, or who, without asking, since the last deployment */
    cJSON *report;        /* the health report at that moment, or NULL */
};

void saved_state_free(struct saved_state **s);

/* The document {"canaryd_state": 1, "sha256": ..., "state": {...}}, printed. The
 * checksum is of the printed state. The caller frees the text (cJSON_free). */
char *state_print(const struct saved_state *s);

/* Reads such a document of n bytes (text[n] is NUL). NULL with err: "state-newer"
 * when its version is above STATE_VERSION, else "state-damaged". */
struct saved_state *state_parse(const char *text, size_t n, struct err *e);

#endif
