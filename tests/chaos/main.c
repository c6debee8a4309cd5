/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * chaos: the real canaryd under a constant load while something goes wrong every
 * few hundred milliseconds. No request may fail, nothing may be left over. The
 * seed that is printed first gives the same faults in the same order again; what
 * they meet depends on the moment.
 */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/mem.h"
#include "common/rng.h"
#include "tests/chaos/crash.h"
#include "tests/chaos/load.h"
#include "tests/chaos/oracle.h"
#include "tests/chaos/orders.h"
#include "tests/chaos/watch.h"
#include "tests/chaos/world.h"
#include "tests/support/workdir.h"

#define MAX_FAULTS      64 /* kinds */
#define MAX_GROWTH_KB   2048
#define MAX_UNFAIR_MS   150 /* a fault that is not fair for so long is left out */
#define LOG_LINES       40
#define PATIENCE_NS     (20 * NS_PER_SEC)
#define MIN_GAP_MS      100
#define MAX_GAP_MS      500
#define ONE_IN_A_FLURRY 4 /* follows at once */

struct options {
    long seconds, connections, rate;
    uint64_t seed;
    const char *faults; /* "kill-stable,deploy"; "": all */
    const char *log;    /* where the server's log is copied, or NULL */
    bool verbose;       /* tell every fault as it happens */
    bool crash;         /* kill canaryd itself, again and again */
};

struct tally {
    const struct fault *fault;
    unsigned n_done, n_left_out;
};

struct chaos {
    struct options options;
    struct world world;
    struct rng rng;
    struct tally tallies[MAX_FAULTS];
    size_t n_tallies;
    unsigned n_faults, n_problems;
    int64_t start_ns;
    struct usage before, warm, after;
    int n_orphans;
};

static void problem(struct chaos *c, const char *text)
{
    c->n_problems++;
    fprintf(stderr, "chaos: %s\n", text);
}

/* --- Which fault ------------------------------------------------------------*/

/* Whether a comma-separated list names it; the empty list names all. */
static bool is_listed(const char *list, const char *name)
{
    size_t n = strlen(name);
    if (list[0] == '\0')
        return true;
    for (const char *at = list; at != NULL; at = strchr(at, ',')) {
        at += *at == ',';
        if (strncmp(at, name, n) == 0 && (at[n] == ',' || at[n] == '\0'))
            return true;
    }
    return false;
}

static void take_faults(struct chaos *c, const struct fault *faults, size_t n)
{
    for (size_t i = 0; i < n && c->n_tallies < MAX_FAULTS; i++)
        if (is_listed(c->options.faults, faults[i].name))
            c->tallies[c->n_tallies++].fault = &faults[i];
}

static struct tally *draw_fault(struct chaos *c)
{
    uint32_t sum = 0;
    for (size_t i = 0; i < c->n_tallies; i++)
        sum += c->tallies[i].fault->weight;
    uint32_t lot = rng_below(&c->rng, sum);
    size_t i = 0;
    for (; lot >= c->tallies[i].fault->weight; i++)
        lot -= c->tallies[i].fault->weight;
    return &c->tallies[i];
}

/* --- Letting time pass ------------------------------------------------------*/

static bool server_lives(const struct chaos *c)
{
    return process_lives(c->world.server->pid);
}

static void tick(struct chaos *c)
{
    world_resume(&c->world, false);
    orders_collect(c->world.orders);
    workdir_sleep_ms(5);
}

static void pass_ms(struct chaos *c, int64_t ms)
{
    int64_t end = clock_mono_ns() + ms * NS_PER_MS;
    while (clock_mono_ns() < end && server_lives(c))
        tick(c);
}

static double seconds_since(int64_t start_ns)
{
    return ns_to_ms((double)(clock_mono_ns() - start_ns)) / 1000;
}

static void show_progress(struct chaos *c)
{
    static int64_t last;
    struct load_report r;
    if (!isatty(STDERR_FILENO) || clock_mono_ns() - last < 2 * NS_PER_SEC)
        return;
    last = clock_mono_ns();
    load_look(c->world.load, &r);
    fprintf(stderr, "chaos: %4.0f s, %u faults, %llu requests, %llu failed, slowest %.0f ms\n",
            seconds_since(c->start_ns), c->n_faults, (unsigned long long)r.n_requests,
            (unsigned long long)r.n_failed, r.slowest_ms);
}

/* --- The run ----------------------------------------------------------------*/

static bool wait_until_fair(struct chaos *c, const struct fault *f, uint32_t how)
{
    int64_t end = clock_mono_ns() + MAX_UNFAIR_MS * NS_PER_MS;
    while (f->is_fair != NULL && world_look(&c->world)) {
        if (f->is_fair(&c->world, how))
            return true;
        if (clock_mono_ns() > end)
            return false;
        tick(c);
    }
    return f->is_fair == NULL;
}

/* By the wall clock, as canaryd's log. */
static void tell_fault(const struct chaos *c, const struct fault *f, uint32_t how)
{
    char now[CLOCK_TEXT_SIZE];
    if (!c->options.verbose)
        return;
    clock_text(clock_wall_ns(), now);
    fprintf(stderr, "%s chaos: %s %u\n", now, f->name, how);
}

static void strike(struct chaos *c)
{
    struct tally *t = draw_fault(c); /* all that is drawn is drawn first: see the seed */
    uint32_t how = (uint32_t)rng_next(&c->rng);
    uint32_t gap_ms = MIN_GAP_MS + rng_below(&c->rng, MAX_GAP_MS - MIN_GAP_MS + 1);
    bool at_once = rng_below(&c->rng, ONE_IN_A_FLURRY) == 0;
    if (wait_until_fair(c, t->fault, how)) {
        tell_fault(c, t->fault, how);
        load_mark(c->world.load, t->fault->name);
        t->fault->strike(&c->world, how);
        t->n_done++;
        c->n_faults++;
        pass_ms(c, at_once ? 0 : gap_ms);
    } else {
        t->n_left_out++;
    }
}

static void rage(struct chaos *c)
{
    int64_t end = c->start_ns + c->options.seconds * NS_PER_SEC;
    int64_t warm = c->start_ns + c->options.seconds * NS_PER_SEC / 5;
    while (clock_mono_ns() < end && server_lives(c)) {
        strike(c);
        show_progress(c);
        if (c->warm.rss_kb == 0 && clock_mono_ns() > warm)
            c->warm = watch_usage(c->world.server->pid);
    }
}

static bool is_calm(const struct scene *s)
{
    return strcmp(s->state, "idle") == 0 && s->n_workers == 1 && s->n_in_flight == 0;
}

/* Ends what the faults began: one worker is left, and nothing under way. */
static void calm_down(struct chaos *c)
{
    struct world *w = &c->world;
    int64_t end = clock_mono_ns() + PATIENCE_NS;
    world_resume(w, true);
    orders_await(w->orders);
    while (world_look(w) && !is_calm(&w->scene)) {
        if (clock_mono_ns() > end) {
            problem(c, "the server did not come to rest");
            fprintf(stderr, "chaos: state %s, %d workers, %d requests in flight\n", w->scene.state,
                    w->scene.n_workers, w->scene.n_in_flight);
            return;
        }
        if (strcmp(w->scene.state, "idle") != 0)
            orders_post(w->orders, "/admin/rollback-canary", NULL, "200 409");
        orders_await(w->orders);
        workdir_sleep_ms(20);
    }
    while (atomic_load(&w->n_strangers) > 0)
        workdir_sleep_ms(20);
}

/* The server closes what its clients closed a moment later; it may hold less than
 * at first, when its helper thread had a file open. */
static void measure_end(struct chaos *c)
{
    int64_t end = clock_mono_ns() + 5 * NS_PER_SEC;
    do {
        workdir_sleep_ms(20);
        c->after = watch_usage(c->world.server->pid);
    } while (c->after.n_fds > c->before.n_fds && clock_mono_ns() < end);
}

static void stop_server(struct chaos *c)
{
    struct server *s = c->world.server;
    char text[80];
    if (server_lives(c))
        server_signal(s, SIGTERM);
    int code = server_wait_exit(s, SERVER_STOP_MS);
    if (code != 0) {
        snprintf(text, sizeof text, "canaryd ended with %d", code);
        problem(c, text);
    }
    workdir_sleep_ms(100);
    watch_bury(s->pid);
    c->n_orphans = watch_children(getpid(), NULL, 0);
}

/* --- The report -------------------------------------------------------------*/

static void judge(struct chaos *c, const struct load_report *r)
{
    if (r->n_requests == 0 || c->n_faults == 0)
        problem(c, "nothing happened at all");
    if (r->n_failed > 0)
        problem(c, "requests failed");
    if (atomic_load(&c->world.n_wrong) > 0)
        problem(c, "answers to others were wrong");
    if (c->n_orphans > 0)
        problem(c, "orphans are left");
    if (c->after.n_fds > c->before.n_fds)
        problem(c, "descriptors leaked");
#ifndef __SANITIZE_ADDRESS__ /* it keeps what was freed */
    if (c->after.rss_kb - c->warm.rss_kb > MAX_GROWTH_KB)
        problem(c, "memory leaked");
#endif
}

static void report_faults(const struct chaos *c)
{
    printf("chaos: faults:");
    for (size_t i = 0; i < c->n_tallies; i++) {
        const struct tally *t = &c->tallies[i];
        printf("%s %s %u", i > 0 ? "," : "", t->fault->name, t->n_done);
        if (t->n_left_out > 0)
            printf(" (+%u left out)", t->n_left_out);
    }
    printf("\n");
}

static void report(const struct chaos *c, const struct load_report *r)
{
    report_faults(c);
    printf("chaos: %u faults, %llu requests (%llu answered by the canary), %llu failed, slowest "
           "%.0f ms, p99 %.1f ms\n",
           c->n_faults, (unsigned long long)r->n_requests, (unsigned long long)r->n_by_canary,
           (unsigned long long)r->n_failed, r->slowest_ms, r->p99_ms);
    printf("chaos: %d orphans, descriptors %d -> %d, memory %ld -> %ld kB (%+ld since warm)\n",
           c->n_orphans, c->before.n_fds, c->after.n_fds, c->warm.rss_kb, c->after.rss_kb,
           c->after.rss_kb - c->warm.rss_kb);
}

static void show_log(const struct chaos *c)
{
    const char *log = server_log(c->world.server);
    const char *at = log + strlen(log);
    for (int n = 0; at > log && n <= LOG_LINES; n += at > log && at[-1] == '\n')
        at--;
    fprintf(stderr, "chaos: the last lines of canaryd's log:\n%s\n", at);
}

static void keep_log(const struct chaos *c)
{
    FILE *f = c->options.log != NULL ? fopen(c->options.log, "we") : NULL;
    if (f == NULL)
        return;
    fputs(server_log(c->world.server), f);
    fclose(f);
}

/* --- The beginning ----------------------------------------------------------*/

static _Noreturn void usage(void)
{
    fprintf(stderr, "usage: chaos [--seconds S] [--seed N] [--connections N] [--rate N] "
                    "[--faults LIST] [--log FILE] [--verbose] [--crash]\n");
    exit(64);
}

static long number(const char *text, long min, long max)
{
    char *end;
    long n = strtol(text, &end, 10);
    if (end == text || *end != '\0' || n < min || n > max)
        usage();
    return n;
}

static void read_options(struct options *o, int argc, char *argv[])
{
    static const struct option known[] = {{"seconds", required_argument, NULL, 's'},
                                          {"seed", required_argument, NULL, 'n'},
                                          {"connections", required_argument, NULL, 'c'},
                                          {"rate", required_argument, NULL, 'r'},
                                          {"faults", required_argument, NULL, 'f'},
                                          {"log", required_argument, NULL, 'l'},
                                          {"verbose", no_argument, NULL, 'v'},
                                          {"crash", no_argument, NULL, 'x'},
                                          {0}};
    for (int c; (c = getopt_long(argc, argv, "", known, NULL)) != -1;) {
        if (c == 's')
            o->seconds = number(optarg, 1, 1000000);
        else if (c == 'n')
            o->seed = strtoull(optarg, NULL, 10);
        else if (c == 'c')
            o->connections = number(optarg, 1, 1000);
        else if (c == 'r')
            o->rate = number(optarg, 1, 1000000);
        else if (c == 'f')
            o->faults = optarg;
        else if (c == 'l')
            o->log = optarg;
        else if (c == 'v')
            o->verbose = true;
        else if (c == 'x')
            o->crash = true;
        else
            usage();
    }
}

static void clean_up(void)
{
    server_teardown(NULL);
}

static void run(struct chaos *c, const struct oracle *oracle)
{
    struct load_report r = {0};
    const struct load_options options = {.port = c->world.server->port,
                                         .n_connections = (int)c->options.connections,
                                         .rate = (int)c->options.rate,
                                         .give_up_ms = WORLD_GIVE_UP_MS,
                                         .oracle = oracle};
    world_look(&c->world);
    c->before = watch_usage(c->world.server->pid);
    c->start_ns = clock_mono_ns();
    c->world.load = load_start(&options);
    rage(c);
    world_resume(&c->world, true);
    load_stop(&c->world.load, &r);
    if (server_lives(c)) {
        calm_down(c);
        measure_end(c);
    }
    stop_server(c);
    report(c, &r);
    judge(c, &r);
}

static void run_crashes(struct chaos *c, const struct oracle *oracle)
{
    const struct crash_options options = {.seconds = c->options.seconds,
                                          .n_connections = (int)c->options.connections,
                                          .rate = (int)c->options.rate,
                                          .oracle = oracle};
    c->n_problems += crash_run(&c->world, &c->rng, &options);
    stop_server(c);
    if (c->n_orphans > 0)
        problem(c, "orphans are left");
}

static struct oracle *prepare(struct chaos *c)
{
    struct err e = {0};
    struct oracle *oracle = oracle_new("tests/data", &e);
    take_faults(c, worker_faults, n_worker_faults);
    take_faults(c, operator_faults, n_operator_faults);
    take_faults(c, client_faults, n_client_faults);
    if (oracle == NULL || c->n_tallies == 0) {
        fprintf(stderr, "chaos: %s\n", oracle == NULL ? e.text : "no such faults");
        exit(EXIT_FAILURE);
    }
    rng_seed(&c->rng, c->options.seed);
    watch_adopt();
    atexit(clean_up);
    world_start(&c->world);
    return oracle;
}

static void finish(struct chaos *c, struct oracle *oracle)
{
    if (c->n_problems > 0)
        show_log(c);
    keep_log(c);
    printf("chaos: %s\n", c->n_problems == 0 ? "passed" : "FAILED");
    server_forget(c->world.server);
    orders_free(&c->world.orders);
    http_close(&c->world.eye);
    oracle_free(&oracle);
}

int main(int argc, char *argv[])
{
    static struct chaos c = {
        .options = {.seconds = 10, .connections = 64, .rate = 3000, .faults = ""}};
    c.options.seed = (uint64_t)clock_wall_ns() / 1000 % 1000000000;
    read_options(&c.options, argc, argv);
    printf("chaos: seed %llu\n", (unsigned long long)c.options.seed);
    fflush(stdout);
    struct oracle *oracle = prepare(&c);
    if (c.options.crash)
        run_crashes(&c, oracle);
    else
        run(&c, oracle);
    finish(&c, oracle);
    return c.n_problems == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
