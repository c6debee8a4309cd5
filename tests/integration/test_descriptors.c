/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What is open: in a worker the descriptors of the treaty and no other, in
 * canaryd after many deployments as many as before; and what lives on when
 * canaryd does not.
 */
#include <dirent.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/clock.h"
#include "tests/support/answer.h"
#include "tests/support/server.h"
#include "tests/support/status.h"
#include "tests/support/workdir.h"

#define N_ROUNDS     100
#define WARM_ROUNDS  5
#define MAX_WORKER   4 /* the highest descriptor of a worker */
#define GONE_MS      2000
#define GONE_GOAL_MS 100

static const char *const by_hand[] = {"--auto-rollback=false", "--warmup-requests=1", NULL};

/* How many descriptors the process has; *highest: the greatest of them. */
static int count_fds(pid_t pid, long *highest)
{
    char dir[40];
    int n = 0;
    *highest = -1;
    snprintf(dir, sizeof dir, "/proc/%d/fd", (int)pid);
    DIR *d = opendir(dir);
    assert_non_null(d);
    for (struct dirent *entry = readdir(d); entry != NULL; entry = readdir(d)) {
        if (entry->d_name[0] == '.')
            continue;
        long fd = strtol(entry->d_name, NULL, 10);
        *highest = fd > *highest ? fd : *highest;
        n++;
    }
    closedir(d);
    return n;
}

static void deploy_and_roll_back(struct server *s)
{
    answer_is(server_post(s, "/admin/deploy-canary", "{\"model_path\":\"model_v2.json\"}"), 200);
    answer_is(server_post(s, "/admin/rollback-canary", NULL), 200);
    status_wait_state(s, "idle");
}

/* canary-worker closes the model once it has read it: 0 to 3 stay. */
static void test_descriptors_of_workers(void **state)
{
    pid_t pids[STATUS_MAX_PIDS];
    (void)state;
    struct server *s = server_start(by_hand);
    for (int i = 0; i < 8; i++) /* what the first workers left open would show */
        deploy_and_roll_back(s);
    answer_is(server_post(s, "/admin/deploy-canary", "{\"model_path\":\"model_v2.json\"}"), 200);
    int n = status_pids(s, pids);
    assert_true(n >= 2);
    for (int i = 0; i < n; i++) {
        long highest;
        int n_fds = count_fds(pids[i], &highest);
        assert_in_range(n_fds, 4, MAX_WORKER + 1);
        assert_true(highest <= MAX_WORKER);
    }
    server_stop(s);
}

struct fds_before {
    int n;
};

static bool has_as_many_fds(struct server *s, void *arg)
{
    const struct fds_before *before = arg;
    long highest;
    return count_fds(s->pid, &highest) <= before->n;
}

/* The rounds before the count open what stays open. */
static void test_descriptors_of_canaryd(void **state)
{
    struct fds_before before;
    long highest;
    (void)state;
    struct server *s = server_start(by_hand);
    for (int i = 0; i < WARM_ROUNDS; i++)
        deploy_and_roll_back(s);
    workdir_sleep_ms(200); /* the last worker's end */
    before.n = count_fds(s->pid, &highest);
    int64_t began_ns = clock_mono_ns();
    for (int i = 0; i < N_ROUNDS; i++)
        deploy_and_roll_back(s);
    server_wait_until(s, has_as_many_fds, &before, "as many descriptors as before", 5000);
    print_message("%d descriptors before and after %d rounds, %.1f ms each\n", before.n, N_ROUNDS,
                  ns_to_ms((double)(clock_mono_ns() - began_ns)) / N_ROUNDS);
    server_stop(s);
}

/* The kernel kills them, at once; the time is of this machine, and told. */
static void test_workers_are_gone_at_once(void **state)
{
    pid_t pids[STATUS_MAX_PIDS];
    (void)state;
    struct server *s = server_start(by_hand);
    answer_is(server_post(s, "/admin/deploy-canary", "{\"model_path\":\"model_v2.json\"}"), 200);
    int n = status_pids(s, pids);
    server_signal(s, SIGKILL);
    int64_t began_ns = clock_mono_ns();
    for (int i = 0; i < n; i++)
        process_wait_gone(pids[i], GONE_MS);
    print_message("%d workers gone %.1f ms after canaryd was killed (goal: %d)\n", n,
                  ns_to_ms((double)(clock_mono_ns() - began_ns)), GONE_GOAL_MS);
    assert_int_equal(server_wait_exit(s, 5000), 128 + SIGKILL);
    server_forget(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SERVER_TEST(test_descriptors_of_workers),
        SERVER_TEST(test_descriptors_of_canaryd),
        SERVER_TEST(test_workers_are_gone_at_once),
    };
    return cmocka_run_group_tests_name("descriptors", tests, NULL, NULL);
}
