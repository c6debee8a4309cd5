/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * canaryctl's options: one table says how each is named, read, bounded and
 * explained. They may stand before or after the command; which command takes
 * which is the command table's business (command.h).
 */
#ifndef CANARYD_CTL_OPTIONS_H
#define CANARYD_CTL_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "common/err.h"

enum option_id {
    OPTION_URL,
    OPTION_TOKEN_FILE,
    OPTION_JSON,
    OPTION_PERCENT,
    OPTION_SHA256,
    OPTION_REPLACE,
    OPTION_FORCE,
    OPTION_REQUESTS,
    OPTION_WORKFLOW,
    OPTION_MODEL,
    OPTION_FEATURES,
    OPTION_PAUSE_MS,
    OPTION_EFFECT_MS,
    OPTION_SD_MS,
    OPTION_ALPHA,
    OPTION_POWER,
    OPTION_SHARE,
    OPTION_SIDES,
    OPTION_SAMPLES,
    OPTION_BASELINE,
    OPTION_MIN_SAMPLES,
    OPTION_BLOCK_MS,
    OPTION_MARGIN_MS,
    OPTION_MARGIN_RATIO,
    OPTION_SERVICE_BLOCK_MS,
    OPTION_SERVICE_MARGIN_MS,
    OPTION_SERVICE_MARGIN_RATIO,
    OPTION_MEAN_PART,
    OPTION_SERVICE_MEAN_PART,
    OPTION_TAIL_PART,
    OPTION_SERVICE_TAIL_PART,
    OPTION_ERRORS_PART,
    OPTION_OBSERVE_ONLY,
    OPTION_PROMOTION_MARGIN,
    OPTION_PROMOTION_ALPHA,
    OPTION_PROMOTION_MIN_SAMPLES,
    OPTION_HELP,
    OPTION_VERSION,
    N_OPTIONS
};

#define OPTION_BIT(id) (UINT64_C(1) << (id))

/* What goes with every command, and what each also explains that asks no server. */
#define OPTIONS_ALWAYS (OPTION_BIT(OPTION_HELP) | OPTION_BIT(OPTION_VERSION))
#define OPTIONS_GLOBAL (OPTIONS_ALWAYS | OPTION_BIT(OPTION_URL) | OPTION_BIT(OPTION_TOKEN_FILE))

/* Whom a replayed canary is compared with. */
enum baseline {
    BASELINE_AUTO, /* the baseline if the file has one, else stable */
    BASELINE_ON,
    BASELINE_OFF
};

enum workflow { WORKFLOW_FULL, WORKFLOW_DEPLOY, WORKFLOW_PROMOTE };

#define OPTIONS_MAX_WORDS    4
#define OPTIONS_MAX_FEATURES 256

struct options {
    uint64_t given;           /* OPTION_BIT of each that was said */
    double number[N_OPTIONS]; /* of the options that are plain numbers; else 0 */
    const char *url;
    const char *token_file; /* NULL: none */
    const char *sha256;
    const char *model;
    double percent;
    int64_t requests;
    int64_t pause_ms;
    enum workflow workflow;
    enum baseline baseline;
    const char *observe_only; /* names of rows with commas between; NULL: none */
    double features[OPTIONS_MAX_FEATURES];
    size_t n_features;
    const char *words[OPTIONS_MAX_WORDS]; /* the command, then its arguments */
    size_t n_words;
};

static inline bool options_given(const struct options *o, enum option_id id)
{
    return (o->given & OPTION_BIT(id)) != 0;
}

/* Reads argv[1..argc-1] over the defaults; the strings stay argv's. url falls
 * back to $CANARYD_URL, token_file to $CANARYD_TOKEN_FILE; "help" as first word is --help. 0, or -1
 * with err "usage"; *o is untouched then. */
int options_parse(int argc, char *const *argv, struct options *o, struct err *e);

/* "percent": the name without its dashes. */
const char *options_name(enum option_id id);

/* The first option of the mask that was not given, or N_OPTIONS. */
enum option_id options_missing(const struct options *o, uint64_t mask);

/* One aligned line of help for each option of the mask. */
void options_help(uint64_t mask, FILE *out);

#endif
