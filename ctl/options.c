/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Reading the command line, strictly; see options.h.
 */
#include "ctl/options.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/nearest.h"
#include "ctl/number.h"
#include "ctl/url.h"
#include "judge/rule_settings.h"
#include "judge/urn.h"

/* Reads value into *o: true, or false when it isn't what the table's `expects` says. */
typedef bool read_fn(const char *value, struct options *o);

static bool read_url(const char *value, struct options *o)
{
    struct url ignored;
    o->url = value;
    return url_parse(value, &ignored, NULL) == 0;
}

static bool read_token_file(const char *value, struct options *o)
{
    o->token_file = value;
    return value[0] != '\0';
}

static bool read_percent(const char *value, struct options *o)
{
    return number_read(value, &o->percent) && o->percent > 0 && o->percent <= URN_MAX_PERCENT;
}

static bool read_sha256(const char *value, struct options *o)
{
    o->sha256 = value;
    return strlen(value) == 64 && strspn(value, "0123456789abcdefABCDEF") == 64;
}

static bool read_requests(const char *value, struct options *o)
{
    return number_read_whole(value, 1, 10000000, &o->requests);
}

static bool read_pause(const char *value, struct options *o)
{
    return number_read_whole(value, 0, 10000, &o->pause_ms);
}

/* The index of value among the n names, or -1. */
static int find_word(const char *value, const char *const *names, int n)
{
    for (int i = 0; i < n; i++) {
        if (strcmp(value, names[i]) == 0)
            return i;
    }
    return -1;
}

static bool read_workflow(const char *value, struct options *o)
{
    static const char *const names[] = {
        [WORKFLOW_FULL] = "full", [WORKFLOW_DEPLOY] = "deploy", [WORKFLOW_PROMOTE] = "promote"};
    int i = find_word(value, names, sizeof names / sizeof names[0]);
    o->workflow = i < 0 ? o->workflow : (enum workflow)i;
    return i >= 0;
}

static bool read_baseline(const char *value, struct options *o)
{
    static const char *const names[] = {
        [BASELINE_AUTO] = "auto", [BASELINE_ON] = "on", [BASELINE_OFF] = "off"};
    int i = find_word(value, names, sizeof names / sizeof names[0]);
    o->baseline = i < 0 ? o->baseline : (enum baseline)i;
    return i >= 0;
}

/* Every name one of a row of the guard's, with single commas between. */
static bool read_observe_only(const char *value, struct options *o)
{
    bool rows[N_RULE_ROWS];
    o->observe_only = value;
    return value[0] != '\0' && rule_read_rows(value, rows);
}

static bool read_model(const char *value, struct options *o)
{
    o->model = value;
    return value[0] != '\0';
}

static bool read_features(const char *value, struct options *o)
{
    o->n_features = number_read_list(value, o->features, OPTIONS_MAX_FEATURES);
    return o->n_features > 0;
}

/* Bounds of a plain number, themselves allowed. */
struct range {
    double min, max;
    bool whole;
    double initial; /* without the option */
};

#define ABOVE_0   DBL_TRUE_MIN
#define BELOW_1   (1 - DBL_EPSILON / 2)
#define HOUR_MS   3600000.0
#define MAX_COUNT 1e9

static const struct {
    const char *name;     /* without the dashes */
    const char *argument; /* NULL: a flag */
    read_fn *read;        /* NULL for flags and plain numbers */
    const char *expects;  /* likewise */
    const char *help;
    struct range range; /* of a plain number; max 0: it is none */
} table[N_OPTIONS] = {
    [OPTION_URL] =
        {.name = "url",
         .argument = "URL",
         .read = read_url,
         .expects = "http://HOST:PORT or unix:PATH",
         .help = "the server, or unix:PATH (default: $CANARYD_URL, else http://localhost:8000)"},
    [OPTION_TOKEN_FILE] = {.name = "token-file",
                           .argument = "FILE",
                           .read = read_token_file,
                           .expects = "a file name",
                           .help = "the server's admin token (default: $CANARYD_TOKEN_FILE)"},
    [OPTION_JSON] = {.name = "json",
                     .argument = NULL,
                     .read = NULL,
                     .expects = NULL,
                     .help = "print JSON, the server's as it came, for scripts"},
    [OPTION_PERCENT] =
        {.name = "percent",
         .argument = "P",
         .read = read_percent,
         .expects = "a number above 0 and at most 50",
         .help = "the canary's share of the traffic (default: the server's; replay: 10)"},
    [OPTION_SHA256] = {.name = "sha256",
                       .argument = "HEX",
                       .read = read_sha256,
                       .expects = "64 hexadecimal digits",
                       .help = "deploy only if the file has this digest"},
    [OPTION_REPLACE] = {.name = "replace",
                        .argument = NULL,
                        .read = NULL,
                        .expects = NULL,
                        .help = "take the place of a canary that is out"},
    [OPTION_FORCE] = {.name = "force",
                      .argument = NULL,
                      .read = NULL,
                      .expects = NULL,
                      .help = "promote although the alert stands"},
    [OPTION_REQUESTS] = {.name = "requests",
                         .argument = "N",
                         .read = read_requests,
                         .expects = "a whole number from 1 to 10000000",
                         .help = "predictions per batch of traffic (default: 200)"},
    [OPTION_WORKFLOW] =
        {.name = "workflow",
         .argument = "W",
         .read = read_workflow,
         .expects = "full, deploy or promote",
         .help = "deploy (a slow canary), promote (a good one) or full: both (default)"},
    [OPTION_MODEL] = {.name = "model",
                      .argument = "PATH",
                      .read = read_model,
                      .expects = "a path in the server's model directory",
                      .help = "the canary to deploy (default: models/model_v2.joblib)"},
    [OPTION_FEATURES] = {.name = "features",
                         .argument = "X,...",
                         .read = read_features,
                         .expects = "1 to 256 numbers with commas between",
                         .help = "the input of every prediction (default: 0.5,1.2,0.8,0.3,1.1)"},
    [OPTION_PAUSE_MS] = {.name = "pause-ms",
                         .argument = "MS",
                         .read = read_pause,
                         .expects = "a whole number from 0 to 10000",
                         .help = "wait between two predictions (default: 10)"},
    [OPTION_EFFECT_MS] = {.name = "effect-ms",
                          .argument = "MS",
                          .range = {.min = ABOVE_0, .max = HOUR_MS},
                          .help = "how much slower a canary is that must be found"},
    [OPTION_SD_MS] = {.name = "sd-ms",
                      .argument = "MS",
                      .range = {.min = ABOVE_0, .max = HOUR_MS},
                      .help = "standard deviation of one latency"},
    [OPTION_ALPHA] = {.name = "alpha",
                      .argument = "A",
                      .range = {.min = ABOVE_0, .max = 0.5, .initial = 0.05},
                      .help = "accepted chance of a false alarm (default: 0.05)"},
    [OPTION_POWER] = {.name = "power",
                      .argument = "P",
                      .range = {.min = ABOVE_0, .max = BELOW_1, .initial = 0.8},
                      .help = "chance to find the effect (default: 0.8)"},
    [OPTION_SHARE] = {.name = "share",
                      .argument = "P",
                      .range = {.min = ABOVE_0, .max = URN_MAX_PERCENT, .initial = 10},
                      .help =
                          "percent of the traffic that canary and baseline get each (default: 10)"},
    [OPTION_SIDES] = {.name = "sides",
                      .argument = "N",
                      .range = {.min = 1, .max = 2, .whole = true},
                      .help = "1: slower only; 2: a difference either way (default: both shown)"},
    [OPTION_SAMPLES] = {.name = "samples",
                        .argument = "N",
                        .range = {.min = 2, .max = MAX_COUNT, .whole = true, .initial = 36},
                        .help = "samples a side whose power is told (default: 36)"},
    [OPTION_BASELINE] =
        {.name = "baseline",
         .argument = "WHO",
         .read = read_baseline,
         .expects = "auto, on or off",
         .help = "off: compare with stable; auto: unless there is a baseline (default)"},
    [OPTION_MIN_SAMPLES] =
        {.name = "min-samples",
         .argument = "N",
         .range = {.min = 2, .max = MAX_COUNT, .whole = true, .initial = 36},
         .help = "weighed, of each side, before latencies are looked at (default: 36)"},
    [OPTION_BLOCK_MS] = {.name = "block-ms",
                         .argument = "MS",
                         .range = {.min = 0, .max = HOUR_MS, .initial = 50},
                         .help = "least time of a round trip's block (default: 50)"},
    [OPTION_MARGIN_MS] = {.name = "margin-ms",
                          .argument = "MS",
                          .range = {.min = 0, .max = HOUR_MS, .initial = 0.1},
                          .help = "a canary's round trip may be slower by so much (default: 0.1)"},
    [OPTION_MARGIN_RATIO] = {.name = "margin-ratio",
                             .argument = "R",
                             .range = {.min = 0, .max = 100, .initial = 0.2},
                             .help = "and by this part of the reference's (default: 0.2)"},
    [OPTION_SERVICE_BLOCK_MS] = {.name = "service-block-ms",
                                 .argument = "MS",
                                 .range = {.min = 0, .max = HOUR_MS, .initial = 10},
                                 .help = "the same for service times (default: 10)"},
    [OPTION_SERVICE_MARGIN_MS] = {.name = "service-margin-ms",
                                  .argument = "MS",
                                  .range = {.min = 0, .max = HOUR_MS, .initial = 0.01},
                                  .help = "(default: 0.01)"},
    [OPTION_SERVICE_MARGIN_RATIO] = {.name = "service-margin-ratio",
                                     .argument = "R",
                                     .range = {.min = 0, .max = 100, .initial = 0.05},
                                     .help = "(default: 0.05)"},
    [OPTION_MEAN_PART] = {.name = "mean-part",
                          .argument = "P",
                          .range = {.min = ABOVE_0, .max = 1, .initial = 0.25},
                          .help = "of alpha, for the mean of round trips (default: 0.25)"},
    [OPTION_SERVICE_MEAN_PART] = {.name = "service-mean-part",
                                  .argument = "P",
                                  .range = {.min = ABOVE_0, .max = 1, .initial = 0.25},
                                  .help = "for the mean of service times (default: 0.25)"},
    [OPTION_TAIL_PART] = {.name = "tail-part",
                          .argument = "P",
                          .range = {.min = ABOVE_0, .max = 1, .initial = 0.15},
                          .help = "for the tail of round trips (default: 0.15)"},
    [OPTION_SERVICE_TAIL_PART] = {.name = "service-tail-part",
                                  .argument = "P",
                                  .range = {.min = ABOVE_0, .max = 1, .initial = 0.15},
                                  .help = "for the tail of service times (default: 0.15)"},
    [OPTION_ERRORS_PART] = {.name = "errors-part",
                            .argument = "P",
                            .range = {.min = ABOVE_0, .max = 1, .initial = 0.1},
                            .help = "for errors (default: 0.1); all parts at most 1"},
    [OPTION_OBSERVE_ONLY] = {.name = "observe-only",
                             .argument = "ROW,...",
                             .read = read_observe_only,
                             .expects = "rows of mean, service-mean, tail, service-tail and errors",
                             .help = "rows that tell and never decide"},
    [OPTION_PROMOTION_MARGIN] =
        {.name = "promotion-margin",
         .argument = "R",
         .range = {.min = ABOVE_0, .max = 100, .initial = 0.1},
         .help = "how much slower a canary may be and be promoted (default: 0.1)"},
    [OPTION_PROMOTION_ALPHA] =
        {.name = "promotion-alpha",
         .argument = "A",
         .range = {.min = ABOVE_0, .max = 0.5, .initial = 0.05},
         .help = "probability of promoting one that is slower by just that (default: 0.05)"},
    [OPTION_PROMOTION_MIN_SAMPLES] =
        {.name = "promotion-min-samples",
         .argument = "N",
         .range = {.min = 30, .max = MAX_COUNT, .whole = true, .initial = 200},
         .help = "the canary's before it is promoted (default: 200)"},
    [OPTION_HELP] = {.name = "help",
                     .argument = NULL,
                     .read = NULL,
                     .expects = NULL,
                     .help = "this help; after a command, the command's own"},
    [OPTION_VERSION] = {.name = "version",
                        .argument = NULL,
                        .read = NULL,
                        .expects = NULL,
                        .help = "print the version"},
};

static const char *name_at(size_t i)
{
    return table[i].name;
}

/* arg: without its dashes; its name has n letters. */
static int refuse_unknown(const char *arg, size_t n, struct err *e)
{
    char name[80];
    snprintf(name, sizeof name, "%.*s", n < sizeof name ? (int)n : (int)sizeof name, arg);
    const char *near = nearest_name(name, N_OPTIONS, name_at);
    if (near == NULL)
        return err_set(e, "usage", "there is no option --%s", name);
    return err_set(e, "usage", "there is no option --%s; did you mean --%s?", name, near);
}

/* "a number above 0 and at most 50", "a whole number from 1 to 5" */
static void write_expected(const struct range *r, char *out, size_t size)
{
    char low[40], high[40];
    snprintf(low, sizeof low, r->min == ABOVE_0 ? "above 0" : "from %.10g", r->min);
    snprintf(high, sizeof high, r->max == BELOW_1 ? "below 1" : "%s%.10g",
             r->min == ABOVE_0 ? "at most " : "", r->max);
    snprintf(out, size, "a %snumber %s %s %s", r->whole ? "whole " : "", low,
             r->min == ABOVE_0 ? "and" : "to", high);
}

static bool read_number(const char *value, const struct range *r, double *number)
{
    double x;
    if (!number_read(value, &x) || !(x >= r->min && x <= r->max) || (r->whole && x != floor(x)))
        return false;
    *number = x;
    return true;
}

static int take_value(int id, const char *value, struct options *o, struct err *e)
{
    char expected[120];
    const struct range *range = &table[id].range;
    bool is_number = range->max > 0;
    if (is_number)
        write_expected(range, expected, sizeof expected);
    else
        snprintf(expected, sizeof expected, "%s", table[id].expects);
    if (value == NULL)
        return err_set(e, "usage", "--%s needs a value: %s", table[id].name, expected);
    if (is_number ? read_number(value, range, &o->number[id]) : table[id].read(value, o))
        return 0;
    return err_set(e, "usage", "--%s: expected %s, got '%s'", table[id].name, expected, value);
}

static int find(const char *arg, size_t n)
{
    for (int i = 0; i < N_OPTIONS; i++) {
        if (strlen(table[i].name) == n && strncmp(arg, table[i].name, n) == 0)
            return i;
    }
    return -1;
}

/* next: the following word of the command line or NULL. Returns how many words
 * were used (1 or 2), or -1. */
static int take_option(const char *arg, const char *next, struct options *o, struct err *e)
{
    size_t n = strcspn(arg, "=");
    int id = find(arg, n);
    if (id < 0)
        return refuse_unknown(arg, n, e);
    if (options_given(o, (enum option_id)id))
        return err_set(e, "usage", "--%s is there twice", table[id].name);
    o->given |= OPTION_BIT(id);
    if (table[id].argument == NULL) {
        if (arg[n] == '=')
            return err_set(e, "usage", "--%s takes no value, got '%s'", table[id].name,
                           arg + n + 1);
        return 1;
    }
    bool joined = arg[n] == '=';
    if (!joined && next != NULL && strncmp(next, "--", 2) == 0)
        next = NULL;
    if (take_value(id, joined ? arg + n + 1 : next, o, e) < 0)
        return -1;
    return joined ? 1 : 2;
}

static int take_word(const char *word, struct options *o, struct err *e)
{
    if (o->n_words == 0 && strcmp(word, "help") == 0 && !options_given(o, OPTION_HELP)) {
        o->given |= OPTION_BIT(OPTION_HELP);
        return 1;
    }
    if (o->n_words == OPTIONS_MAX_WORDS)
        return err_set(e, "usage", "'%s' is one word too many", word);
    o->words[o->n_words++] = word;
    return 1;
}

static int set_defaults_from_environment(struct options *o, struct err *e)
{
    const char *env = getenv("CANARYD_URL"), *token_file = getenv("CANARYD_TOKEN_FILE");
    if (o->token_file == NULL && token_file != NULL && token_file[0] != '\0')
        o->token_file = token_file;
    if (options_given(o, OPTION_URL))
        return 0;
    o->url = "http://localhost:8000";
    if (env != NULL && env[0] != '\0' && !read_url(env, o))
        return err_set(e, "usage", "$CANARYD_URL: expected %s, got '%s'", table[OPTION_URL].expects,
                       env);
    return 0;
}

int options_parse(int argc, char *const *argv, struct options *o, struct err *e)
{
    struct options got = {.percent = 10,
                          .requests = 200,
                          .pause_ms = 10,
                          .model = "models/model_v2.joblib",
                          .features = {0.5, 1.2, 0.8, 0.3, 1.1},
                          .n_features = 5};
    bool words_only = false;
    for (int i = 0; i < N_OPTIONS; i++)
        got.number[i] = table[i].range.initial;
    for (int i = 1, used; i < argc; i += used) {
        const char *arg = argv[i];
        if (!words_only && strcmp(arg, "--") == 0) {
            words_only = true;
            used = 1;
        } else if (!words_only && strcmp(arg, "-h") == 0) {
            got.given |= OPTION_BIT(OPTION_HELP);
            used = 1;
        } else if (!words_only && strncmp(arg, "--", 2) == 0) {
            used = take_option(arg + 2, i + 1 < argc ? argv[i + 1] : NULL, &got, e);
        } else if (!words_only && arg[0] == '-' && arg[1] != '\0') {
            used = err_set(e, "usage", "there is no option %s; options have two dashes", arg);
        } else {
            used = take_word(arg, &got, e);
        }
        if (used < 0)
            return -1;
    }
    if (set_defaults_from_environment(&got, e) != 0)
        return -1;
    *o = got;
    return 0;
}

const char *options_name(enum option_id id)
{
    return table[id].name;
}

enum option_id options_missing(const struct options *o, uint64_t mask)
{
    int i = 0;
    while (i < N_OPTIONS && ((mask & ~o->given) & OPTION_BIT(i)) == 0)
        i++;
    return (enum option_id)i;
}

static int write_left(int i, char *out, size_t size)
{
    return snprintf(out, size, "--%s%s%s", table[i].name, table[i].argument ? " " : "",
                    table[i].argument ? table[i].argument : "");
}

void options_help(uint64_t mask, FILE *out)
{
    char left[48];
    int width = 18;
    for (int i = 0; i < N_OPTIONS; i++) {
        int n = (mask & OPTION_BIT(i)) == 0 ? 0 : write_left(i, left, sizeof left);
        width = n > width ? n : width;
    }
    for (int i = 0; i < N_OPTIONS; i++) {
        if ((mask & OPTION_BIT(i)) == 0)
            continue;
        write_left(i, left, sizeof left);
        fprintf(out, "  %-*s %s\n", width, left, table[i].help);
    }
}
