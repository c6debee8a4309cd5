/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Running canaryctl in the test's own process; see ctl_run.h.
 */
#include "tests/support/ctl_run.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ctl/client.h"
#include "ctl/command.h"
#include "ctl/member.h"
#include "tests/support/fake_canaryd.h"

enum { MAX_ARGS = 32 };

/* words is overwritten. */
static struct ctl_run run(char *words)
{
    char *argv[MAX_ARGS];
    int argc = 0;
    size_t n, m;
    struct ctl_run o = {0};
    FILE *out = open_memstream(&o.out, &n), *trouble = open_memstream(&o.trouble, &m);
    for (char *word = strsep(&words, " "); word != NULL && argc < MAX_ARGS;
         word = strsep(&words, " "))
        argv[argc++] = word;
    o.status = command_main(argc, argv, out, trouble);
    fclose(out);
    fclose(trouble);
    return o;
}

struct ctl_run ctl_run(const struct fake *fake, const char *line)
{
    char words[512];
    snprintf(words, sizeof words, "canaryctl --url %s %s", fake_url(fake), line);
    return run(words);
}

struct ctl_run ctl_run_alone(const char *line)
{
    char words[512];
    snprintf(words, sizeof words, "canaryctl %s", line);
    return run(words);
}

void ctl_run_clear(struct ctl_run *o)
{
    free(o->out);
    free(o->trouble);
    *o = (struct ctl_run){0};
}

void ctl_assert_says(const char *text, const char *part)
{
    if (strstr(text, part) == NULL)
        fail_msg("\"%s\" is not in:\n%s", part, text);
}

void ctl_assert_state(const struct fake *fake, bool slow, bool canary, const char *stable)
{
    struct question q = {.method = "GET", .path = "/test/state", .timeout_ms = 20000};
    struct client *c = client_new(fake_url(fake), NULL);
    struct answer a;
    assert_int_equal(client_ask(c, &q, &a, NULL), 0);
    assert_int_equal(member_true(a.json, "slow"), slow);
    assert_int_equal(member_true(a.json, "canary"), canary);
    assert_string_equal(member_text(a.json, "stable", ""), stable);
    answer_clear(&a);
    client_free(&c);
}
