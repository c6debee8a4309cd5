/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A recording as canaryctl replay reads it, through the judge to the report.
 */
#include <stdio.h>
#include <unistd.h>

#include "common/fdio.h"
#include "ctl/replay.h"
#include "tests/fuzz/fuzz.h"

static void replay(struct sample_file *f, FILE *out)
{
    const struct replay_settings settings = {.rule = rule_default_settings(),
                                             .percent = 10,
                                             .reference = ARM_BASELINE,
                                             .has_time = sample_file_has_time(f)};
    struct replay *r = replay_new(&settings, out);
    struct sample_row row;
    struct err e = {0};
    int rc;
    while ((rc = sample_file_next(f, &row, &e)) == 1) {
        MUST(row.arm < N_ARMS && row.time_ns >= 0);
        MUST(row.has_round_trip || row.outcome != OUTCOME_OK);
        replay_row(r, &row);
    }
    MUST(rc == 0 || e.text[0] != '\0');
    replay_end(r);
    replay_free(&r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct err e = {0};
    FILE *out = fopen("/dev/null", "we");
    int fd = fuzz_file(data, n);
    MUST(out != NULL && lseek(fd, 0, SEEK_SET) == 0);
    struct sample_file *f = sample_file_open(fd, "fuzz", &e);
    MUST(f != NULL || e.text[0] != '\0');
    if (f != NULL)
        replay(f, out);
    sample_file_free(&f);
    fclose(out);
    close(fd);
    return 0;
}
