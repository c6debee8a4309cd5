/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * See replay_journal.h. Recomputed are: t from the means and the interval, p from
 * t and its degrees of freedom, each row's evidence from the moments of its
 * differences or from what its bets have won, its threshold and always-valid p from
 * alpha and evidence, and the verdict from the rows.
 */
#include "ctl/replay_journal.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <Rmath.h>

#include "common/jsonx.h"
#include "common/mem.h"
#include "ctl/line_reader.h"
#include "ctl/member.h"
#include "judge/bet.h"
#include "judge/boundary.h"
#include "judge/rule_report.h"
#include "judge/welch.h"

#define TOLERANCE 1e-6 /* relative: latencies stand there in ms with all their digits */

enum { UPPER_TAIL = 0, PLAIN = 0 }; /* libRmath's arguments */

/* One decision under examination. */
struct decision {
    const cJSON *health;
    const cJSON *basis; /* an array; NULL: an older server's journal has none */
    cJSON *differences; /* sentences */
};

static void differs(struct decision *d, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void differs(struct decision *d, const char *fmt, ...)
{
    char text[200];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    cJSON_AddItemToArray(d->differences, cJSON_CreateString(text));
}

/* Does what stands there, unless it is null, follow? */
static void compare(struct decision *d, const char *what, const cJSON *object, const char *name,
                    double follows)
{
    double stands;
    if (!member_number(object, name, &stands) || isnan(follows))
        return;
    if (fabs(stands - follows) > TOLERANCE * fmax(fabs(follows), 1e-300) &&
        fabs(stands - follows) > 1e-12)
        differs(d, "%s%s: %.9g stands there, %.9g follows", what, name, stands, follows);
}

/* The interval's half width is se t[.975; df]. */
static void check_welch(struct decision *d)
{
    const cJSON *h = d->health, *interval = member_array(h, "confidence_interval_ms");
    const cJSON *low = cJSON_GetArrayItem(interval, 0), *high = cJSON_GetArrayItem(interval, 1);
    double t, df, stable, canary;
    if (!member_number(h, "t_statistic", &t) || !member_number(h, "degrees_of_freedom", &df) ||
        !(df > 0))
        return;
    compare(d, "", h, "p_value", pt(t, df, UPPER_TAIL, PLAIN));
    if (!cJSON_IsNumber(low) || !cJSON_IsNumber(high) ||
        !member_number(h, "stable_avg_latency_ms", &stable) ||
        !member_number(h, "canary_avg_latency_ms", &canary))
        return;
    double se = (high->valuedouble - low->valuedouble) /
                (2 * qt((1 - WELCH_LEVEL) / 2, df, UPPER_TAIL, PLAIN));
    if (se > 0 && fabs(canary - stable) > TOLERANCE * canary)
        compare(d, "", h, "t_statistic", (canary - stable) / se);
}

/* h of boundary.h: which growth since the first look stands behind the threshold? */
static double ln_growth(double alpha, double threshold)
{
    const struct boundary b = boundary_of(alpha);
    double h = threshold * threshold + 2 * log(erfc(-threshold / M_SQRT2) / 2);
    return fmax(0, h - b.h_a);
}

static bool is_of(const cJSON *entry, const cJSON *metric)
{
    return strcmp(member_text(entry, "test", ""), member_text(metric, "test", "")) == 0 &&
           strcmp(member_text(entry, "clock", ""), member_text(metric, "clock", "")) == 0;
}

/* What the metric was computed from, or NULL. */
static const cJSON *basis_of(const struct decision *d, const cJSON *metric)
{
    const cJSON *entry;
    cJSON_ArrayForEach(entry, d->basis) {
        if (is_of(entry, metric))
            return entry;
    }
    return NULL;
}

/* Row M again, from the moments of its differences. */
static void check_mean(struct decision *d, const char *what, const cJSON *metric,
                       const cJSON *basis, double alpha)
{
    const struct boundary b = boundary_of(alpha);
    double n, first, mean, variance, vif, fired_at;
    if (!member_number(basis, "blocks", &n) || !member_number(basis, "first_look", &first) ||
        !member_number(basis, "mean_ns", &mean) || !(first > 0) || !(n >= 2) ||
        !member_number(basis, "variance_ns2", &variance) || !member_number(basis, "vif", &vif))
        return;
    double ln_r = log(fmax(1, n / first)), t = mean / sqrt(vif * variance / n);
    compare(d, what, metric, "threshold", boundary_z(&b, ln_r));
    compare(d, what, metric, "evidence", boundary_deviate(t, n - 1));
    if (boundary_is_crossed(&b, t, n - 1, ln_r) && !member_number(metric, "fired_at", &fired_at))
        differs(d, "%sits threshold is reached, and it has not fired", what);
}

/* False unless all numbers are there. */
static bool read_bet(const cJSON *object, struct bet_basis *bet)
{
    const cJSON *wealths = member_array(object, "ln_wealths");
    int n = 0;
    const cJSON *item;
    cJSON_ArrayForEach(item, wealths) {
        if (n == BET_LAMBDAS || !cJSON_IsNumber(item))
            return false;
        bet->ln_wealth[n++] = item->valuedouble;
    }
    return n == BET_LAMBDAS && member_number(object, "vif", &bet->vif) && bet->vif > 0;
}

/* Rows T and E again, from what their bets have won. */
static void check_bets(struct decision *d, const char *what, const cJSON *metric,
                       const cJSON *basis)
{
    double ln_e[RULE_MAX_BETS];
    size_t n = 0;
    const cJSON *object;
    cJSON_ArrayForEach(object, member_array(basis, "bets")) {
        struct bet_basis bet;
        if (n == RULE_MAX_BETS || !read_bet(object, &bet))
            return;
        ln_e[n++] = bet_basis_ln_e(&bet);
    }
    if (n > 0)
        compare(d, what, metric, "evidence", bet_family(ln_e, n));
}

static void check_metric(struct decision *d, const cJSON *metric, const char *name)
{
    double alpha, threshold, evidence;
    char what[64];
    const cJSON *basis = basis_of(d, metric);
    snprintf(what, sizeof what, "%s: ", name);
    check_bets(d, what, metric, basis);
    if (!member_number(metric, "alpha", &alpha) || !(alpha > 0 && alpha < 1))
        return;
    check_mean(d, what, metric, basis, alpha);
    if (!member_number(metric, "threshold", &threshold) ||
        !member_number(metric, "evidence", &evidence))
        return;
    if (strcmp(member_text(metric, "test", ""), "mean") == 0) {
        compare(d, what, metric, "anytime_p_value",
                boundary_anytime_p(evidence, ln_growth(alpha, threshold)));
        return;
    }
    compare(d, what, metric, "threshold", bet_threshold(alpha));
    compare(d, what, metric, "anytime_p_value", bet_anytime_p(evidence));
}

/* "service-mean", as settings call a row. */
static void write_name(const cJSON *metric, char *name, size_t size)
{
    bool service = strcmp(member_text(metric, "clock", ""), "service") == 0;
    snprintf(name, size, "%s%s", service ? "service-" : "", member_text(metric, "test", "?"));
}

static bool is_observed(const cJSON *health, const char *name)
{
    const cJSON *item;
    cJSON_ArrayForEach(item, member_array(health, "observe_only")) {
        if (cJSON_IsString(item) && strcmp(item->valuestring, name) == 0)
            return true;
    }
    return false;
}

/* The row that fired first, NULL: none did. */
static const cJSON *check_metrics(struct decision *d)
{
    const cJSON *metric, *first = NULL;
    double first_at = INFINITY, fired_at;
    cJSON_ArrayForEach(metric, member_array(d->health, "metrics")) {
        char name[40];
        write_name(metric, name, sizeof name);
        check_metric(d, metric, name);
        if (member_number(metric, "fired_at", &fired_at) && fired_at < first_at &&
            !is_observed(d->health, name)) {
            first_at = fired_at;
            first = metric;
        }
    }
    return first;
}

/* The row that decided has the evidence for it. */
static void check_verdict(struct decision *d, const cJSON *first)
{
    const char *verdict = member_text(d->health, "verdict", "");
    double evidence = INFINITY, threshold = 0;
    if ((strcmp(verdict, "rollback") == 0) != (first != NULL)) {
        differs(d, "verdict: %s stands there, and %s row fired", verdict,
                first != NULL ? "a" : "no");
        return;
    }
    if (first == NULL)
        return;
    member_number(first, "evidence", &evidence); /* null: beyond all numbers */
    member_number(first, "threshold", &threshold);
    if (evidence < threshold)
        differs(d, "verdict: %s fired, with evidence %.9g below its threshold %.9g",
                member_text(first, "test", "?"), evidence, threshold);
}

static void copy(cJSON *line, const cJSON *from, const char *name)
{
    const cJSON *item = jsonx_member(from, name);
    if (item != NULL)
        cJSON_AddItemToObject(line, name, cJSON_Duplicate(item, true));
}

static void print_line(FILE *out, cJSON *line)
{
    char *text = cJSON_PrintUnformatted(line);
    fprintf(out, "%s\n", text);
    cJSON_free(text);
    cJSON_Delete(line);
}

/* Whether the decision follows from what stands there. */
static bool examine(const cJSON *entry, uint64_t line_number, FILE *out)
{
    struct decision d = {.health = member_object(entry, "health"),
                         .basis = member_array(entry, "basis"),
                         .differences = cJSON_CreateArray()};
    cJSON *line = cJSON_CreateObject();
    check_welch(&d);
    const cJSON *first = check_metrics(&d);
    check_verdict(&d, first);
    bool agrees = cJSON_GetArraySize(d.differences) == 0;
    cJSON_AddNumberToObject(line, "line", (double)line_number);
    copy(line, entry, "time");
    copy(line, entry, "event");
    copy(line, entry, "model_version");
    copy(line, d.health, "verdict");
    copy(line, first, "test");
    copy(line, first, "clock");
    copy(line, first, "fired_at");
    copy(line, d.health, "p_value");
    cJSON_AddBoolToObject(line, "agrees", agrees);
    cJSON_AddItemToObject(line, "differences", d.differences);
    print_line(out, line);
    return agrees;
}

static void tell_torn(uint64_t line_number, const struct err *why, FILE *out)
{
    cJSON *line = cJSON_CreateObject();
    cJSON_AddNumberToObject(line, "line", (double)line_number);
    cJSON_AddStringToObject(line, "unreadable", why->text);
    print_line(out, line);
}

static int tell_sum(int n, int n_agree, const char *name, FILE *out, struct err *e)
{
    cJSON *line = cJSON_CreateObject();
    cJSON_AddNumberToObject(line, "decisions", n);
    cJSON_AddNumberToObject(line, "agree", n_agree);
    print_line(out, line);
    if (n == n_agree)
        return 0;
    return err_set(e, "bad-samples", "%s: %d of %d decisions do not follow from their numbers",
                   name, n - n_agree, n);
}

bool replay_is_journal(const char *path)
{
    size_t n = strlen(path);
    return n >= 6 && strcmp(path + n - 6, ".jsonl") == 0;
}

int replay_journal(int fd, const char *name, FILE *out, struct err *e)
{
    struct line_reader *lines = mem_alloc(sizeof *lines);
    enum line_state state;
    char *text;
    size_t length;
    int n = 0, n_agree = 0;
    line_reader_begin(lines, fd);
    while ((state = line_reader_next(lines, &text, &length)) == LINE_READ) {
        struct err torn = {0};
        text[length] = '\0';
        cJSON *entry = jsonx_parse(text, length, &torn);
        if (entry == NULL)
            tell_torn(lines->line, &torn, out);
        if (member_object(entry, "health") != NULL) {
            n_agree += examine(entry, lines->line, out);
            n++;
        }
        cJSON_Delete(entry);
    }
    int failure = errno;
    free(lines);
    if (state == LINE_END)
        return tell_sum(n, n_agree, name, out, e);
    errno = state == LINE_TOO_LONG ? EFBIG : failure;
    return err_set_errno(e, "io", "%s", name);
}
