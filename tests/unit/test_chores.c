/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The helper thread: work in order there, reports in order here, and nothing
 * lost at the end.
 */
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>
#include <event2/event.h>

#include "supervisor/chores.h"
#include "tests/support/loop.h"

#define N 200

static struct event_base *base;
static struct chores *chores;
static pthread_t loop_thread;

/* One chore's story; the helper thread writes the first three. */
struct job {
    int worked;        /* 1 + how many had worked before it */
    bool in_loop;      /* the work was done in the loop's thread */
    bool takes_signal; /* SIGTERM was not blocked there */
    int reported;      /* 1 + how many had been reported before it */
    bool elsewhere;    /* the report came in another thread */
};

static struct job jobs[N];
static int n_worked; /* the helper thread's */
static int n_reported;

static void work(void *arg)
{
    struct job *job = arg;
    sigset_t mask;
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    job->takes_signal = !sigismember(&mask, SIGTERM);
    job->in_loop = pthread_equal(pthread_self(), loop_thread) != 0;
    job->worked = ++n_worked;
}

static void done(void *arg)
{
    struct job *job = arg;
    job->elsewhere = !pthread_equal(pthread_self(), loop_thread);
    job->reported = ++n_reported;
}

static int setup(void **state)
{
    (void)state;
    n_worked = n_reported = 0;
    for (size_t i = 0; i < N; i++)
        jobs[i] = (struct job){0};
    loop_thread = pthread_self();
    base = event_base_new();
    chores = chores_new(base);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    chores_free(&chores);
    event_base_free(base);
    return 0;
}

static void check_jobs(int n)
{
    for (int i = 0; i < n; i++) {
        assert_int_equal(jobs[i].worked, i + 1);
        assert_false(jobs[i].in_loop);
        assert_false(jobs[i].takes_signal);
        assert_int_equal(jobs[i].reported, i + 1);
        assert_false(jobs[i].elsewhere);
    }
}

static void test_order(void **state)
{
    sigset_t mask;
    (void)state;
    for (int i = 0; i < N; i++)
        chores_add(chores, work, done, &jobs[i]);
    assert_int_equal(n_reported, 0); /* never from inside chores_add */
    loop_until(base, n_reported >= N);
    check_jobs(N);
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    assert_false(sigismember(&mask, SIGTERM)); /* our own mask is as it was */
}

static int gate[2];

static void wait_at_gate(void *arg)
{
    char byte;
    if (read(gate[0], &byte, 1) == 1)
        work(arg);
}

static void count_tick(evutil_socket_t fd, short what, void *arg)
{
    int *n = arg;
    (void)fd, (void)what;
    ++*n;
}

/* While a chore blocks, the loop turns and takes more. */
static void test_the_loop_goes_on(void **state)
{
    int n_ticks = 0;
    const struct timeval every = {.tv_usec = 1000};
    (void)state;
    assert_int_equal(pipe(gate), 0);
    struct event *tick = event_new(base, -1, EV_PERSIST, count_tick, &n_ticks);
    event_add(tick, &every);
    chores_add(chores, wait_at_gate, done, &jobs[0]);
    chores_add(chores, work, done, &jobs[1]);
    loop_until(base, n_ticks >= 10);
    assert_int_equal(n_reported, 0);
    assert_int_equal(write(gate[1], "x", 1), 1);
    loop_until(base, n_reported >= 2);
    check_jobs(2);
    event_free(tick);
    close(gate[0]);
    close(gate[1]);
}

/* Whatever was handed over is done and reported, though the loop never turns. */
static void test_free_reports_the_rest(void **state)
{
    (void)state;
    for (int i = 0; i < N; i++)
        chores_add(chores, work, done, &jobs[i]);
    chores_free(&chores);
    assert_null(chores);
    check_jobs(N);
    chores_free(&chores);
}

static void test_no_report_wanted(void **state)
{
    (void)state;
    chores_add(chores, work, NULL, &jobs[0]);
    chores_add(chores, work, done, &jobs[1]);
    loop_until(base, n_reported >= 1);
    assert_int_equal(jobs[0].worked, 1);
    assert_int_equal(jobs[0].reported, 0);
    assert_int_equal(jobs[1].worked, 2);
}

static void add_another(void *arg)
{
    struct job *job = arg;
    done(job);
    if (job + 1 < jobs + N)
        chores_add(chores, work, add_another, job + 1);
}

static void test_a_report_may_add_a_chore(void **state)
{
    (void)state;
    chores_add(chores, work, add_another, &jobs[0]);
    loop_until(base, n_reported >= N);
    check_jobs(N);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_order),
        CASE(test_the_loop_goes_on),
        CASE(test_free_reports_the_rest),
        CASE(test_no_report_wanted),
        CASE(test_a_report_may_add_a_chore),
    };
    return cmocka_run_group_tests_name("chores", tests, NULL, NULL);
}
