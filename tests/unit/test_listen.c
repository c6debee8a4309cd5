/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The listening socket: what can be bound, what it is called then, and who can
 * reach it. No fixed ports: the kernel gives them.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/fdio.h"
#include "supervisor/listen.h"
#include "supervisor/peer.h"
#include "supervisor/role.h"
#include "tests/support/scratch.h"

static int must_listen(const char *address, char text[LISTEN_TEXT_SIZE])
{
    struct err e = {0};
    int fd = listen_on(address, &e);
    if (fd < 0)
        fail_msg("%s: %s", address, e.text);
    assert_int_equal(listen_address(fd, text), 0);
    return fd;
}

static bool have_ipv6(void)
{
    const struct sockaddr_in6 any = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool ok = fd >= 0 && bind(fd, (const struct sockaddr *)&any, sizeof any) == 0;
    fd_close(&fd);
    return ok;
}

static void test_port_zero(void **state)
{
    char text[LISTEN_TEXT_SIZE];
    char *end;
    (void)state;
    int fd = must_listen("127.0.0.1:0", text);
    assert_memory_equal(text, "127.0.0.1:", 10);
    long port = strtol(text + 10, &end, 10);
    assert_true(port > 0 && port < 65536 && *end == '\0');
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
    fd_close(&fd);
}

/* Connections queue up although nobody accepts yet. */
static void test_connections_queue_up(void **state)
{
    char text[LISTEN_TEXT_SIZE];
    int clients[20];
    struct sockaddr_in address = {.sin_family = AF_INET};
    (void)state;
    int fd = must_listen("127.0.0.1:0", text);
    address.sin_port = htons((uint16_t)strtol(strchr(text, ':') + 1, NULL, 10));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    for (size_t i = 0; i < 20; i++) {
        clients[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(connect(clients[i], (const struct sockaddr *)&address, sizeof address), 0);
    }
    for (size_t i = 0; i < 20; i++)
        fd_close(&clients[i]);
    fd_close(&fd);
}

static void test_in_use(void **state)
{
    char text[LISTEN_TEXT_SIZE];
    struct err e = {0};
    (void)state;
    int fd = must_listen("127.0.0.1:0", text);
    assert_int_equal(listen_on(text, &e), -1);
    assert_string_equal(e.code, "address-in-use");
    assert_non_null(strstr(e.text, text));
    fd_close(&fd);
}

static void test_names(void **state)
{
    char text[LISTEN_TEXT_SIZE];
    (void)state;
    int fd = must_listen("localhost:0", text);
    assert_true(listen_is_local(fd));
    fd_close(&fd);
}

static void test_ipv6(void **state)
{
    char text[LISTEN_TEXT_SIZE];
    (void)state;
    if (!have_ipv6()) {
        printf("SKIP no IPv6 here\n");
        skip();
    }
    int fd = must_listen("[::1]:0", text);
    assert_memory_equal(text, "[::1]:", 6);
    assert_true(listen_is_local(fd));
    int again = -1;
    struct err e = {0};
    again = listen_on(text, &e); /* what is printed can be read */
    assert_int_equal(again, -1);
    assert_string_equal(e.code, "address-in-use");
    fd_close(&fd);
    fd = must_listen("[::]:0", text);
    assert_false(listen_is_local(fd));
    fd_close(&fd);
}

static void test_who_can_reach_it(void **state)
{
    static const struct {
        const char *address;
        bool is_local;
    } cases[] = {{"127.0.0.1:0", true}, {"127.9.8.7:0", true}, {"0.0.0.0:0", false}};
    char text[LISTEN_TEXT_SIZE];
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int fd = must_listen(cases[i].address, text);
        assert_int_equal(listen_is_local(fd), cases[i].is_local);
        fd_close(&fd);
    }
    assert_false(listen_is_local(-1));
    assert_int_equal(listen_address(-1, text), -1);
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    assert_true(listen_is_local(pair[0]));
    assert_int_equal(listen_address(pair[0], text), 0);
    assert_memory_equal(text, "unix:", 5);
    fd_close(&pair[0]);
    fd_close(&pair[1]);
}

#define LABEL_OF_64 "aaaaaaaaaaaaaaaabbbbbbbbbbbbbbbbccccccccccccccccdddddddddddddddd"

/* 192.0.2.0/24 belongs to nobody (RFC 5737). A label has 63 characters at most, so
 * nobody is asked for that name. */
static void test_refusals(void **state)
{
    static const char *const addresses[] = {"192.0.2.1:0", LABEL_OF_64 ":0",
                                            "127.0.0.1:no-such-service", "127.0.0.1:-1"};
    (void)state;
    for (size_t i = 0; i < sizeof addresses / sizeof addresses[0]; i++) {
        struct err e = {0};
        int fd = listen_on(addresses[i], &e);
        if (fd >= 0)
            fail_msg("%s was taken", addresses[i]);
        assert_string_equal(e.code, "cannot-listen");
        assert_non_null(strstr(e.text, addresses[i]));
    }
}

/* --- Unix sockets -----------------------------------------------------------*/

static int listen_in(const char *name, char path[SCRATCH_PATH_SIZE], struct err *e)
{
    scratch_path(path, name);
    return listen_on_path(path, e);
}

static void test_path(void **state)
{
    char path[SCRATCH_PATH_SIZE], text[LISTEN_TEXT_SIZE];
    struct stat st;
    struct err e = {0};
    (void)state;
    int fd = listen_in("s", path, &e);
    assert_true(fd >= 0);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0660);
    assert_int_equal(listen_address(fd, text), 0);
    assert_memory_equal(text, "unix:/", 6);
    assert_string_equal(text + 5, path);
    assert_true(listen_is_unix(fd) && listen_is_local(fd));
    assert_int_equal(listen_on_path(path, &e), -1); /* somebody listens there: we */
    assert_string_equal(e.code, "address-in-use");
    fd_close(&fd);
    fd = listen_on_path(path, &e); /* what a crash leaves */
    assert_true(fd >= 0);
    fd_close(&fd);
    listen_remove(text);
    assert_int_equal(access(path, F_OK), -1);
}

/* Nothing of others is ever removed. */
static void test_path_is_taken(void **state)
{
    char path[SCRATCH_PATH_SIZE], target[SCRATCH_PATH_SIZE];
    struct stat st;
    struct err e = {0};
    (void)state;
    scratch_path(path, "file");
    int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
    fd_close(&fd);
    assert_int_equal(listen_on_path(path, &e), -1);
    assert_non_null(strstr(e.text, "not a socket"));
    assert_int_equal(lstat(path, &st), 0);
    assert_true(S_ISREG(st.st_mode));
    fd = listen_in("real", target, &e);
    fd_close(&fd); /* stale, and so would be removed; but not through a link */
    scratch_path(path, "link");
    assert_int_equal(symlink(target, path), 0);
    assert_int_equal(listen_on_path(path, &e), -1);
    assert_int_equal(lstat(path, &st) | lstat(target, &st), 0);
}

static void test_path_refusals(void **state)
{
    char path[SCRATCH_PATH_SIZE];
    char name[140];
    struct err e = {0};
    (void)state;
    memset(name, 'x', sizeof name);
    name[sizeof name - 1] = '\0';
    assert_int_equal(listen_on_path(name, &e), -1);
    assert_non_null(strstr(e.text, "107 bytes"));
    assert_int_equal(listen_in("no/s", path, &e), -1);
    assert_non_null(strstr(e.text, "No such file"));
    scratch_path(path, "");
    assert_int_equal(chmod(path, 01777), 0);
    assert_int_equal(listen_in("s", path, &e), -1);
    assert_non_null(strstr(e.text, "everybody may write"));
}

static void test_peers(void **state)
{
    char path[SCRATCH_PATH_SIZE], text[LISTEN_TEXT_SIZE], peer[PEER_TEXT_SIZE], who[64];
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    struct err e = {0};
    (void)state;
    int fd = listen_in("s", path, &e);
    memcpy(to.sun_path, path, strlen(path));
    int client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(client, (struct sockaddr *)&to, sizeof to), 0);
    int server = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
    peer_text(server, peer);
    snprintf(who, sizeof who, "uid %u, pid %d", getuid(), getpid());
    assert_string_equal(peer, who);
    assert_true(peer_is_trusted(server));
    fd_close(&client);
    fd_close(&server);
    fd_close(&fd);
    fd = must_listen("127.0.0.1:0", text);
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    socklen_t size = sizeof v4;
    assert_int_equal(getsockname(fd, (struct sockaddr *)&v4, &size), 0);
    client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(client, (struct sockaddr *)&v4, sizeof v4), 0);
    server = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
    listen_address(client, text);
    peer_text(server, peer);
    assert_string_equal(peer, text);
    assert_false(peer_is_trusted(server));
    fd_close(&client);
    fd_close(&server);
    fd_close(&fd);
}

static void test_connections_within_the_descriptors(void **state)
{
    struct rlimit all, few;
    (void)state;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &all), 0);
    few = all;
    few.rlim_cur = 4096;
    if (all.rlim_max < few.rlim_cur)
        skip();
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    assert_int_equal(listen_max_connections(1000), 1000);
    size_t n = listen_max_connections(1000000);
    assert_in_range(n, 2000, 4000);
    assert_true(4096 - n >= (size_t)3 * ROLE_MAX_PROCESSES); /* socket, output, pidfd */
    few.rlim_cur = 100;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    assert_int_equal(listen_max_connections(1000), 50);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &all), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_port_zero),
        cmocka_unit_test(test_connections_queue_up),
        cmocka_unit_test(test_in_use),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_ipv6),
        cmocka_unit_test(test_who_can_reach_it),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test_setup_teardown(test_path, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_path_is_taken, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_path_refusals, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_peers, scratch_setup, scratch_teardown),
        cmocka_unit_test(test_connections_within_the_descriptors),
    };
    return cmocka_run_group_tests_name("listen", tests, NULL, NULL);
}
