/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The log: one event is one line, whatever is in it. Each line is written by a
 * child whose standard error is read back.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include <cmocka.h>

#include "common/clock.h"
#include "common/log.h"
#include "tests/support/child.h"

#define TIME_CHARS 32 /* of clock_text */

static char said[8192];

struct scene {
    bool under_systemd;
    enum log_level level;
    const char *text;
};

static int play(void *arg)
{
    const struct scene *s = arg;
    if (s->under_systemd)
        setenv("JOURNAL_STREAM", "8:1", 1);
    else
        unsetenv("JOURNAL_STREAM");
    log_init("prog", s->level);
    log_error("error %s", s->text);
    log_warn("warn %s", s->text);
    log_info("info %s", s->text);
    log_debug("debug %s", s->text);
    return 0;
}

static void play_scene(bool under_systemd, enum log_level level, const char *text)
{
    struct scene s = {under_systemd, level, text};
    assert_int_equal(child_run(play, &s, said, sizeof said), 0);
}

static void test_levels(void **state)
{
    static const char *const lines[] = {"error x\n", "warn x\n", "info x\n", "debug x\n"};
    (void)state;
    for (int level = 0; level < N_LOG_LEVELS; level++) {
        play_scene(false, (enum log_level)level, "x");
        for (int i = 0; i < N_LOG_LEVELS; i++)
            assert_int_equal(strstr(said, lines[i]) != NULL, i <= level);
    }
}

static void test_level_names(void **state)
{
    (void)state;
    for (int level = 0; level < N_LOG_LEVELS; level++)
        assert_int_equal(log_level_parse(log_level_name((enum log_level)level)), level);
    assert_int_equal(log_level_parse("warn"), LOG_LEVEL_WARN);
    assert_int_equal(log_level_parse("WARN"), -1);
    assert_int_equal(log_level_parse(""), -1);
    assert_int_equal(log_level_parse("information"), -1);
}

static int change_level(void *arg)
{
    (void)arg;
    log_init("prog", LOG_LEVEL_ERROR);
    log_info("before");
    log_set_level(LOG_LEVEL_INFO);
    log_info("between");
    log_set_level(LOG_LEVEL_WARN);
    log_info("after");
    return 0;
}

static void test_the_level_can_change(void **state)
{
    (void)state;
    assert_int_equal(child_run(change_level, NULL, said, sizeof said), 0);
    assert_null(strstr(said, "before"));
    assert_non_null(strstr(said, "between\n"));
    assert_null(strstr(said, "after"));
}

static void test_prefix_of_a_terminal(void **state)
{
    (void)state;
    play_scene(false, LOG_LEVEL_ERROR, "x");
    assert_string_equal(said + TIME_CHARS, " prog error: error x\n");
    assert_memory_equal(said + TIME_CHARS - 6, "+00:00", 6);
}

static void test_prefix_under_systemd(void **state)
{
    (void)state;
    play_scene(true, LOG_LEVEL_DEBUG, "x");
    assert_string_equal(said, "<3>error x\n<4>warn x\n<6>info x\n<7>debug x\n");
}

/* Nothing that a client or a worker says can forge a line or move the cursor. */
static void test_control_bytes(void **state)
{
    (void)state;
    play_scene(true, LOG_LEVEL_ERROR, "a\n<0>b\r\x1b[2J\x7f\t\xc3\xa9");
    assert_string_equal(said, "<3>error a\\x0a<0>b\\x0d\\x1b[2J\\x7f\\x09\xc3\xa9\n");
}

static void test_long_lines_stay_lines(void **state)
{
    char text[4000];
    (void)state;
    for (int i = 0; i < 2; i++) {
        memset(text, i == 0 ? 'x' : '\n', sizeof text - 1);
        text[sizeof text - 1] = '\0';
        play_scene(i == 1, LOG_LEVEL_ERROR, text);
        size_t n = strlen(said);
        assert_true(n > 1000 && n <= 1400);
        assert_ptr_equal(strchr(said, '\n'), said + n - 1);
    }
}

static int die(void *arg)
{
    (void)arg;
    unsetenv("JOURNAL_STREAM");
    log_init("prog", LOG_LEVEL_ERROR);
    fatal(EX_OSERR, "no %s", "epoll");
}

static void test_fatal(void **state)
{
    (void)state;
    assert_int_equal(child_run(die, NULL, said, sizeof said), EX_OSERR);
    assert_string_equal(said + TIME_CHARS, " prog error: no epoll\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_level_names),           cmocka_unit_test(test_levels),
        cmocka_unit_test(test_the_level_can_change),  cmocka_unit_test(test_prefix_of_a_terminal),
        cmocka_unit_test(test_prefix_under_systemd),  cmocka_unit_test(test_control_bytes),
        cmocka_unit_test(test_long_lines_stay_lines), cmocka_unit_test(test_fatal),
    };
    return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
