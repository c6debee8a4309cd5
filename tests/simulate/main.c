/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * simulate: what the judge is known to do, by Monte Carlo through its own door.
 * usage: simulate [--runs N] [--seed N] [--jobs N] [--only GROUP] [--json FILE] [--markdown FILE]
 */
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/log.h"
#include "common/mem.h"
#include "tests/simulate/report.h"
#include "tests/simulate/runner.h"

struct choice {
    struct runner_settings runner;
    const char *only; /* a group's name; NULL: all but long */
    const char *json, *markdown;
};

static _Noreturn void usage(void)
{
    fputs("usage: simulate [--runs N] [--seed N] [--jobs N] [--only GROUP]\n"
          "                [--json FILE] [--markdown FILE]\n"
          "groups: ",
          stderr);
    for (int group = 0; group < N_CELL_GROUPS; group++)
        fprintf(stderr, "%s ", plan_group_name((enum cell_group)group));
    fputs("(all but long without --only; --only all: all)\n", stderr);
    exit(EX_USAGE);
}

static uint64_t number(const char *text, uint64_t min, uint64_t max)
{
    char *end;
    unsigned long long value = strtoull(text, &end, 10);
    if (*text < '0' || *text > '9' || *end != '\0' || value < min || value > max)
        usage();
    return value;
}

static struct choice choose(int argc, char **argv)
{
    static const struct option options[] = {
        {"runs", required_argument, NULL, 'r'},
        {"seed", required_argument, NULL, 's'},
        {"jobs", required_argument, NULL, 'j'},
        {"only", required_argument, NULL, 'o'},
        {"json", required_argument, NULL, 'J'},
        {"markdown", required_argument, NULL, 'M'},
        {0},
    };
    struct choice c = {.runner = {.seed = 1,
                                  .n_runs = 1000,
                                  .n_jobs = (int)sysconf(_SC_NPROCESSORS_ONLN),
                                  .progress = isatty(STDERR_FILENO) ? stderr : NULL}};
    for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (o == 'r')
            c.runner.n_runs = number(optarg, 1, 1000000);
        else if (o == 's')
            c.runner.seed = number(optarg, 0, 0xffffff);
        else if (o == 'j')
            c.runner.n_jobs = (int)number(optarg, 1, 256);
        else if (o == 'o')
            c.only = optarg;
        else if (o == 'J')
            c.json = optarg;
        else if (o == 'M')
            c.markdown = optarg;
        else
            usage();
    }
    if (optind != argc)
        usage();
    return c;
}

static bool is_wanted(const struct cell *cell, const char *only)
{
    if (only == NULL)
        return cell->group != GROUP_LONG;
    return strcmp(only, "all") == 0 || strcmp(only, plan_group_name(cell->group)) == 0;
}

static FILE *create(const char *path)
{
    FILE *file = fopen(path, "w");
    if (file == NULL)
        fatal(EX_CANTCREAT, "%s could not be written", path);
    return file;
}

static void tell(const struct report *r, const struct choice *c)
{
    report_print(r, false, stdout);
    int n = report_print_departures(r, stdout);
    printf("%s\n", n == 0 ? "every cell keeps what is promised" : "see docs/statistics.md");
    if (c->markdown != NULL) {
        FILE *file = create(c->markdown);
        report_print(r, true, file);
        fclose(file);
    }
    if (c->json != NULL) {
        FILE *file = create(c->json);
        report_print_json(r, file);
        fclose(file);
    }
}

int main(int argc, char **argv)
{
    struct choice c = choose(argc, argv);
    size_t n, n_wanted = 0;
    log_init("simulate", LOG_LEVEL_INFO);
    struct cell *cells = plan_new(&n);
    bool *wanted = mem_array(n, sizeof *wanted);
    struct figures *figures = mem_array(n, sizeof *figures);
    for (size_t i = 0; i < n; i++)
        n_wanted += wanted[i] = is_wanted(&cells[i], c.only);
    if (n_wanted == 0)
        usage();
    plan_measure(cells, n, wanted);
    struct trial_result *results = runner_run(cells, n, wanted, &c.runner);
    if (results == NULL)
        fatal(EX_SOFTWARE, "a simulating process came to grief");
    for (size_t i = 0; i < n; i++) {
        if (wanted[i])
            figures[i] = figures_of(&results[i * c.runner.n_runs], c.runner.n_runs);
    }
    struct report report = {cells, figures, wanted, n, c.runner.n_runs, c.runner.seed};
    tell(&report, &c);
    runner_free(results, n, c.runner.n_runs);
    free(figures);
    free(wanted);
    free(cells);
    return 0;
}
