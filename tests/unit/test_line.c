/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Standing in line: the order of each turn, and who comes and goes meanwhile.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <event2/event.h>

#include "supervisor/line.h"
#include "tests/support/loop.h"

#define N_MEMBERS 4

struct member {
    struct line_place place; /* first */
    char name;
    struct member *takes_along; /* waits again as soon as this one is served */
    struct member *sends_off;
};

static struct event_base *base;
static struct lines lines;
static struct member members[N_MEMBERS];
static char served[64];

static void serve(struct line_place *place)
{
    const struct member *m = (struct member *)place;
    size_t n = strlen(served);
    assert_true(n + 1 < sizeof served);
    served[n] = m->name;
    served[n + 1] = '\0';
    if (m->takes_along != NULL)
        line_wait(lines.reads, &m->takes_along->place);
    if (m->sends_off != NULL)
        line_leave(lines.reads, &m->sends_off->place);
}

static int setup(void **state)
{
    (void)state;
    base = event_base_new();
    lines_open(&lines, base);
    for (int i = 0; i < N_MEMBERS; i++)
        members[i] = (struct member){.place.serve = serve, .name = (char)('a' + i)};
    served[0] = '\0';
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    lines_close(&lines);
    lines_close(&lines);
    event_base_free(base);
    return 0;
}

/* These wait, in this order, and one turn of the loop runs. */
static const char *turn_of(const char *names)
{
    served[0] = '\0';
    for (const char *c = names; *c != '\0'; c++)
        line_wait(lines.reads, &members[*c - 'a'].place);
    assert_string_equal(served, ""); /* never from inside */
    event_base_loop(base, EVLOOP_NONBLOCK);
    return served;
}

/* Whatever order the kernel tells them in. */
static void test_order_alternates(void **state)
{
    (void)state;
    assert_string_equal(turn_of("abcd"), "abcd");
    assert_string_equal(turn_of("abcd"), "dcba");
    assert_string_equal(turn_of("cbda"), "abcd");
    assert_string_equal(turn_of("cab"), "cba");
    assert_string_equal(turn_of("da"), "ad");
    assert_string_equal(turn_of(""), "");
}

/* Turns of one between turns of two must not make these all alike. */
static void test_alone_there_is_no_order(void **state)
{
    (void)state;
    assert_string_equal(turn_of("ab"), "ab");
    assert_string_equal(turn_of("a"), "a");
    assert_string_equal(turn_of("ab"), "ba");
    assert_string_equal(turn_of("b"), "b");
    assert_string_equal(turn_of("b"), "b");
    assert_string_equal(turn_of("ab"), "ab");
}

static void test_once_a_turn(void **state)
{
    (void)state;
    assert_string_equal(turn_of("aabbba"), "ab");
    event_base_loop(base, EVLOOP_NONBLOCK);
    assert_string_equal(served, "ab");
}

static void test_who_comes_and_goes_meanwhile(void **state)
{
    (void)state;
    members[0].takes_along = &members[3];
    members[1].sends_off = &members[2];
    assert_string_equal(turn_of("abc"), "abd");
    members[0].takes_along = members[1].sends_off = NULL;
    assert_string_equal(turn_of("abcd"), "dcba");
    line_wait(lines.reads, &members[0].place);
    line_leave(lines.reads, &members[0].place);
    line_leave(lines.reads, &members[0].place);
    assert_string_equal(turn_of("b"), "b");
}

static void test_lines_do_not_know_each_other(void **state)
{
    (void)state;
    line_wait(lines.writes, &members[1].place);
    line_wait(lines.writes, &members[0].place);
    assert_string_equal(turn_of("cd"), "bacd");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_order_alternates),
        TEST(test_alone_there_is_no_order),
        TEST(test_once_a_turn),
        TEST(test_who_comes_and_goes_meanwhile),
        TEST(test_lines_do_not_know_each_other),
    };
    return cmocka_run_group_tests_name("line", tests, NULL, NULL);
}
