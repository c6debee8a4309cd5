/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * canaryctl replay: from options and a file to the judge.
 */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/fdio.h"
#include "ctl/command.h"
#include "ctl/replay.h"
#include "ctl/replay_journal.h"
#include "ctl/session.h"

/* A file of samples that can be read from its beginning again. */
struct input {
    int fd;
    const char *name;
    off_t start;
    FILE *spool; /* what came through a pipe; or NULL */
};

static const struct {
    enum option_id option;
    size_t offset; /* of a double in struct rule_settings */
    double scale;
} reals[] = {
    {OPTION_ALPHA, offsetof(struct rule_settings, alpha), 1},
    {OPTION_MARGIN_MS, offsetof(struct rule_settings, clock[RULE_ROUND_TRIP].margin.absolute_ns),
     NS_PER_MS},
    {OPTION_MARGIN_RATIO, offsetof(struct rule_settings, clock[RULE_ROUND_TRIP].margin.ratio), 1},
    {OPTION_SERVICE_MARGIN_MS,
     offsetof(struct rule_settings, clock[RULE_SERVICE].margin.absolute_ns), NS_PER_MS},
    {OPTION_SERVICE_MARGIN_RATIO, offsetof(struct rule_settings, clock[RULE_SERVICE].margin.ratio),
     1},
    {OPTION_MEAN_PART, offsetof(struct rule_settings, row[ROW_MEAN].part), 1},
    {OPTION_SERVICE_MEAN_PART, offsetof(struct rule_settings, row[ROW_SERVICE_MEAN].part), 1},
    {OPTION_TAIL_PART, offsetof(struct rule_settings, row[ROW_TAIL].part), 1},
    {OPTION_SERVICE_TAIL_PART, offsetof(struct rule_settings, row[ROW_SERVICE_TAIL].part), 1},
    {OPTION_ERRORS_PART, offsetof(struct rule_settings, row[ROW_ERRORS].part), 1},
    {OPTION_PROMOTION_MARGIN, offsetof(struct rule_settings, promotion_margin), 1},
    {OPTION_PROMOTION_ALPHA, offsetof(struct rule_settings, promotion_alpha), 1},
};

static const struct {
    enum option_id option;
    enum rule_clock clock;
} blocks[] = {{OPTION_BLOCK_MS, RULE_ROUND_TRIP}, {OPTION_SERVICE_BLOCK_MS, RULE_SERVICE}};

static void observe(struct rule_settings *settings, const char *names)
{
    bool rows[N_RULE_ROWS];
    rule_read_rows(names, rows); /* the options have checked it */
    for (enum rule_row row = 0; row < N_RULE_ROWS; row++)
        settings->row[row].observe = rows[row];
}

/* The product's defaults, and over them what was said. */
static struct rule_settings settings_of(const struct options *o)
{
    struct rule_settings settings = rule_default_settings();
    for (size_t i = 0; i < sizeof reals / sizeof reals[0]; i++) {
        double value = reals[i].scale * o->number[reals[i].option];
        if (options_given(o, reals[i].option))
            memcpy((char *)&settings + reals[i].offset, &value, sizeof value);
    }
    for (size_t i = 0; i < sizeof blocks / sizeof blocks[0]; i++) {
        if (options_given(o, blocks[i].option))
            settings.clock[blocks[i].clock].block_ns =
                llround(o->number[blocks[i].option] * NS_PER_MS);
    }
    if (options_given(o, OPTION_MIN_SAMPLES))
        settings.min_samples = (uint64_t)o->number[OPTION_MIN_SAMPLES];
    if (options_given(o, OPTION_PROMOTION_MIN_SAMPLES))
        settings.promotion_min_samples = (uint64_t)o->number[OPTION_PROMOTION_MIN_SAMPLES];
    if (o->observe_only != NULL)
        observe(&settings, o->observe_only);
    return settings;
}

static int check_parts(const struct rule_settings *settings, struct err *e)
{
    double sum = 0;
    for (int row = 0; row < N_RULE_ROWS; row++)
        sum += settings->row[row].part;
    if (sum > 1 + 1e-9)
        return err_set(e, "usage", "the rows' parts of alpha are %.10g together: at most 1", sum);
    return 0;
}

/* Copies what comes through a pipe to a file that has no name. */
static int spool(struct input *in, struct err *e)
{
    char bytes[65536];
    ssize_t n;
    in->spool = tmpfile();
    if (in->spool == NULL)
        return err_set_errno(e, "io", "a temporary file for %s", in->name);
    int fd = fileno(in->spool);
    while ((n = read(in->fd, bytes, sizeof bytes)) != 0) {
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_set_errno(e, "io", "%s", in->name);
        if (fd_write_all(fd, bytes, (size_t)n) < 0)
            return err_set_errno(e, "io", "a temporary file for %s", in->name);
    }
    fd_close(&in->fd);
    in->fd = dup(fd);
    in->start = 0;
    return 0;
}

static int open_input(struct input *in, const char *path, struct err *e)
{
    bool is_stdin = strcmp(path, "-") == 0;
    *in = (struct input){.name = is_stdin ? "standard input" : path};
    in->fd = is_stdin ? dup(STDIN_FILENO) : open(path, O_RDONLY | O_CLOEXEC);
    if (in->fd < 0)
        return err_set_errno(e, "no-input", "%s", in->name);
    in->start = lseek(in->fd, 0, SEEK_CUR);
    return 0;
}

static void close_input(struct input *in)
{
    fd_close(&in->fd);
    if (in->spool != NULL)
        fclose(in->spool);
}

static int rewind_input(struct input *in, struct err *e)
{
    if (lseek(in->fd, in->start, SEEK_SET) < 0)
        return err_set_errno(e, "io", "%s", in->name);
    return 0;
}

/* 1 if some row is of the baseline, 0 if none is, or -1. The file is read up to the first. */
static int look_for_baseline(struct input *in, struct err *e)
{
    struct sample_row row;
    int rc = -1;
    if ((in->start < 0 && spool(in, e) < 0) || rewind_input(in, e) < 0)
        return -1;
    struct sample_file *f = sample_file_open(in->fd, in->name, e);
    while (f != NULL && (rc = sample_file_next(f, &row, e)) == 1 && row.arm != ARM_BASELINE)
        ;
    sample_file_free(&f);
    return rc < 0 ? -1 : rc;
}

static int choose_reference(struct input *in, enum baseline wanted, enum arm *reference,
                            struct err *e)
{
    int found = wanted == BASELINE_AUTO ? look_for_baseline(in, e) : wanted == BASELINE_ON;
    if (found < 0 || (wanted == BASELINE_AUTO && rewind_input(in, e) < 0))
        return -1;
    *reference = found == 1 ? ARM_BASELINE : ARM_STABLE;
    return 0;
}

static int replay_file(struct input *in, struct replay_settings *settings, FILE *out, struct err *e)
{
    struct sample_row row;
    int rc;
    struct sample_file *f = sample_file_open(in->fd, in->name, e);
    if (f == NULL)
        return -1;
    settings->has_time = sample_file_has_time(f);
    settings->has_groups = sample_file_has_groups(f);
    struct replay *r = replay_new(settings, out);
    while ((rc = sample_file_next(f, &row, e)) == 1)
        replay_row(r, &row);
    if (rc == 0)
        replay_end(r);
    replay_free(&r);
    sample_file_free(&f);
    return rc;
}

static int exit_code(const struct err *e)
{
    static const struct {
        const char *code;
        int status;
    } table[] = {{"usage", EX_USAGE}, {"no-input", EX_NOINPUT}, {"bad-samples", EX_DATAERR}};
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        if (strcmp(e->code, table[i].code) == 0)
            return table[i].status;
    }
    return EX_IOERR;
}

static int run(struct session *s, struct input *in, struct err *e)
{
    const struct options *o = s->options;
    struct replay_settings settings = {.rule = settings_of(o), .percent = o->percent};
    bool is_journal = replay_is_journal(o->words[1]);
    if (is_journal && (o->given & ~OPTIONS_GLOBAL) != 0)
        return err_set(e, "usage", "a journal holds no samples: there is no \"what if\"");
    if (check_parts(&settings.rule, e) < 0 || open_input(in, o->words[1], e) < 0)
        return -1;
    if (is_journal)
        return replay_journal(in->fd, in->name, s->out.out, e);
    if (choose_reference(in, o->baseline, &settings.reference, e) < 0)
        return -1;
    return replay_file(in, &settings, s->out.out, e);
}

int command_replay(struct session *s)
{
    struct input in = {.fd = -1};
    struct err e = {0};
    int rc = run(s, &in, &e);
    close_input(&in);
    if (rc == 0)
        return 0;
    print_text(&s->trouble, STYLE_BAD, "canaryctl: ");
    print_text(&s->trouble, STYLE_PLAIN, "%s\n", e.text);
    return exit_code(&e);
}
