/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Options of canaryd: a few of its own, and --setting=value for every setting.
 */
#include "supervisor/cli.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "common/fdio.h"
#include "common/log.h"
#include "common/mem.h"
#include "supervisor/settings.h"
#include "supervisor/token.h"

static const char intro[] =
    "usage: canaryd [--config=FILE] [--check-config] [--SETTING=VALUE ...]\n"
    "       canaryd --help | --version\n"
    "\n"
    "Serves a machine-learning model and, beside it, a new version of it as a canary\n"
    "that gets a small share of the traffic. The new version's latency is compared with\n"
    "the old one's; once it is significantly slower, its process is killed.\n"
    "\n"
    "  --config=FILE    settings as JSON with comments (etc/canaryd.json is a sample);\n"
    "                   SIGHUP reads it again\n"
    "  --check-config   say whether the settings are right, and exit (0 or 78)\n"
    "\n"
    "Try:\n"
    "  canaryd --model-dir=models --stable-model=model_v1.json\n"
    "  curl -d '{\"features\":[0.5,1.2,0.8,0.3,1.1]}' -H 'Content-Type: application/json' \\\n"
    "       http://localhost:8000/predict\n"
    "  canaryctl deploy models/model_v2.joblib\n"
    "\n"
    "Settings, with their defaults:\n";

static int take_config(int argc, char **argv, int *i, struct cli *cli, struct err *e)
{
    const char *equals = strchr(argv[*i], '=');
    if (equals != NULL)
        cli->config = equals + 1;
    else if (*i + 1 < argc)
        cli->config = argv[++*i];
    if (cli->config == NULL || cli->config[0] == '\0')
        return err_set(e, "usage", "--config: expected a file");
    return 0;
}

static bool is_option(const char *arg, const char *name)
{
    size_t n = strlen(name);
    return strncmp(arg, name, n) == 0 && (arg[n] == '\0' || arg[n] == '=');
}

int cli_parse(int argc, char **argv, struct cli *cli, struct err *e)
{
    *cli = (struct cli){.overrides = mem_array((size_t)argc, sizeof *cli->overrides)};
    for (int i = 1; i < argc; i++) {
        if (is_option(argv[i], "--config")) {
            if (take_config(argc, argv, &i, cli, e) < 0)
                return -1;
        } else if (strcmp(argv[i], "--check-config") == 0) {
            cli->check_config = true;
        } else if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            cli->help = true;
        } else if (strcmp(argv[i], "--version") == 0) {
            cli->version = true;
        } else if (strncmp(argv[i], "--", 2) == 0) {
            cli->overrides[cli->n_overrides++] = argv[i] + 2;
        } else {
            return err_set(e, "usage", "\"%.64s\": expected --setting=value; try canaryd --help",
                           argv[i]);
        }
    }
    return 0;
}

void cli_free(struct cli *cli)
{
    free(cli->overrides);
    cli->overrides = NULL;
}

void cli_print_help(void)
{
    fputs(intro, stdout);
    settings_print_help(stdout);
}

static _Noreturn void refuse(const struct err *e)
{
    fprintf(stderr, "canaryd: %s\n", e->text);
    exit(strcmp(e->code, "usage") == 0 ? EX_USAGE : EX_CONFIG);
}

static void answer_if_asked(const struct cli *cli)
{
    if (cli->help)
        cli_print_help();
    if (cli->version)
        printf("canaryd %s\n", CANARYD_VERSION);
    if (cli->help || cli->version)
        exit(EX_OK);
}

/* The token too: `systemctl reload` checks first, and a token that cannot be read
 * would be a mistake that shows late. */
static void check_and_exit(const struct settings *settings)
{
    struct err e = {0};
    struct token ignored;
    if (token_read(settings->admin_token_file, &ignored, &e) < 0)
        refuse(&e);
    printf("the settings are right\n");
    exit(EX_OK);
}

struct settings *cli_begin(int argc, char **argv, struct cli *cli)
{
    struct err e = {0};
    if (cli_parse(argc, argv, cli, &e) < 0)
        refuse(&e);
    answer_if_asked(cli);
    struct settings *settings = settings_load(cli->config, cli->overrides, cli->n_overrides, &e);
    if (settings == NULL)
        refuse(&e);
    if (cli->check_config)
        check_and_exit(settings);
    log_set_level((enum log_level)log_level_parse(settings->log_level));
    if (dir_is_open_to_all(settings->model_dir))
        log_warn("model_dir: anybody may write to %s; .joblib and .pkl models, which are programs, "
                 "are refused from it",
                 settings->model_dir);
    return settings;
}
