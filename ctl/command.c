/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The command table and its road from argv to an exit code; see command.h.
 */
#include "ctl/command.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "common/fdio.h"
#include "common/nearest.h"
#include "ctl/demo.h"
#include "ctl/session.h"

struct command {
    const char *name;
    const char *argument; /* its one argument, or NULL */
    const char *help;     /* one line */
    const char *more;     /* what --help adds */
    const char *example;
    uint64_t options; /* besides OPTIONS_GLOBAL */
    int (*run)(struct session *s);
    uint64_t needs;   /* of the options */
    bool asks_nobody; /* no server: the session has no client */
};

static const struct command table[] = {
    {"status", NULL, "who serves, with what share, in what state",
     "Shows the deployment, the worker processes and their counts.", "canaryctl status",
     OPTION_BIT(OPTION_JSON), .run = command_status},
    {"health", NULL, "the verdict on the canary and the numbers behind it",
     "After an automatic rollback the report stays as it was at the decision.",
     "canaryctl health --json | jq .p_value", OPTION_BIT(OPTION_JSON), .run = command_health},
    {"deploy", "MODEL_PATH", "send a share of the traffic to a new model",
     "MODEL_PATH is relative to the server's model directory, with or without that\n"
     "folder's name in front. Answers once the canary is ready and warmed.",
     "canaryctl deploy models/model_v2.json --percent 20",
     OPTION_BIT(OPTION_JSON) | OPTION_BIT(OPTION_PERCENT) | OPTION_BIT(OPTION_SHA256) |
         OPTION_BIT(OPTION_REPLACE),
     .run = command_deploy},
    {"promote", NULL, "make the canary the stable model",
     "Refused while the alert stands, unless --force.", "canaryctl promote",
     OPTION_BIT(OPTION_JSON) | OPTION_BIT(OPTION_FORCE), .run = command_promote},
    {"rollback", NULL, "take the canary out; stable serves everything",
     "Also succeeds when the canary was already rolled back automatically.", "canaryctl rollback",
     OPTION_BIT(OPTION_JSON), .run = command_rollback},
    {"slowdown", NULL, "toggle the simulated slowness of the canary",
     "Delays whoever is canary, now or next; stable is never delayed. Each call turns it\n"
     "round: the answer says how it is now.",
     "canaryctl slowdown", OPTION_BIT(OPTION_JSON), .run = command_slowdown},
    {"demo", NULL, "the whole walk-through, step by step",
     "Deploys a canary, slows it down, sees it rolled back; then deploys it again and\n"
     "promotes it. Leaves the slowdown off and no canary behind. Exit code 0 means that\n"
     "everything happened as it should.",
     "canaryctl demo --workflow deploy --requests 300 --model models/model_v2.json",
     OPTION_BIT(OPTION_REQUESTS) | OPTION_BIT(OPTION_WORKFLOW) | OPTION_BIT(OPTION_MODEL) |
         OPTION_BIT(OPTION_FEATURES) | OPTION_BIT(OPTION_PAUSE_MS) | OPTION_BIT(OPTION_PERCENT) |
         OPTION_BIT(OPTION_REPLACE),
     .run = demo_run},
    {"power", NULL, "how many samples it takes to find a slower canary",
     "By the two-sample t-test, looked at once: the samples that canary and baseline need\n"
     "each, and the requests at their share. The guard looks all the time and needs\n"
     "somewhat more (docs/statistics.md). Asks no server.",
     "canaryctl power --effect-ms 10 --sd-ms 15",
     OPTION_BIT(OPTION_JSON) | OPTION_BIT(OPTION_EFFECT_MS) | OPTION_BIT(OPTION_SD_MS) |
         OPTION_BIT(OPTION_ALPHA) | OPTION_BIT(OPTION_POWER) | OPTION_BIT(OPTION_SHARE) |
         OPTION_BIT(OPTION_SIDES) | OPTION_BIT(OPTION_SAMPLES),
     .run = command_power, .needs = OPTION_BIT(OPTION_EFFECT_MS) | OPTION_BIT(OPTION_SD_MS),
     .asks_nobody = true},
    {"replay", "FILE", "what the judge says, or would have said, of recorded samples",
     "FILE, or - for standard input, is CSV as the setting sample_log writes it: a header\n"
     "with arm (stable, baseline, canary) and round_trip_ms, perhaps time_ms, service_ms and\n"
     "outcome (ok, fault, timeout, death, unasked), then a draw a line, in order. Prints a\n"
     "JSON line for each change of verdict, and last the health report. Of a journal\n"
     "(FILE.jsonl) it checks that each decision follows from the numbers that stand there.\n"
     "Asks no server.",
     "canaryctl replay samples.csv --margin-ms 0 --margin-ratio 0",
     OPTION_BIT(OPTION_PERCENT) | OPTION_BIT(OPTION_ALPHA) | OPTION_BIT(OPTION_BASELINE) |
         OPTION_BIT(OPTION_MIN_SAMPLES) | OPTION_BIT(OPTION_BLOCK_MS) |
         OPTION_BIT(OPTION_MARGIN_MS) | OPTION_BIT(OPTION_MARGIN_RATIO) |
         OPTION_BIT(OPTION_SERVICE_BLOCK_MS) | OPTION_BIT(OPTION_SERVICE_MARGIN_MS) |
         OPTION_BIT(OPTION_SERVICE_MARGIN_RATIO) | OPTION_BIT(OPTION_MEAN_PART) |
         OPTION_BIT(OPTION_SERVICE_MEAN_PART) | OPTION_BIT(OPTION_TAIL_PART) |
         OPTION_BIT(OPTION_SERVICE_TAIL_PART) | OPTION_BIT(OPTION_ERRORS_PART) |
         OPTION_BIT(OPTION_OBSERVE_ONLY) | OPTION_BIT(OPTION_PROMOTION_MARGIN) |
         OPTION_BIT(OPTION_PROMOTION_ALPHA) | OPTION_BIT(OPTION_PROMOTION_MIN_SAMPLES),
     .run = command_replay, .asks_nobody = true},
};

enum { TOKEN_MAX_BYTES = 4096 };
enum { N_COMMANDS = sizeof table / sizeof table[0] };

static void print_general_help(FILE *out)
{
    fputs("usage: canaryctl [--url URL] COMMAND [ARGUMENT] [OPTION...]\n"
          "The operator's tool of canaryd, the canary deployment server for models.\n\n"
          "commands:\n",
          out);
    for (size_t i = 0; i < N_COMMANDS; i++) {
        char left[40];
        snprintf(left, sizeof left, "%s%s%s", table[i].name, table[i].argument ? " " : "",
                 table[i].argument ? table[i].argument : "");
        fprintf(out, "  %-18s %s\n", left, table[i].help);
    }
    fputs("\noptions, before or after the command:\n", out);
    options_help(OPTIONS_GLOBAL, out);
    fputs("\n'canaryctl COMMAND --help' shows the command's own options and an example.\n"
          "To begin: 'make run' in one terminal, 'canaryctl demo' in another.\n"
          "exit codes: 0 done, 1 the server refused, 64 usage, 65 bad samples, 66 no such file,\n"
          "69 no server answers\n",
          out);
}

static void print_command_help(const struct command *c, FILE *out)
{
    fprintf(out, "usage: canaryctl %s%s%s [OPTION...]\n%s\n%s\n\noptions:\n", c->name,
            c->argument ? " " : "", c->argument ? c->argument : "", c->help, c->more);
    uint64_t global = c->asks_nobody ? OPTIONS_ALWAYS : OPTIONS_GLOBAL;
    options_help(c->options | global, out);
    fprintf(out, "\nexample:\n  %s\n", c->example);
}

static const struct command *find(const char *name)
{
    for (size_t i = 0; i < N_COMMANDS; i++) {
        if (strcmp(table[i].name, name) == 0)
            return &table[i];
    }
    return NULL;
}

static const char *name_at(size_t i)
{
    return table[i].name;
}

static int refuse_unknown(const char *name, struct err *e)
{
    const char *near = nearest_name(name, N_COMMANDS, name_at);
    if (near == NULL)
        return err_set(e, "usage", "there is no command '%s'", name);
    return err_set(e, "usage", "there is no command '%s'; did you mean '%s'?", name, near);
}

/* Do the options and the arguments go with the command? */
static int check(const struct command *c, const struct options *o, struct err *e)
{
    uint64_t astray = o->given & ~(c->options | OPTIONS_GLOBAL);
    size_t expected = c->argument == NULL ? 1 : 2;
    for (int i = 0; i < N_OPTIONS; i++) {
        if (astray & OPTION_BIT(i))
            return err_set(e, "usage", "--%s does not go with '%s'",
                           options_name((enum option_id)i), c->name);
    }
    enum option_id missing = options_missing(o, c->needs);
    if (missing < N_OPTIONS)
        return err_set(e, "usage", "'%s' needs --%s; for example: %s", c->name,
                       options_name(missing), c->example);
    if (o->n_words < expected)
        return err_set(e, "usage", "'%s' needs a %s; for example: %s", c->name, c->argument,
                       c->example);
    if (o->n_words > expected)
        return err_set(e, "usage", "'%s' is one word too many for '%s'", o->words[expected],
                       c->name);
    return 0;
}

static int usage(const struct err *e, FILE *trouble)
{
    struct printer p = printer_on(trouble);
    print_text(&p, STYLE_BAD, "canaryctl: ");
    print_text(&p, STYLE_PLAIN, "%s\n'canaryctl --help' shows what there is\n", e->text);
    return EX_USAGE;
}

/* Reads the token's file: one line. */
static int give_token(struct client *client, const char *path, struct err *e)
{
    char *token = NULL;
    size_t n;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_set_errno(e, "token-file", "--token-file %s", path);
    int rc = fd_read_file(fd, path, TOKEN_MAX_BYTES, &token, &n, e);
    fd_close(&fd);
    if (rc != 0)
        return rc;
    token[strcspn(token, "\r\n")] = '\0';
    rc = client_set_token(client, token, e);
    if (rc != 0)
        err_prefix(e, "--token-file %s", path);
    free(token);
    return rc;
}

static int run(const struct command *c, const struct options *o, FILE *out, FILE *trouble)
{
    struct err e = {0};
    struct session s = {
        .client = c->asks_nobody ? NULL : client_new(o->url, &e),
        .options = o,
        .out = printer_on(out),
        .trouble = printer_on(trouble),
    };
    int status;
    if (c->asks_nobody)
        return c->run(&s);
    if (s.client == NULL || (o->token_file != NULL && give_token(s.client, o->token_file, &e) != 0))
        status = usage(&e, trouble);
    else
        status = c->run(&s);
    client_free(&s.client);
    return status;
}

/* What was printed and never arrived (a full disk) is not done. */
static int finish(int status, FILE *out, FILE *trouble)
{
    if (fflush(out) == 0 && !ferror(out))
        return status;
    fputs("canaryctl: the output could not be written\n", trouble);
    return status == 0 ? EX_IOERR : status;
}

int command_main(int argc, char *const *argv, FILE *out, FILE *trouble)
{
    struct options o = {0};
    struct err e = {0};
    if (options_parse(argc, argv, &o, &e) != 0)
        return usage(&e, trouble);
    if (options_given(&o, OPTION_VERSION)) {
        fputs("canaryctl " CANARYD_VERSION "\n", out);
        return finish(0, out, trouble);
    }
    if (o.n_words == 0) {
        bool asked = options_given(&o, OPTION_HELP);
        print_general_help(asked ? out : trouble);
        return asked ? finish(0, out, trouble) : EX_USAGE;
    }
    const struct command *c = find(o.words[0]);
    if (c == NULL) {
        refuse_unknown(o.words[0], &e);
        return usage(&e, trouble);
    }
    if (options_given(&o, OPTION_HELP)) {
        print_command_help(c, out);
        return finish(0, out, trouble);
    }
    if (check(c, &o, &e) != 0)
        return usage(&e, trouble);
    return finish(run(c, &o, out, trouble), out, trouble);
}
