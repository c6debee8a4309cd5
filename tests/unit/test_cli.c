/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * canaryd's command line.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "supervisor/cli.h"
#include "tests/support/child.h"

#define MAX_ARGS 12

static const struct {
    const char *line;
    const char *config;       /* NULL: none */
    const char *overrides[4]; /* up to the first NULL */
    bool check_config, help, version;
    const char *says; /* NULL: taken */
} cases[] = {
    {"", NULL, {NULL}, false, false, false, NULL},
    {"--config=f", "f", {NULL}, false, false, false, NULL},
    {"--config f", "f", {NULL}, false, false, false, NULL},
    {"--config=f=g --config=h", "h", {NULL}, false, false, false, NULL},
    {"--check-config --config f", "f", {NULL}, true, false, false, NULL},
    {"--help", NULL, {NULL}, false, true, false, NULL},
    {"-h", NULL, {NULL}, false, true, false, NULL},
    {"--version", NULL, {NULL}, false, false, true, NULL},
    {"--listen=a:1 --config=f --min-samples=40",
     "f",
     {"listen=a:1", "min-samples=40"},
     false,
     false,
     false,
     NULL},
    {"--configuration=x --check-configs",
     NULL,
     {"configuration=x", "check-configs"},
     false,
     false,
     false,
     NULL},
    {"--", NULL, {""}, false, false, false, NULL},
    {"--config", NULL, {NULL}, false, false, false, "--config: expected a file"},
    {"--config=", NULL, {NULL}, false, false, false, "--config: expected a file"},
    {"model.json", NULL, {NULL}, false, false, false, "\"model.json\": expected --setting=value"},
    {"-x", NULL, {NULL}, false, false, false, "\"-x\": expected"},
    {"--listen a:1", NULL, {"listen"}, false, false, false, "\"a:1\": expected"},
};

static int parse(char *line, struct cli *cli, struct err *e)
{
    char *argv[MAX_ARGS] = {(char[]){"canaryd"}};
    int argc = 1;
    for (char *word = strsep(&line, " "); word != NULL && argc < MAX_ARGS;
         word = strsep(&line, " "))
        if (word[0] != '\0')
            argv[argc++] = word;
    return cli_parse(argc, argv, cli, e);
}

static void check_taken(size_t i, const struct cli *cli)
{
    size_t n = 0;
    if (cases[i].config == NULL)
        assert_null(cli->config);
    else
        assert_string_equal(cli->config, cases[i].config);
    for (; n < 4 && cases[i].overrides[n] != NULL; n++)
        assert_string_equal(cli->overrides[n], cases[i].overrides[n]);
    assert_int_equal(cli->n_overrides, n);
    assert_int_equal(cli->check_config, cases[i].check_config);
    assert_int_equal(cli->help, cases[i].help);
    assert_int_equal(cli->version, cases[i].version);
}

static void test_lines(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char line[128];
        struct cli cli;
        struct err e = {0};
        snprintf(line, sizeof line, "%s", cases[i].line);
        int rc = parse(line, &cli, &e);
        if (cases[i].says == NULL) {
            if (rc < 0)
                fail_msg("%s: %s", cases[i].line, e.text);
            check_taken(i, &cli);
        } else {
            assert_int_equal(rc, -1);
            assert_string_equal(e.code, "usage");
            if (strstr(e.text, cases[i].says) == NULL)
                fail_msg("\"%s\" does not say \"%s\"", e.text, cases[i].says);
        }
        cli_free(&cli);
        assert_null(cli.overrides);
    }
}

static int print_help(void *arg)
{
    (void)arg;
    dup2(STDERR_FILENO, STDOUT_FILENO);
    cli_print_help();
    return fflush(stdout);
}

static void test_help(void **state)
{
    static const char *const parts[] = {"usage: canaryd",       "--config=FILE",
                                        "--check-config",       "--listen=127.0.0.1:8000",
                                        "--auto-rollback=true", "--log-level=info"};
    static char said[32768];
    (void)state;
    assert_int_equal(child_run(print_help, NULL, said, sizeof said), 0);
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        if (strstr(said, parts[i]) == NULL)
            fail_msg("the help does not have %s", parts[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_help),
    };
    return cmocka_run_group_tests_name("cli", tests, NULL, NULL);
}
