/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What a child says: in lines, in measure, and its last words. The child is the
 * test, which writes to the pipe; the log is a file.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <event2/event.h>

#include "common/clock.h"
#include "common/fdio.h"
#include "common/log.h"
#include "common/mem.h"
#include "supervisor/words.h"
#include "tests/support/loop.h"

static struct event_base *base;
static struct words *words;
static int child_fd;
static int log_fd, stderr_fd;

static int setup(void **state)
{
    (void)state;
    base = event_base_new();
    words = words_new(base, &child_fd);
    if (words == NULL)
        return -1;
    words_set_who(words, "worker 1 (canary)");
    log_fd = memfd_create("log", MFD_CLOEXEC);
    stderr_fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
    return dup2(log_fd, STDERR_FILENO) < 0 ? -1 : 0;
}

static int teardown(void **state)
{
    (void)state;
    words_free(&words);
    words_free(&words);
    fd_close(&child_fd);
    dup2(stderr_fd, STDERR_FILENO);
    fd_close(&stderr_fd);
    fd_close(&log_fd);
    event_base_free(base);
    return 0;
}

/* What was logged so far; to be freed. */
static char *logged(void)
{
    char *text;
    size_t n;
    assert_int_equal(fd_read_file(log_fd, "the log", 1 << 20, &text, &n, NULL), 0);
    return text;
}

static size_t count(const char *text, const char *part)
{
    size_t n = 0;
    for (const char *p = text; (p = strstr(p, part)) != NULL; p += strlen(part))
        n++;
    return n;
}

static void assert_logged(const char *part, size_t times)
{
    char *text = logged();
    if (count(text, part) != times)
        fail_msg("\"%s\" is %zu times, not %zu, in:\n%s", part, count(text, part), times, text);
    free(text);
}

static void say(const char *bytes, size_t n)
{
    assert_int_equal(fd_write_all(child_fd, bytes, n), 0);
}

static const struct {
    const char *says;
    size_t n;
    const char *last;
} cases[] = {
#define SAYS(text) text, sizeof text - 1
    {SAYS(""), ""},
    {SAYS("one\n"), "one"},
    {SAYS("no line feed"), "no line feed"},
    {SAYS("one\ntwo\n"), "one | two"},
    {SAYS("one\ntwo\nthree\n\n \t\n"), "two | three"},
    {SAYS("10 %\r20 %\r30 %"), "20 % | 30 %"},
    {SAYS("  indented  \r\n"), "  indented"},
    {SAYS("a\xff\xc3\xa9\x00z\n"), "a?\xc3\xa9?z"},
    {SAYS("\n\n\n"), ""},
};

static void test_last_words(void **state)
{
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        say(cases[i].says, cases[i].n);
        words_read_rest(words);
        if (strcmp(words_last(words), cases[i].last) != 0)
            fail_msg("case %zu: \"%s\"", i, words_last(words));
        teardown(state);
        assert_int_equal(setup(state), 0);
    }
}

/* One line of ours for each of its, whatever is in it. */
static void test_lines_in_the_log(void **state)
{
    (void)state;
    say(SAYS("first\nsec"));
    loop_settle(base);
    assert_logged("worker 1 (canary): first\n", 1);
    assert_logged("sec", 0);
    words_set_who(words, "worker 1 (stable)");
    say(SAYS("ond\n\x1b[31m<3>forged\n"));
    loop_settle(base);
    assert_logged("worker 1 (stable): second\n", 1);
    assert_logged("worker 1 (stable): \\x1b[31m<3>forged\n", 1);
    assert_logged("\n", 3);
}

static void test_a_long_line_is_cut(void **state)
{
    char *line = mem_array(100001, 1);
    (void)state;
    memset(line, 'x', 100000);
    line[100000] = '\n';
    for (size_t sent = 0; sent < 100001;) {
        size_t n = 100001 - sent < 20000 ? 100001 - sent : 20000;
        say(line + sent, n);
        sent += n;
        loop_settle(base);
    }
    assert_int_equal(strlen(words_last(words)), WORDS_LINE_BYTES + 3);
    assert_string_equal(words_last(words) + WORDS_LINE_BYTES - 1, "x...");
    assert_logged("\n", 1);
    free(line);
}

/* More lines than a second's ration: the rest is counted, and told of. */
static void test_a_flood_of_lines(void **state)
{
    (void)state;
    for (int i = 0; i < 1000; i++)
        say(SAYS("again and again\n"));
    say(SAYS("the end\n"));
    loop_settle(base);
    assert_logged("again and again", WORDS_LINES_A_SECOND);
    assert_string_equal(words_last(words), "again and again | the end");
    char *text = logged();
    while (strstr(text, "981 lines more were not logged") == NULL) {
        free(text);
        loop_settle(base); /* the second's end tells it, without a word of the child's */
        text = logged();
    }
    free(text);
    say(SAYS("a word in the next second\n"));
    loop_settle(base);
    assert_logged("a word in the next second", 1);
}

/* A child that writes all the time is not read all the time. */
static void test_a_flood_of_bytes(void **state)
{
    char bytes[4096];
    size_t n_taken = 0;
    (void)state;
    memset(bytes, 'x', sizeof bytes);
    assert_int_equal(fd_set_nonblock(child_fd), 0);
    int64_t end_ns = clock_mono_ns() + 500 * NS_PER_MS;
    while (clock_mono_ns() < end_ns) {
        ssize_t n = write(child_fd, bytes, sizeof bytes);
        n_taken += n > 0 ? (size_t)n : 0;
        event_base_loop(base, EVLOOP_NONBLOCK);
    }
    print_message("%zu KiB taken in half a second\n", n_taken / 1024);
    assert_true(n_taken >= 4UL << 20);
    assert_true(n_taken <= (4UL << 20) + (256UL << 10));
    loop_until(base, write(child_fd, bytes, sizeof bytes) > 0); /* the next second goes on */
}

/* The child is dead, but a child of its own holds the pipe and talks on. */
static void test_the_rest_is_bounded(void **state)
{
    (void)state;
    pid_t pid = fork();
    if (pid == 0)
        for (;;)
            if (write(child_fd, "on and on\n", 10) < 0)
                _exit(0);
    while (strstr(words_last(words), "on and on") == NULL)
        loop_settle(base);
    words_read_rest(words); /* comes back */
    loop_settle(base);
    assert_non_null(strstr(words_last(words), "on and on"));
    words_free(&words); /* the offspring gets a SIGPIPE, like any writer */
    fd_close(&child_fd);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

/* It closes its output and lives on: no busy loop, no more words. */
static void test_an_output_that_is_closed(void **state)
{
    (void)state;
    say(SAYS("bye\n"));
    fd_close(&child_fd);
    loop_settle(base);
    int64_t before = clock_mono_ns();
    loop_settle(base);
    assert_true(clock_mono_ns() - before >= 10 * NS_PER_MS); /* the loop sleeps */
    assert_string_equal(words_last(words), "bye");
    words_read_rest(words);
    assert_string_equal(words_last(words), "bye");
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_last_words),
        CASE(test_lines_in_the_log),
        CASE(test_a_long_line_is_cut),
        CASE(test_a_flood_of_lines),
        CASE(test_a_flood_of_bytes),
        CASE(test_the_rest_is_bounded),
        CASE(test_an_output_that_is_closed),
    };
    log_init("test_words", LOG_LEVEL_INFO);
    return cmocka_run_group_tests_name("words", tests, NULL, NULL);
}
