/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * canaryctl's HTTP over a Unix socket: what it takes for an answer, and what it
 * makes of everything else. A child says the bytes.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/clock.h"
#include "ctl/local.h"
#include "ctl/url.h"
#include "tests/support/scratch.h"

#define REQUEST "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
#define MAX     1000
#define SOON_MS 300
#define OK_HEAD "HTTP/1.1 200 OK\r\nX-Word:  yes \r\nContent-Length: 2\r\n\r\n"

static char path[SCRATCH_PATH_SIZE];

static int listen_there(void)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    scratch_path(path, "s");
    memcpy(at.sun_path, path, strlen(path));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof at) | listen(fd, 1), 0);
    return fd;
}

/* Takes the request, says bytes and, unless it stays, hangs up. */
static _Noreturn void serve_once(int fd, const char *bytes, bool stays)
{
    char request[512];
    int client = accept(fd, NULL, NULL);
    ssize_t n = recv(client, request, sizeof request, 0);
    if (n != (ssize_t)strlen(REQUEST) ||
        send(client, bytes, strlen(bytes), 0) != (ssize_t)strlen(bytes))
        _exit(1);
    if (stays)
        recv(client, request, sizeof request, 0); /* until it gives up */
    _exit(0);
}

static int ask(const char *bytes, bool stays, struct local_answer *a, struct err *e)
{
    int status = 0;
    int fd = listen_there();
    pid_t child = fork();
    if (child == 0)
        serve_once(fd, bytes, stays);
    int rc = local_ask(path, REQUEST, MAX, clock_mono_ns() + SOON_MS * NS_PER_MS, a, e);
    close(fd);
    unlink(path);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    return rc;
}

static void test_answer(void **state)
{
    struct local_answer a;
    struct err e = {0};
    char value[8];
    (void)state;
    if (ask(OK_HEAD "{}", false, &a, &e) < 0)
        fail_msg("%s", e.text);
    assert_int_equal(a.status, 200);
    assert_string_equal(a.text + a.body, "{}");
    local_header(&a, "x-word", value, sizeof value);
    assert_string_equal(value, "yes ");
    local_header(&a, "X-Wor", value, sizeof value);
    assert_string_equal(value, "");
    free(a.text);
    assert_int_equal(ask("HTTP/1.0 404 No\r\n\r\nto the end", false, &a, &e), 0);
    assert_int_equal(a.status, 404);
    assert_string_equal(a.text + a.body, "to the end");
    free(a.text);
}

static const struct {
    const char *bytes;
    bool stays;
    const char *code, *says;
} broken[] = {
    {"", false, "bad-answer", "closed the connection without"},
    {"HTTP/1.1 200 OK\r\nContent-Le", false, "bad-answer", "does not speak HTTP"},
    {"SSH-2.0-x\r\n\r\n", false, "bad-answer", "does not speak HTTP"},
    {"HTTP/2 200\r\n\r\n", false, "bad-answer", "does not speak HTTP"},
    {OK_HEAD "{", false, "bad-answer", "before the answer was whole"},
    {OK_HEAD "{} and more", false, "bad-answer", "before the answer was whole"},
    {OK_HEAD "{", true, "timeout", "in time"},
    {"", true, "timeout", "in time"},
};

static void test_broken(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++) {
        struct local_answer a;
        struct err e = {0};
        assert_int_equal(ask(broken[i].bytes, broken[i].stays, &a, &e), -1);
        if (strcmp(e.code, broken[i].code) != 0 || strstr(e.text, broken[i].says) == NULL)
            fail_msg("%s: %s: %s", broken[i].bytes, e.code, e.text);
        assert_null(a.text);
    }
}

static void test_too_long(void **state)
{
    char bytes[MAX + 200];
    struct local_answer a;
    struct err e = {0};
    (void)state;
    memset(bytes, 'x', sizeof bytes);
    bytes[sizeof bytes - 1] = '\0';
    assert_int_equal(ask(bytes, false, &a, &e), -1);
    assert_non_null(strstr(e.text, "longer than 1000 bytes"));
}

static void test_nobody_there(void **state)
{
    struct local_answer a;
    struct err e = {0};
    char name[200];
    (void)state;
    scratch_path(path, "nothing");
    assert_int_equal(local_ask(path, REQUEST, MAX, clock_mono_ns(), &a, &e), -1);
    assert_string_equal(e.code, "unreachable");
    memset(name, 'x', sizeof name);
    name[sizeof name - 1] = '\0';
    assert_int_equal(local_ask(name, REQUEST, MAX, clock_mono_ns(), &a, &e), -1);
    assert_string_equal(e.code, "unreachable");
}

static void test_urls(void **state)
{
    struct url url = {.port = 1};
    struct err e = {0};
    char name[200];
    (void)state;
    assert_int_equal(url_parse("unix:/run/canaryd/admin.sock", &url, &e), 0);
    assert_string_equal(url.socket, "/run/canaryd/admin.sock");
    assert_string_equal(url.authority, "localhost");
    assert_int_equal(url_parse("http://localhost:8000", &url, &e), 0);
    assert_string_equal(url.socket, "");
    assert_int_equal(url_parse("unix:", &url, &e), -1);
    assert_string_equal(e.code, "bad-url");
    snprintf(name, sizeof name, "unix:%0120d", 1);
    assert_int_equal(url_parse(name, &url, &e), -1);
    assert_int_equal(url.port, 8000); /* untouched */
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, scratch_setup, scratch_teardown)

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = {
        TEST(test_answer),       TEST(test_broken),           TEST(test_too_long),
        TEST(test_nobody_there), cmocka_unit_test(test_urls),
    };
    return cmocka_run_group_tests_name("ctl_local", tests, NULL, NULL);
}
