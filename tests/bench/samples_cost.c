/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What a sample costs the judge after a million, ten million and so on of them,
 * and what a report costs then: through the one door, judge/rule.h, in virtual
 * time. Then how exact the moments are after as many at an offset of 10^12, where
 * the true ones are known. Prints a line for each power of ten.
 * usage: samples_cost [LARGEST]     (100000000; 1e9 takes minutes)
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>
#include <time.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/rng.h"
#include "judge/health.h"
#include "judge/rule.h"

#define FIRST     UINT64_C(1000000)
#define GROUP     10    /* draws of which one is the canary's and one the baseline's */
#define EVERY_NS  10000 /* a request: 100,000 in a second, so some 500 in a block */
#define N_LATENCY 4096  /* a power of two */
#define N_REPORTS 1000
#define OFFSET    1e12
#define CYCLE     1024 /* values above the offset, each as often as the others */

struct course {
    struct rule *rule;
    int64_t now_ns;
    uint64_t n;
    uint64_t latency_ns[N_LATENCY];
};

/* Latencies as they are: most alike, a tail. Both sides draw from the same. */
static void fill_latencies(struct course *c)
{
    struct rng rng;
    rng_seed(&rng, 1);
    for (size_t i = 0; i < N_LATENCY; i++) {
        double u = ((double)(rng_next(&rng) >> 11) + 0.5) / 9007199254740992.0;
        c->latency_ns[i] = (uint64_t)(200000 - 40000 * log(u));
    }
}

static void feed(struct course *c, uint64_t until)
{
    static const enum arm arms[GROUP] = {ARM_BASELINE, ARM_CANARY};
    for (; c->n < until; c->n++) {
        uint64_t i = c->n % GROUP;
        uint64_t latency = c->latency_ns[(c->n * 2654435761U >> 7) & (N_LATENCY - 1)];
        enum arm arm = i < 2 ? arms[i] : ARM_STABLE;
        struct rule_ticket ticket = rule_draw(c->rule, arm, i == GROUP - 1, c->now_ns);
        const struct rule_sample sample = {.outcome = OUTCOME_OK,
                                           .round_trip_ns = latency,
                                           .service_ns = latency / 4,
                                           .has_service = true};
        rule_end_call(c->rule, &ticket, &sample);
        c->now_ns += EVERY_NS;
    }
}

/* Processor time, which others on the machine don't change much. */
static int64_t cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return t.tv_sec * NS_PER_SEC + t.tv_nsec;
}

static double report_us(const struct course *c)
{
    static struct rule_report report;
    int64_t began = cpu_ns();
    for (int i = 0; i < N_REPORTS; i++)
        rule_look(c->rule, &report);
    return (double)(cpu_ns() - began) / N_REPORTS / 1e3;
}

static void print_rule(struct course *c, uint64_t until)
{
    static uint8_t bytes[RULE_EVIDENCE_MAX];
    uint64_t before = c->n;
    int64_t began = cpu_ns();
    feed(c, until);
    double ns = (double)(cpu_ns() - began) / (double)(c->n - before);
    printf("samples %llu ns_per_sample %.1f report_us %.1f memory_bytes %zu\n",
           (unsigned long long)c->n, ns, report_us(c),
           rule_save_evidence(c->rule, bytes, sizeof bytes));
    fflush(stdout);
}

/* The values are whole numbers and until is a multiple of CYCLE, so mean and variance are known
 * exactly. */
static void print_moments(struct moments *m, uint64_t until)
{
    const double n = (double)until, cycle = CYCLE;
    uint64_t before = m->n;
    int64_t began = cpu_ns();
    for (uint64_t i = m->n; i < until; i++)
        moments_add(m, OFFSET + (double)(i * 365 % CYCLE));
    double ns = (double)(cpu_ns() - began) / (double)(until - before);
    double mean_off = m->mean - (OFFSET + (cycle - 1) / 2) + m->mean_low;
    double variance = (cycle * cycle - 1) / 12 * n / (n - 1);
    printf("moments %llu ns_per_sample %.1f mean_off %.2e variance_off %.2e (relative)\n",
           (unsigned long long)until, ns, fabs(mean_off), fabs(moments_variance(m) / variance - 1));
    fflush(stdout);
}

int main(int argc, char **argv)
{
    double largest = argc == 2 ? strtod(argv[1], NULL) : 1e8;
    const struct rule_settings settings = rule_default_settings();
    struct course *c = mem_alloc(sizeof *c);
    struct moments m = {0};
    if (largest < (double)FIRST || largest > 1e12)
        fatal(EX_USAGE, "usage: samples_cost [LARGEST], from 1e6 on");
    c->rule = rule_new(&settings);
    fill_latencies(c);
    rule_open_share(c->rule, ARM_BASELINE, 0);
    for (uint64_t n = FIRST; (double)n <= largest; n *= 10)
        print_rule(c, n);
    for (uint64_t n = FIRST; (double)n <= largest; n *= 10)
        print_moments(&m, n / CYCLE * CYCLE);
    rule_free(&c->rule);
    free(c);
    return 0;
}
