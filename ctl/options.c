/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Reading the command line, strictly; see options.h.
 */
#include "ctl/options.h"

#include <stdlib.h>
#include <string.h>

#include "common/nearest.h"
#include "ctl/number.h"
#include "ctl/url.h"

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
    return number_read(value, &o->percent) && o->percent > 0 && o->percent <= 50;
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

static bool read_workflow(const char *value, struct options *o)
{
    static const char *const names[] = {
        [WORKFLOW_FULL] = "full", [WORKFLOW_DEPLOY] = "deploy", [WORKFLOW_PROMOTE] = "promote"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(value, names[i]) == 0) {
            o->workflow = (enum workflow)i;
            return true;
        }
    }
    return false;
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

static const struct {
    const char *name;     /* without the dashes */
    const char *argument; /* NULL: a flag */
    read_fn *read;        /* NULL for flags */
    const char *expects;
    const char *help;
} table[N_OPTIONS] = {
    [OPTION_URL] = {"url", "URL", read_url, "http://HOST:PORT or unix:PATH",
                    "the server, or unix:PATH (default: $CANARYD_URL, else http://localhost:8000)"},
    [OPTION_TOKEN_FILE] = {"token-file", "FILE", read_token_file, "a file name",
                           "the server's admin token (default: $CANARYD_TOKEN_FILE)"},
    [OPTION_JSON] = {"json", NULL, NULL, NULL, "print the server's JSON as it came, for scripts"},
    [OPTION_PERCENT] = {"percent", "P", read_percent, "a number above 0 and at most 50",
                        "the canary's share of the traffic (default: the server's setting)"},
    [OPTION_SHA256] = {"sha256", "HEX", read_sha256, "64 hexadecimal digits",
                       "deploy only if the file has this digest"},
    [OPTION_REPLACE] = {"replace", NULL, NULL, NULL, "take the place of a canary that is out"},
    [OPTION_FORCE] = {"force", NULL, NULL, NULL, "promote although the alert stands"},
    [OPTION_REQUESTS] = {"requests", "N", read_requests, "a whole number from 1 to 10000000",
                         "predictions per batch of traffic (default: 200)"},
    [OPTION_WORKFLOW] = {"workflow", "W", read_workflow, "full, deploy or promote",
                         "deploy (a slow canary), promote (a good one) or full: both (default)"},
    [OPTION_MODEL] = {"model", "PATH", read_model, "a path in the server's model directory",
                      "the canary to deploy (default: models/model_v2.joblib)"},
    [OPTION_FEATURES] = {"features", "X,...", read_features, "1 to 256 numbers with commas between",
                         "the input of every prediction (default: 0.5,1.2,0.8,0.3,1.1)"},
    [OPTION_PAUSE_MS] = {"pause-ms", "MS", read_pause, "a whole number from 0 to 10000",
                         "wait between two predictions (default: 10)"},
    [OPTION_HELP] = {"help", NULL, NULL, NULL, "this help; after a command, the command's own"},
    [OPTION_VERSION] = {"version", NULL, NULL, NULL, "print the version"},
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
    if (table[id].read == NULL) {
        if (arg[n] == '=')
            return err_set(e, "usage", "--%s takes no value, got '%s'", table[id].name,
                           arg + n + 1);
        return 1;
    }
    const char *value = arg[n] == '=' ? arg + n + 1 : next;
    if (value == NULL || (arg[n] != '=' && strncmp(value, "--", 2) == 0))
        return err_set(e, "usage", "--%s needs a value: %s", table[id].name, table[id].expects);
    if (!table[id].read(value, o))
        return err_set(e, "usage", "--%s: expected %s, got '%s'", table[id].name, table[id].expects,
                       value);
    return arg[n] == '=' ? 1 : 2;
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
    struct options got = {.requests = 200,
                          .pause_ms = 10,
                          .model = "models/model_v2.joblib",
                          .features = {0.5, 1.2, 0.8, 0.3, 1.1},
                          .n_features = 5};
    bool words_only = false;
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

void options_help(unsigned mask, FILE *out)
{
    for (int i = 0; i < N_OPTIONS; i++) {
        char left[32];
        if ((mask & OPTION_BIT(i)) == 0)
            continue;
        snprintf(left, sizeof left, "--%s%s%s", table[i].name, table[i].argument ? " " : "",
                 table[i].argument ? table[i].argument : "");
        fprintf(out, "  %-18s %s\n", left, table[i].help);
    }
}
