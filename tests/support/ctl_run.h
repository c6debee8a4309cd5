/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A canaryctl command line run against a fake canaryd in the test's own process.
 */
#ifndef CANARYD_TESTS_CTL_RUN_H
#define CANARYD_TESTS_CTL_RUN_H

#include <stdbool.h>

struct fake;

struct ctl_run {
    int status; /* exit code */
    char *out, *trouble;
};

/* Runs "canaryctl --url THE-FAKE line", its words parted by single blanks. */
struct ctl_run ctl_run(const struct fake *fake, const char *line);

/* Runs "canaryctl line": a command that asks no server. */
struct ctl_run ctl_run_alone(const char *line);

void ctl_run_clear(struct ctl_run *r);

void ctl_assert_says(const char *text, const char *part);

/* How the fake was left. */
void ctl_assert_state(const struct fake *fake, bool slow, bool canary, const char *stable);

#endif
