/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Talking to systemd: the datagrams as they arrive at a NOTIFY_SOCKET of ours,
 * the watchdog, the socket that was passed; and silence where nobody listens.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>
#include <event2/event.h>

#include "common/clock.h"
#include "common/fdio.h"
#include "supervisor/notify.h"
#include "tests/support/child.h"
#include "tests/support/loop.h"
#include "tests/support/scratch.h"

#define PATIENCE_MS 20000

static struct event_base *base;
static struct notify *notify;
static int systemd_fd; /* where systemd would read */
static char path[SCRATCH_PATH_SIZE];

static void clear_environment(void)
{
    static const char *const names[] = {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID",
                                        "LISTEN_PID",    "LISTEN_FDS",    "LISTEN_FDNAMES"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        unsetenv(names[i]);
}

static void bind_systemd(const char *name, size_t n)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    assert_true(n < sizeof address.sun_path);
    memcpy(address.sun_path, name, n);
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n);
    systemd_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(systemd_fd, (const struct sockaddr *)&address, size), 0);
}

static int setup(void **state)
{
    if (scratch_setup(state) < 0)
        return -1;
    clear_environment();
    scratch_path(path, "notify");
    bind_systemd(path, strlen(path));
    setenv("NOTIFY_SOCKET", path, 1);
    base = event_base_new();
    return 0;
}

static int teardown(void **state)
{
    notify_free(&notify);
    notify_free(&notify);
    event_base_free(base);
    fd_close(&systemd_fd);
    clear_environment();
    return scratch_teardown(state);
}

static bool receive(char *text, size_t size, int patience_ms)
{
    struct pollfd p = {.fd = systemd_fd, .events = POLLIN};
    if (poll(&p, 1, patience_ms) != 1)
        return false;
    ssize_t n = recv(systemd_fd, text, size - 1, 0);
    assert_true(n >= 0);
    text[n] = '\0';
    return true;
}

static void expect(const char *text)
{
    char got[1024];
    if (!receive(got, sizeof got, PATIENCE_MS))
        fail_msg("no \"%s\"", text);
    assert_string_equal(got, text);
}

static void test_states(void **state)
{
    (void)state;
    notify = notify_new(base);
    notify_starting(notify, 65000);
    expect("STATUS=loading\nEXTEND_TIMEOUT_USEC=65000000");
    notify_ready(notify, "serving");
    expect("READY=1\nSTATUS=serving");
    notify_status(notify, "stable model_v1@abc");
    expect("STATUS=stable model_v1@abc");
    notify_stopping(notify, INT64_C(3600000));
    expect("STOPPING=1\nSTATUS=draining\nEXTEND_TIMEOUT_USEC=3600000000");
    char text[64];
    assert_false(receive(text, sizeof text, 0));
}

/* A model file's name comes from outside. */
static void test_a_status_is_one_line(void **state)
{
    char text[1024], status[600];
    (void)state;
    notify = notify_new(base);
    notify_status(notify, "stable a\nSTOPPING=1\x1b@b");
    expect("STATUS=stable a?STOPPING=1?@b");
    memset(status, 'x', sizeof status - 1);
    status[sizeof status - 1] = '\0';
    notify_ready(notify, status);
    assert_true(receive(text, sizeof text, PATIENCE_MS));
    assert_memory_equal(text, "READY=1\nSTATUS=xxx", 18);
}

/* sd_notify(3): RELOADING comes with the monotonic time in microseconds. */
static void test_reloading(void **state)
{
    char text[256];
    long long usec = 0;
    int n = 0;
    (void)state;
    notify = notify_new(base);
    int64_t before = clock_mono_ns() / 1000;
    notify_reloading(notify);
    assert_true(receive(text, sizeof text, PATIENCE_MS));
    assert_int_equal(sscanf(text, "RELOADING=1\nMONOTONIC_USEC=%lld%n", &usec, &n), 1);
    assert_int_equal(n, strlen(text));
    assert_true(usec >= before && usec <= clock_mono_ns() / 1000);
}

static void test_abstract_socket(void **state)
{
    char name[64];
    (void)state;
    fd_close(&systemd_fd);
    snprintf(name, sizeof name, "@canaryd-test-%d", (int)getpid());
    setenv("NOTIFY_SOCKET", name, 1);
    name[0] = '\0';
    bind_systemd(name, 1 + strlen(name + 1));
    notify = notify_new(base);
    notify_ready(notify, "x");
    expect("READY=1\nSTATUS=x");
}

static void say_everything(void)
{
    notify_ready(notify, "x");
    notify_status(notify, "x");
    notify_reloading(notify);
    notify_starting(notify, 1);
    notify_stopping(notify, 1);
}

static void test_nobody_listens(void **state)
{
    static const char *const places[] = {NULL, "", "relative", "/nonexistent/socket", "@"};
    char too_long[300];
    (void)state;
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        unsetenv("NOTIFY_SOCKET");
        if (places[i] != NULL)
            setenv("NOTIFY_SOCKET", places[i], 1);
        setenv("WATCHDOG_USEC", "2000", 1);
        notify = notify_new(base);
        say_everything();
        loop_settle(base);
        notify_free(&notify);
    }
    memset(too_long, '/', sizeof too_long - 1);
    too_long[sizeof too_long - 1] = '\0';
    setenv("NOTIFY_SOCKET", too_long, 1);
    notify = notify_new(base);
    say_everything();
}

/* A systemd that does not read must not stop us. */
static void test_a_full_socket(void **state)
{
    char status[300];
    (void)state;
    memset(status, 'x', sizeof status - 1);
    status[sizeof status - 1] = '\0';
    notify = notify_new(base);
    for (int i = 0; i < 5000; i++)
        notify_status(notify, status);
    char text[1024];
    assert_true(receive(text, sizeof text, 0));
    assert_memory_equal(text, "STATUS=xxx", 10);
}

static void on_datagram(evutil_socket_t fd, short what, void *arg)
{
    char text[64] = "";
    int *n = arg;
    (void)what;
    ssize_t got = recv(fd, text, sizeof text - 1, 0);
    assert_true(got > 0);
    assert_string_equal(text, "WATCHDOG=1");
    ++*n;
}

static void test_watchdog(void **state)
{
    char pid[24];
    static int n_beats; /* static: clang sees no loop change a local */
    (void)state;
    snprintf(pid, sizeof pid, "%d", (int)getpid());
    setenv("WATCHDOG_USEC", "40000", 1);
    setenv("WATCHDOG_PID", pid, 1);
    struct event *on_readable =
        event_new(base, systemd_fd, EV_READ | EV_PERSIST, on_datagram, &n_beats);
    event_add(on_readable, NULL);
    notify = notify_new(base);
    int64_t start_ns = clock_mono_ns();
    loop_until(base, n_beats >= 4);
    /* Twice in the time allowed: 4 beats take 80 ms, and libevent's clock ticks every
     * 10 ms at worst. A slow machine takes longer. */
    assert_true(clock_mono_ns() - start_ns >= 70 * NS_PER_MS);
    notify_free(&notify);
    int n_then = n_beats;
    loop_settle(base);
    assert_int_equal(n_beats, n_then);
    event_free(on_readable);
}

/* It is the loop that beats: while it hangs, there is no heartbeat. */
static void test_watchdog_of_a_loop_that_hangs(void **state)
{
    char text[64];
    (void)state;
    setenv("WATCHDOG_USEC", "20000", 1);
    notify = notify_new(base);
    assert_false(receive(text, sizeof text, 100));
    loop_settle(base);
    expect("WATCHDOG=1");
}

static void test_watchdogs_of_others(void **state)
{
    static const struct {
        const char *usec, *pid;
    } cases[] = {{"2000", "1"}, {"0", NULL}, {"-5", NULL}, {"1", NULL}, {"x", NULL}, {"", ""}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[64];
        setenv("WATCHDOG_USEC", cases[i].usec, 1);
        unsetenv("WATCHDOG_PID");
        if (cases[i].pid != NULL)
            setenv("WATCHDOG_PID", cases[i].pid, 1);
        notify = notify_new(base);
        loop_settle(base);
        assert_false(receive(text, sizeof text, 0));
        notify_free(&notify);
    }
}

/* --- LISTEN_FDS: in a child, whose descriptors are ours to choose -----------*/

struct passed {
    const char *pid; /* NULL: the child's own */
    const char *fds;
    const char *names;
    int http, admin; /* what notify_sockets_take shall give */
};

/* A listening socket, blocking and without close-on-exec, as the descriptor fd. */
static bool place_socket(int fd)
{
    int s = socket(AF_INET, SOCK_STREAM, 0);
    return s >= 0 && listen(s, 1) == 0 && (s == fd || dup2(s, fd) == fd);
}

static bool is_cloexec(int fd)
{
    return (fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0;
}

static bool is_ready(int fd)
{
    return is_cloexec(fd) && (fcntl(fd, F_GETFL) & O_NONBLOCK) != 0;
}

static int look_for_passed_socket(void *arg)
{
    const struct passed *p = arg;
    struct err e = {0};
    char own[24];
    struct notify_sockets found = {99, 99};
    if (!place_socket(3) || !place_socket(4))
        return 1;
    snprintf(own, sizeof own, "%d", (int)getpid());
    setenv("LISTEN_PID", p->pid != NULL ? p->pid : own, 1);
    if (p->fds != NULL)
        setenv("LISTEN_FDS", p->fds, 1);
    if (p->names != NULL)
        setenv("LISTEN_FDNAMES", p->names, 1);
    if (notify_sockets_take(&found, &e) != 0 || found.http != p->http || found.admin != p->admin)
        return 2;
    if ((found.http >= 0 && !is_ready(found.http)) || (found.admin >= 0 && !is_ready(found.admin)))
        return 3;
    if (is_cloexec(3) != (found.http >= 0 || found.admin >= 0)) /* no worker gets others either */
        return 4;
    return notify_sockets_take(&found, &e) == 0 && found.http == -1 && found.admin == -1 &&
                   getenv("LISTEN_FDNAMES") == NULL
               ? 0
               : 5;
}

static void test_listen_fds(void **state)
{
    static struct passed cases[] = {
        {NULL, "1", NULL, 3, -1},
        {NULL, "2", NULL, 3, -1},
        {NULL, "0", NULL, -1, -1},
        {NULL, NULL, NULL, -1, -1},
        {"1", "1", NULL, -1, -1},
        {NULL, "x", NULL, -1, -1},
        {"", "1", NULL, -1, -1},
        {NULL, "-1", NULL, -1, -1},
        {NULL, "1", "http", 3, -1},
        {NULL, "2", "admin:http", 4, 3},
        {NULL, "2", "http:admin", 3, 4},
        {NULL, "2", "admin:x", 4, 3},
        {NULL, "2", "x:admin", 3, 4},
        {NULL, "1", "admin", -1, 3},
        {NULL, "1", "http:admin", 3, -1},
        {NULL, "2", "admin:admin", 4, 3},
        {NULL, "2", "administrator", 3, -1},
        {NULL, "2", "http:x", 3, -1},
        {NULL, "2", "xhttp:https", 3, -1},
        {NULL, "1", "x:http", 3, -1},
        {NULL, "2", ":http", 4, -1},
        {NULL, "2", "", 3, -1},
        {NULL, "1", "unknown", 3, -1},
        {NULL, "2", "::http", 3, -1},
        {NULL, "99999999", "http", 3, -1},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int rc = child_run(look_for_passed_socket, &cases[i], NULL, 0);
        if (rc != 0)
            fail_msg("case %zu: %d", i, rc);
    }
}

static int pass_something_else(void *arg)
{
    const int *type = arg;
    struct err e = {0};
    char own[24];
    struct notify_sockets found;
    int s = *type == 0 ? open("/dev/null", O_RDWR) : socket(AF_INET, *type, 0);
    if (s < 0 || dup2(s, 3) != 3)
        return 1;
    snprintf(own, sizeof own, "%d", (int)getpid());
    setenv("LISTEN_PID", own, 1);
    setenv("LISTEN_FDS", "1", 1);
    if (notify_sockets_take(&found, &e) == 0 || strcmp(e.code, "cannot-listen") != 0)
        return 2;
    return strcmp(e.text, "LISTEN_FDS: descriptor 3 is not a listening stream socket") == 0 ? 0 : 3;
}

static void test_passed_what_is_no_listening_socket(void **state)
{
    int types[] = {0, SOCK_STREAM, SOCK_DGRAM};
    (void)state;
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        assert_int_equal(child_run(pass_something_else, &types[i], NULL, 0), 0);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_states),
        CASE(test_a_status_is_one_line),
        CASE(test_reloading),
        CASE(test_abstract_socket),
        CASE(test_nobody_listens),
        CASE(test_a_full_socket),
        CASE(test_watchdog),
        CASE(test_watchdog_of_a_loop_that_hangs),
        CASE(test_watchdogs_of_others),
        CASE(test_listen_fds),
        CASE(test_passed_what_is_no_listening_socket),
    };
    return cmocka_run_group_tests_name("notify", tests, NULL, NULL);
}
