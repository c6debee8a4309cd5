/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * See judge.h. Between deployments a rule goes on counting what stable does,
 * so that the report always has stable's figures.
 */
#include "supervisor/judge.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "judge/report_json.h"
#include "proto/board.h"
#include "supervisor/sample_log.h"
#include "supervisor/settings.h"

_Static_assert(RULE_COUNTS_MAX <= BOARD_MEMO_BYTES && RULE_EVIDENCE_MAX <= BOARD_MEMO_BYTES,
               "the board has room for the rule's memory");

/* What the board before ours said. */
struct memory {
    uint64_t deployment;
    size_t n_counts;
    size_t n_evidence; /* 0: no block of this deployment had been weighed */
    uint8_t counts[RULE_COUNTS_MAX];
    uint8_t evidence[RULE_EVIDENCE_MAX];
};

struct judge {
    const struct settings *settings;
    struct board *board;
    struct sample_log *log;
    struct judge_listener listener;
    struct rule *rule;
    uint64_t era;        /* the how manieth rule it is */
    uint64_t deployment; /* tag of the memory on the board */
    bool active;
    bool goes_on;                     /* after a restart */
    bool log_is_due;                  /* the share is not opened yet */
    struct judge_surroundings before; /* the deployment */
    bool told;                        /* the listener knows that the rule has fired */
    cJSON *frozen;                    /* the report of a rollback nobody asked for, or NULL */
    cJSON *frozen_basis;              /* and what it was computed from */
    struct memory *memory;            /* NULL: none, or it was used */
    uint8_t bytes[RULE_EVIDENCE_MAX];
};

/* --- The rule ---------------------------------------------------------------*/

static struct rule_clock_settings clock_settings(double block_ms, double margin_ms, double ratio)
{
    return (struct rule_clock_settings){
        .block_ns = llround(block_ms * NS_PER_MS),
        .margin = {.absolute_ns = margin_ms * (double)NS_PER_MS, .ratio = ratio}};
}

static struct rule_settings rule_settings(const struct settings *s)
{
    struct rule_settings out = rule_default_settings();
    const double parts[N_RULE_ROWS] = {
        [ROW_MEAN] = s->mean_part,     [ROW_SERVICE_MEAN] = s->service_mean_part,
        [ROW_TAIL] = s->tail_part,     [ROW_SERVICE_TAIL] = s->service_tail_part,
        [ROW_ERRORS] = s->errors_part,
    };
    bool observed[N_RULE_ROWS];
    rule_read_rows(s->observe_only, observed); /* the settings have checked it */
    out.alpha = s->alpha;
    out.min_samples = (uint64_t)s->min_samples;
    out.clock[RULE_ROUND_TRIP] = clock_settings(s->block_ms, s->margin_ms, s->margin_ratio);
    out.clock[RULE_SERVICE] =
        clock_settings(s->service_block_ms, s->service_margin_ms, s->service_margin_ratio);
    for (enum rule_row row = 0; row < N_RULE_ROWS; row++)
        out.row[row] = (struct rule_row_settings){.part = parts[row], .observe = observed[row]};
    out.promotion_margin = s->promotion_margin;
    out.promotion_alpha = s->promotion_alpha;
    out.promotion_min_samples = (uint64_t)s->promotion_min_samples;
    return out;
}

static void take_rule(struct judge *j, struct rule *rule)
{
    rule_free(&j->rule);
    j->rule = rule;
    j->era++;
    j->told = false;
}

static void start_rule(struct judge *j)
{
    const struct rule_settings settings = rule_settings(j->settings);
    take_rule(j, rule_new(&settings));
}

/* --- The memory -------------------------------------------------------------*/

/* To the new board at once: the next one to read it may come before judge_begin. */
static void pass_on(struct judge *j, const struct memory *m)
{
    if (j->board == NULL)
        return;
    board_memo_write(j->board, BOARD_MEMO_COUNTS, m->deployment, m->counts, m->n_counts);
    if (m->n_evidence > 0)
        board_memo_write(j->board, BOARD_MEMO_EVIDENCE, m->deployment, m->evidence, m->n_evidence);
}

void judge_remember(struct judge *j, const struct board *last)
{
    uint64_t tag = 0;
    free(j->memory);
    j->memory = NULL;
    if (last == NULL)
        return;
    struct memory *m = mem_alloc(sizeof *m);
    m->n_counts =
        board_memo_read(last, BOARD_MEMO_COUNTS, &m->deployment, m->counts, sizeof m->counts);
    if (m->n_counts == 0) {
        free(m);
        return;
    }
    m->n_evidence =
        board_memo_read(last, BOARD_MEMO_EVIDENCE, &tag, m->evidence, sizeof m->evidence);
    if (tag != m->deployment)
        m->n_evidence = 0;
    j->memory = m;
    pass_on(j, m);
}

/* Whether the rule goes on with what the board remembered of this deployment. */
static bool resume_rule(struct judge *j, uint64_t deployment)
{
    struct memory *m = j->memory;
    if (m == NULL || m->deployment != deployment)
        return false;
    const struct rule_memory memory = {.counts = m->counts,
                                       .n_counts = m->n_counts,
                                       .evidence = m->evidence,
                                       .n_evidence = m->n_evidence};
    struct rule *rule = rule_restore(&memory);
    free(m);
    j->memory = NULL;
    if (rule == NULL) {
        log_warn("the board's memory of this deployment is of no use; evidence begins anew");
        return false;
    }
    take_rule(j, rule);
    return true;
}

/* After every call: a supervisor that is killed loses none. */
static void save_counts(struct judge *j)
{
    if (j->board != NULL)
        board_memo_write(j->board, BOARD_MEMO_COUNTS, j->deployment, j->bytes,
                         rule_save_counts(j->rule, j->bytes, sizeof j->bytes));
}

static void save_evidence(struct judge *j)
{
    if (j->board != NULL)
        board_memo_write(j->board, BOARD_MEMO_EVIDENCE, j->deployment, j->bytes,
                         rule_save_evidence(j->rule, j->bytes, sizeof j->bytes));
}

/* --- The report -------------------------------------------------------------*/

static struct judge_surroundings look_around(const struct judge *j)
{
    struct judge_surroundings s = {0};
    if (j->listener.look_around != NULL)
        j->listener.look_around(j->listener.arg, &s);
    return s;
}

static cJSON *report(const struct judge *j, struct health *h)
{
    const struct judge_surroundings now = look_around(j);
    rule_look(j->rule, &h->report);
    if (now.lacks_baseline && j->active)
        h->baseline = "There is no baseline at the moment, and until there is one again no "
                      "verdict on latencies.";
    if (j->active) {
        h->n_forced = now.n_forced - j->before.n_forced;
        h->n_by_user = now.n_by_user - j->before.n_by_user;
        h->n_retried = now.n_retried - j->before.n_retried;
    }
    return health_to_json(h);
}

/* --- For the owner ----------------------------------------------------------*/

struct judge *judge_new(const struct settings *settings, struct board *board,
                        struct sample_log *log, const struct judge_listener *listener)
{
    struct judge *j = mem_alloc(sizeof *j);
    j->settings = settings;
    j->board = board;
    j->log = log;
    j->listener = *listener;
    start_rule(j);
    return j;
}

void judge_free(struct judge **j)
{
    if (*j == NULL)
        return;
    rule_free(&(*j)->rule);
    cJSON_Delete((*j)->frozen);
    cJSON_Delete((*j)->frozen_basis);
    free((*j)->memory);
    free(*j);
    *j = NULL;
}

void judge_set_settings(struct judge *j, const struct settings *settings)
{
    j->settings = settings;
}

static void forget_report(struct judge *j)
{
    cJSON_Delete(j->frozen);
    cJSON_Delete(j->frozen_basis);
    j->frozen = j->frozen_basis = NULL;
}

void judge_begin(struct judge *j, uint64_t deployment)
{
    j->goes_on = resume_rule(j, deployment);
    if (!j->goes_on)
        start_rule(j);
    forget_report(j);
    j->deployment = deployment;
    j->active = true;
    j->before = look_around(j);
    save_counts(j);
    if (j->goes_on)
        save_evidence(j);
    j->log_is_due = j->log != NULL;
}

void judge_open_share(struct judge *j, enum arm reference, int64_t now_ns)
{
    rule_open_share(j->rule, reference, now_ns);
    if (j->log_is_due) /* its times count from here, as the first block's does */
        sample_log_begin(j->log, j->settings->sample_log, j->goes_on, now_ns);
    else if (j->log != NULL)
        sample_log_open_share(j->log, now_ns);
    j->log_is_due = false;
}

static void stand_down(struct judge *j)
{
    start_rule(j);
    j->active = false;
    if (j->log != NULL)
        sample_log_end(j->log);
}

void judge_end(struct judge *j)
{
    stand_down(j);
    forget_report(j);
}

void judge_freeze(struct judge *j, const char *by, const char *alarm)
{
    struct health h = {.rolled_back_by = by, .alarm = alarm};
    forget_report(j);
    j->frozen = report(j, &h);
    j->frozen_basis = report_basis_to_json(&h.report);
    stand_down(j);
}

struct judge_ticket judge_draw(struct judge *j, enum arm arm, bool ends_group, int64_t now_ns)
{
    struct judge_ticket ticket = {.draw.arm = arm};
    if (!j->active)
        return ticket;
    ticket.era = j->era;
    ticket.draw = rule_draw(j->rule, arm, ends_group, now_ns);
    if (j->log != NULL)
        ticket.log_place = sample_log_draw(j->log, arm, ends_group, now_ns);
    return ticket;
}

void judge_end_call(struct judge *j, const struct judge_ticket *ticket,
                    const struct rule_sample *sample)
{
    if (!j->active || ticket->era != j->era)
        return;
    if (j->log != NULL)
        sample_log_end_call(j->log, ticket->log_place, sample);
    bool weighed = rule_end_call(j->rule, &ticket->draw, sample);
    save_counts(j);
    if (weighed)
        save_evidence(j);
    if (j->told || !rule_has_fired(j->rule))
        return;
    j->told = true;
    j->listener.bad(j->listener.arg); /* the rule may be another one now */
}

void judge_add_stable(struct judge *j, int64_t round_trip_ns)
{
    rule_add_stable(j->rule, (uint64_t)round_trip_ns);
    if (j->active)
        save_counts(j);
}

bool judge_has_fired(const struct judge *j)
{
    return j->active && rule_has_fired(j->rule);
}

cJSON *judge_health(const struct judge *j)
{
    struct health h = {.canary_active = j->active};
    if (j->frozen != NULL)
        return cJSON_Duplicate(j->frozen, true);
    return report(j, &h);
}

cJSON *judge_basis(const struct judge *j)
{
    struct rule_report report;
    if (j->frozen_basis != NULL)
        return cJSON_Duplicate(j->frozen_basis, true);
    rule_look(j->rule, &report);
    return report_basis_to_json(&report);
}

const cJSON *judge_frozen_report(const struct judge *j)
{
    return j->frozen;
}

void judge_restore_report(struct judge *j, const cJSON *report)
{
    forget_report(j);
    j->frozen = cJSON_Duplicate(report, true);
}
