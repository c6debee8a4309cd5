/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A model that is slower than its clients: who could only be answered too late is
 * refused at the door, so that the worker's time goes into answers that somebody
 * waits for.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "supervisor/settings.h"
#include "tests/support/house.h"

#define N_CROWD   400 /* who would take 4 s one after the other */
#define N_LESSONS 60  /* answers by which its pace is known */

static struct asked asked[N_CROWD];

static void learn_pace(struct house *h)
{
    for (int i = 0; i < N_LESSONS; i++) {
        house_ask_all(h, asked, 1, ROUTING_BY_LOT);
        assert_string_equal(asked[0].code, "");
    }
}

/* All of them were begun once, and most were answered too late, asked twice or not. */
static void test_a_crowd_on_a_slow_model(void **state)
{
    struct house *h = *state;
    int n_answered = 0;
    h->settings->try_deadline_ms = 2000;
    h->settings->predict_deadline_ms = 4000;
    house_start_evil(h, ROLE_STABLE, "ready slow=10");
    learn_pace(h);
    house_ask_all(h, asked, N_CROWD, ROUTING_BY_LOT);
    for (int i = 0; i < N_CROWD; i++) {
        n_answered += asked[i].code[0] == '\0';
        if (asked[i].code[0] == '\0')
            continue;
        assert_string_equal(asked[i].code, "overloaded");
        assert_non_null(strstr(asked[i].text, "behind; a call has 2000 ms"));
    }
    assert_in_range(n_answered, 1, N_CROWD - 1);
    assert_int_equal(router_counts(h->router)->n_failed, 0);
    house_ask_all(h, asked, 1, ROUTING_BY_LOT);
    assert_string_equal(asked[0].code, "");
}

/* The same crowd where it can be answered in time. */
static void test_a_crowd_that_has_time(void **state)
{
    struct house *h = *state;
    h->settings->try_deadline_ms = 60000;
    h->settings->predict_deadline_ms = 120000;
    house_start_evil(h, ROLE_STABLE, "ready slow=10");
    learn_pace(h);
    house_ask_all(h, asked, N_CROWD / 4, ROUTING_BY_LOT);
    for (int i = 0; i < N_CROWD / 4; i++)
        assert_string_equal(asked[i].code, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_crowd_on_a_slow_model, house_setup, house_teardown),
        cmocka_unit_test_setup_teardown(test_a_crowd_that_has_time, house_setup, house_teardown),
    };
    return cmocka_run_group_tests_name("router_backlog", tests, NULL, NULL);
}
