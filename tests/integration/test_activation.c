/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What canaryd and systemd say to each other, with the test in systemd's place:
 * a listening socket handed over, the notifications read. tests/integration/
 * test_systemd.c has the same with the real one, where it can be had.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/clock.h"
#include "common/fdio.h"
#include "common/mem.h"
#include "tests/support/answer.h"
#include "tests/support/evil.h"
#include "tests/support/server.h"
#include "tests/support/status.h"
#include "tests/support/traffic.h"
#include "tests/support/workdir.h"

#define PATIENCE_MS 10000
#define LISTENING   "listen: 127.0.0.1:0 is not used; the socket that was passed"

/* What systemd holds beyond a service's life. */
struct manager {
    int listen_fd;
    uint16_t port;
    int notify_fd;
    const char *notify_path;
    const char *watchdog_usec; /* NULL: no watchdog */
};

static struct manager manager;
static int admin_fd; /* passed as the second socket; -1: there is one only */

static void listen_anywhere(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof a;
    manager.listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(manager.listen_fd, (const struct sockaddr *)&a, size), 0);
    assert_int_equal(listen(manager.listen_fd, 1024), 0);
    assert_int_equal(getsockname(manager.listen_fd, (struct sockaddr *)&a, &size), 0);
    manager.port = ntohs(a.sin_port);
}

static void bind_notify(struct server *s)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    manager.notify_path = server_path(s, "notify");
    snprintf(a.sun_path, sizeof a.sun_path, "%s", manager.notify_path);
    manager.notify_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(manager.notify_fd, (const struct sockaddr *)&a, sizeof a), 0);
}

/* In the child: as systemd would have left it. */
static void hand_over(void *arg)
{
    const struct manager *m = arg;
    char pid[24];
    snprintf(pid, sizeof pid, "%d", (int)getpid());
    setenv("LISTEN_PID", pid, 1);
    setenv("LISTEN_FDS", admin_fd >= 0 ? "2" : "1", 1);
    setenv("LISTEN_FDNAMES", admin_fd >= 0 ? "http:admin" : "http", 1);
    setenv("NOTIFY_SOCKET", m->notify_path, 1);
    if (m->watchdog_usec != NULL) {
        setenv("WATCHDOG_PID", pid, 1);
        setenv("WATCHDOG_USEC", m->watchdog_usec, 1);
    }
    int first = fcntl(m->listen_fd, F_DUPFD_CLOEXEC, 10);
    int second = admin_fd >= 0 ? fcntl(admin_fd, F_DUPFD_CLOEXEC, 10) : -1;
    if (dup2(first, 3) != 3 || (second >= 0 && dup2(second, 4) != 4))
        _exit(126);
}

static void launch(struct server *s)
{
    server_launch(s, (const char *const[]){"--drain-timeout-ms=7000", NULL});
    server_wait_ready(s);
    assert_int_equal(s->port, manager.port);
}

static struct server *start_activated(void)
{
    struct server *s = server_prepare();
    listen_anywhere();
    bind_notify(s);
    server_set_before(s, hand_over, &manager);
    launch(s);
    return s;
}

static bool hear(char *text, size_t size, int patience_ms)
{
    struct pollfd p = {.fd = manager.notify_fd, .events = POLLIN};
    if (poll(&p, 1, patience_ms) != 1)
        return false;
    ssize_t n = recv(manager.notify_fd, text, size - 1, 0);
    assert_true(n >= 0);
    text[n] = '\0';
    return true;
}

/* The next notification that begins so. */
static void expect_heard(const char *beginning, char *text, size_t size)
{
    int64_t deadline = clock_mono_ns() + PATIENCE_MS * NS_PER_MS;
    while (clock_mono_ns() < deadline)
        if (hear(text, size, 100) && strncmp(text, beginning, strlen(beginning)) == 0)
            return;
    fail_msg("no notification \"%s\"", beginning);
}

static void expect_said(const char *text)
{
    char got[512];
    expect_heard(text, got, sizeof got);
    assert_string_equal(got, text);
}

/* --- Tests ------------------------------------------------------------------*/

static void test_the_passed_socket_is_served(void **state)
{
    (void)state;
    struct server *s = start_activated();
    server_predict(s);
    answer_is(server_get(s, "/admin/status"), 200); /* a loopback address: admin is open */
    assert_true(server_log_says(s, LISTENING));
    server_stop(s);
}

static int ctl(struct server *s, const char *url)
{
    const char *build = getenv("CANARYD_BUILD");
    char *command = mem_printf("%s/canaryctl --url %s status >%s 2>&1",
                               build != NULL ? build : "build", url, server_path(s, "out"));
    int status = system(command); /* NOLINT(cert-env33-c): words of this test's own */
    free(command);
    return WEXITSTATUS(status);
}

/* A second socket named "admin" is the admin door, and then the only one; its path is
 * systemd's, which keeps it for the next process. */
static void test_the_admin_door_is_passed(void **state)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    (void)state;
    struct server *s = server_prepare();
    const char *path = server_path(s, "admin.sock");
    char *url = mem_printf("unix:%s", path);
    snprintf(a.sun_path, sizeof a.sun_path, "%s", path);
    admin_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(admin_fd, (const struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(listen(admin_fd, 16), 0);
    listen_anywhere();
    bind_notify(s);
    server_set_before(s, hand_over, &manager);
    for (int i = 0; i < 2; i++) {
        server_launch(s, (const char *const[]){"--admin-listen=127.0.0.1:0", NULL});
        server_wait_ready(s);
        server_predict(s);
        answer_is_problem(server_get(s, "/admin/status"), 404, "not-found");
        assert_int_equal(ctl(s, url), 0);
        assert_true(server_log_says(s, "admin_listen: 127.0.0.1:0 is not used; the socket"));
        server_signal(s, SIGTERM);
        assert_int_equal(server_wait_exit(s, SERVER_STOP_MS), 0);
        assert_true(workdir_exists(path));
    }
    server_forget(s);
    free(url);
}

static void test_notifications(void **state)
{
    char text[512], expected[512];
    long long usec = 0;
    (void)state;
    struct server *s = start_activated();
    expect_said("STATUS=loading\nEXTEND_TIMEOUT_USEC=65000000");
    expect_said("READY=1\nSTATUS=serving");
    snprintf(expected, sizeof expected, "STATUS=stable %s",
             answer_string(status_get(s), "stable.model_version"));
    expect_said(expected);
    int64_t before = clock_mono_ns() / 1000;
    server_signal(s, SIGHUP);
    expect_heard("RELOADING=1\n", text, sizeof text);
    assert_int_equal(sscanf(text, "RELOADING=1\nMONOTONIC_USEC=%lld", &usec), 1);
    assert_true(usec >= before && usec <= clock_mono_ns() / 1000);
    expect_said("READY=1\nSTATUS=serving");
    expect_said(expected);
    answer_is(server_post(s, "/admin/deploy-canary", "{\"model_path\":\"model_v2.json\"}"), 200);
    snprintf(expected + strlen(expected), sizeof expected - strlen(expected),
             ", canary %s with 10 %%", answer_string(status_get(s), "canary.model_version"));
    expect_said(expected);
    server_signal(s, SIGTERM);
    /* drain_timeout_ms and what canaryd takes beyond it */
    expect_said("STOPPING=1\nSTATUS=draining\nEXTEND_TIMEOUT_USEC=15000000");
    assert_int_equal(server_wait_exit(s, SERVER_STOP_MS), 0);
    server_forget(s);
}

/* A SIGHUP while the stable model still loads: systemd would take the READY that
 * ends a reload for the start's, and let in what waits for the service. */
static void test_a_reload_before_it_serves(void **state)
{
    char worker[EVIL_PATH_SIZE], option[EVIL_PATH_SIZE + 20], text[512];
    (void)state;
    struct server *s = server_prepare();
    FILE *f = fopen(server_path(s, "models/slow.json"), "we");
    assert_non_null(f);
    fputs("sleep", f);
    fclose(f);
    server_write_config(s, "{\"crash_limit\": 5}");
    listen_anywhere();
    bind_notify(s);
    server_set_before(s, hand_over, &manager);
    built_program(worker, "tests/support/evil_worker");
    snprintf(option, sizeof option, "--worker-program=%s", worker);
    server_launch(s, (const char *const[]){option, "--stable-model=slow.json", NULL});
    server_wait_log(s, ") started");
    server_signal(s, SIGHUP);
    server_wait_log(s, "settings reloaded");
    server_signal(s, SIGTERM);
    do {
        assert_true(hear(text, sizeof text, PATIENCE_MS));
        assert_null(strstr(text, "READY=1"));
        assert_null(strstr(text, "RELOADING=1"));
    } while (strncmp(text, "STOPPING=1", 10) != 0);
    assert_int_equal(server_wait_exit(s, SERVER_STOP_MS), 0);
    server_forget(s);
}

/* A stopped process cannot beat; one that goes on does. */
static void test_no_heartbeat_while_it_hangs(void **state)
{
    char text[512];
    (void)state;
    manager.watchdog_usec = "200000";
    struct server *s = start_activated();
    expect_said("WATCHDOG=1");
    expect_said("WATCHDOG=1");
    server_signal(s, SIGSTOP);
    while (hear(text, sizeof text, 300)) /* what was under way */
        continue;
    assert_false(hear(text, sizeof text, 300));
    server_signal(s, SIGCONT);
    expect_said("WATCHDOG=1");
    server_stop(s);
}

/* What was meant for canaryd is not for its workers. */
static void test_workers_see_nothing_of_it(void **state)
{
    char path[64], environment[4096];
    (void)state;
    struct server *s = start_activated();
    snprintf(path, sizeof path, "/proc/%d/environ", (int)status_pid(s, "stable"));
    FILE *f = fopen(path, "re");
    assert_non_null(f);
    size_t n = fread(environment, 1, sizeof environment, f);
    fclose(f);
    assert_true(n > 0);
    assert_null(memmem(environment, n, "NOTIFY", 6));
    assert_null(memmem(environment, n, "LISTEN", 6));
    assert_null(memmem(environment, n, "WATCHDOG", 8));
    server_stop(s);
}

static void expect_nobody_refused(struct server *s, struct traffic **t)
{
    traffic_wait(*t, 100);
    struct traffic_report r = traffic_stop(t);
    print_message("%llu connections answered, the slowest after %.0f ms\n",
                  (unsigned long long)r.n_ok, r.longest_ms);
    traffic_expect_clean(&r);
    server_stop(s);
}

/* Connections that come while nobody accepts wait in the socket for the next. */
static void test_a_restart_refuses_nobody(void **state)
{
    (void)state;
    struct server *s = start_activated();
    struct traffic *t = traffic_start_knocking(s->port, 12);
    for (int i = 0; i < 4; i++) {
        traffic_wait(t, 200);
        server_signal(s, SIGTERM);
        assert_int_equal(server_wait_exit(s, SERVER_STOP_MS), 0);
        launch(s);
    }
    expect_nobody_refused(s, &t);
}

static void test_a_crash_refuses_nobody_who_comes_after(void **state)
{
    (void)state;
    struct server *s = start_activated();
    server_predict(s);
    server_signal(s, SIGKILL);
    assert_int_equal(server_wait_exit(s, SERVER_STOP_MS), 128 + SIGKILL);
    struct traffic *t = traffic_start_knocking(manager.port, 12);
    workdir_sleep_ms(50); /* with nobody there */
    launch(s);
    expect_nobody_refused(s, &t);
}

static void pass_a_file(void *arg)
{
    hand_over(arg);
    int fd = open("/dev/null", O_RDWR);
    if (fd < 0 || dup2(fd, 3) != 3)
        _exit(126);
}

static void test_something_else_is_passed(void **state)
{
    (void)state;
    struct server *s = server_prepare();
    listen_anywhere();
    bind_notify(s);
    server_set_before(s, pass_a_file, &manager);
    server_launch(s, NULL);
    assert_int_equal(server_wait_exit(s, SERVER_START_MS), 69);
    assert_true(server_log_says(s, "LISTEN_FDS: descriptor 3 is not a listening stream socket"));
    server_forget(s);
}

static int setup(void **state)
{
    (void)state;
    manager = (struct manager){.listen_fd = -1, .notify_fd = -1};
    admin_fd = -1;
    return 0;
}

static int teardown(void **state)
{
    int rc = server_teardown(state);
    fd_close(&manager.listen_fd); /* now nobody will answer the clients that still wait */
    fd_close(&manager.notify_fd);
    fd_close(&admin_fd);
    traffic_abandon();
    return rc;
}
#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_the_passed_socket_is_served),
        CASE(test_the_admin_door_is_passed),
        CASE(test_notifications),
        CASE(test_a_reload_before_it_serves),
        CASE(test_no_heartbeat_while_it_hangs),
        CASE(test_workers_see_nothing_of_it),
        CASE(test_a_restart_refuses_nobody),
        CASE(test_a_crash_refuses_nobody_who_comes_after),
        CASE(test_something_else_is_passed),
    };
    return cmocka_run_group_tests_name("activation", tests, NULL, NULL);
}
