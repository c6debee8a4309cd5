/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Who is let in: every door with and without a token, by table; names against
 * rebinding, sites against forgery, and how failures are limited.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "supervisor/access.h"
#include "tests/support/workdir.h"

#define TOKEN "0123456789abcdef0123456789abcdef"
#define RIGHT "Bearer " TOKEN
#define WRONG "Bearer 0123456789abcdef0123456789abcdee"

static char *dir;
static char *file;
static struct access *access_;

static int setup(void **state)
{
    (void)state;
    dir = workdir_new();
    file = workdir_path(dir, "token");
    workdir_write_text(dir, "token", TOKEN "\n");
    access_ = access_new();
    return chmod(file, 0600);
}

static int teardown(void **state)
{
    (void)state;
    access_free(&access_);
    workdir_free(&dir);
    free(file);
    return 0;
}

static void set(const char *token_file, const char *hosts)
{
    struct err e = {0};
    if (access_set(access_, token_file, hosts, &e) < 0)
        fail_msg("%s", e.text);
}

static const struct {
    enum door door;
    bool trusted;
    const char *authorization;
    const char *without, *with; /* the code when there is no token, and when there is one */
} doors[] = {
    {DOOR_LOCAL, false, NULL, "", "token-missing"},
    {DOOR_LOCAL, false, RIGHT, "", "by token"},
    {DOOR_LOCAL, false, WRONG, "", "token-wrong"},
    {DOOR_REMOTE, false, NULL, "admin-closed", "token-missing"},
    {DOOR_REMOTE, false, RIGHT, "admin-closed", "by token"},
    {DOOR_REMOTE, false, WRONG, "admin-closed", "token-wrong"},
    {DOOR_REMOTE, true, NULL, "admin-closed", "token-missing"},
    {DOOR_PUBLIC, false, NULL, "not-found", "not-found"},
    {DOOR_PUBLIC, true, RIGHT, "not-found", "not-found"},
    {DOOR_ADMIN, false, NULL, "", "token-missing"},
    {DOOR_ADMIN, false, RIGHT, "", "by token"},
    {DOOR_SOCKET, true, NULL, "", ""},
    {DOOR_SOCKET, true, WRONG, "", ""},
    {DOOR_SOCKET, false, NULL, "peer-not-allowed", "token-missing"},
    {DOOR_SOCKET, false, RIGHT, "peer-not-allowed", "by token"},
    {DOOR_SOCKET, false, WRONG, "peer-not-allowed", "token-wrong"},
};

static void check(const struct access_claims *c, const char *expected, size_t i)
{
    struct err e = {0};
    bool by_token = false;
    int rc = access_check(access_, c, &by_token, &e);
    const char *came = rc < 0 ? e.code : by_token ? "by token" : "";
    if (strcmp(came, expected) != 0)
        fail_msg("case %zu: \"%s\" instead of \"%s\": %s", i, came, expected, e.text);
}

static void test_doors(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof doors / sizeof doors[0]; i++) {
        const struct access_claims c = {.door = doors[i].door,
                                        .is_trusted_peer = doors[i].trusted,
                                        .host = "localhost:8000",
                                        .authorization = doors[i].authorization};
        set("", "");
        assert_false(access_has_token(access_));
        check(&c, doors[i].without, i);
        set(file, "");
        assert_true(access_has_token(access_));
        check(&c, doors[i].with, i);
    }
}

static const struct {
    const char *host;
    bool local, listed, remote, remote_listed; /* let in; the list has "models.example" */
} hosts[] = {
    {"localhost", true, true, true, true},
    {"LOCALHOST:8000", true, true, true, true},
    {"127.0.0.1:8000", true, true, true, true},
    {"127.9.9.9", true, true, true, true},
    {"[::1]:8000", true, true, true, true},
    {"models.example", false, true, true, true},
    {"Models.Example:80", false, true, true, true},
    {"evil.example", false, false, true, false},
    {"models.example.evil", false, false, true, false},
    {"localhost.evil.example", false, false, true, false},
    {"127.0.0.1.evil.example", false, false, true, false},
    {"192.0.2.7:8000", false, false, true, true}, /* an address cannot be rebound */
    {"[2001:db8::7]", false, false, true, true},
    {"128.0.0.1", false, false, true, true},
    {"0.0.0.0", false, false, true, true}, /* browsers take it for loopback */
    {"", false, false, true, false},
    {":8000", false, false, true, false},
    {"localhost:8000:1", false, false, true, false},
    {"localhost:http", false, false, true, false},
    {"[::1", false, false, true, false},
    {"[::1]x", false, false, true, false},
    {"localhost@evil.example", false, false, true, false},
    {NULL, false, false, true, false},
};

static void test_hosts(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof hosts / sizeof hosts[0]; i++) {
        struct access_claims c = {.host = hosts[i].host, .authorization = RIGHT};
        set("", "");
        check(&c, hosts[i].local ? "" : "wrong-host", i);
        set("", "a.example,models.example");
        check(&c, hosts[i].listed ? "" : "wrong-host", i);
        c.door = DOOR_ADMIN;
        check(&c, hosts[i].listed ? "" : "wrong-host", i);
        c.door = DOOR_REMOTE;
        set(file, "");
        check(&c, hosts[i].remote ? "by token" : "wrong-host", i);
        set(file, "a.example,models.example");
        check(&c, hosts[i].remote_listed ? "by token" : "wrong-host", i);
        c = (struct access_claims){
            .door = DOOR_SOCKET, .is_trusted_peer = true, .host = hosts[i].host};
        check(&c, "", i); /* no browser speaks to a Unix socket */
    }
}

static const struct {
    const char *origin, *fetch_site;
    bool allowed;
} sites[] = {
    {NULL, NULL, true},
    {"http://localhost:8000", NULL, true},
    {"http://LOCALHOST:8000", NULL, true},
    {"https://localhost:8000", NULL, true}, /* a proxy in front may speak TLS */
    {"http://localhost:8000", "same-origin", true},
    {NULL, "none", true},
    {"http://evil.example", NULL, false},
    {"http://localhost", NULL, false},
    {"http://localhost:9000", NULL, false},
    {"http://localhost:8000.evil.example", NULL, false},
    {"null", NULL, false},
    {"", NULL, false},
    {"localhost:8000", NULL, false},
    {NULL, "cross-site", false},
    {NULL, "same-site", false},
    {"http://localhost:8000", "cross-site", false},
};

static void test_sites(void **state)
{
    (void)state;
    set("", "");
    for (size_t i = 0; i < sizeof sites / sizeof sites[0]; i++) {
        const struct access_claims c = {
            .host = "localhost:8000", .origin = sites[i].origin, .fetch_site = sites[i].fetch_site};
        check(&c, sites[i].allowed ? "" : "cross-site", i);
    }
}

static const struct {
    const char *said;
    const char *code;
} tokens[] = {
    {RIGHT, "by token"},
    {"bearer " TOKEN, "by token"},
    {"Bearer  " TOKEN, "token-wrong"},
    {"Bearer " TOKEN " ", "token-wrong"},
    {"Bearer " TOKEN "0", "token-wrong"},
    {"Bearer 0123456789abcdef", "token-wrong"},
    {"Bearer ", "token-wrong"},
    {"Bearer", "token-wrong"},
    {"Basic " TOKEN, "token-wrong"},
    {TOKEN, "token-wrong"},
    {"", "token-wrong"},
};

static void test_tokens(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof tokens / sizeof tokens[0]; i++) {
        const struct access_claims c = {.host = "localhost", .authorization = tokens[i].said};
        access_free(&access_); /* a fresh one: its failures are not counted yet */
        access_ = access_new();
        set(file, "");
        check(&c, tokens[i].code, i);
    }
}

static void test_failures_are_limited(void **state)
{
    const struct access_claims wrong = {.host = "localhost", .authorization = WRONG};
    const struct access_claims right = {.host = "localhost", .authorization = RIGHT};
    const struct access_claims none = {.host = "localhost"};
    (void)state;
    set(file, "");
    int n_limited = 0;
    for (int i = 0; i < 100; i++) {
        struct err e = {0};
        bool by_token = false;
        assert_int_equal(access_check(access_, &wrong, &by_token, &e), -1);
        assert_false(by_token);
        n_limited += strcmp(e.code, "too-many-failures") == 0;
        if (i == 0)
            assert_string_equal(e.code, "token-wrong");
    }
    assert_true(n_limited > 50);
    check(&right, "by token", 0); /* nobody is locked out by others' mistakes */
    check(&none, "token-missing", 0);
    workdir_sleep_ms(250); /* a fifth of a second is another failure's worth */
    check(&wrong, "token-wrong", 0);
}

static void test_a_mistake_changes_nothing(void **state)
{
    const struct access_claims c = {.host = "models.example", .authorization = RIGHT};
    struct err e = {0};
    (void)state;
    set(file, "models.example");
    assert_int_equal(access_set(access_, "/nowhere/token", "", &e), -1);
    assert_string_equal(e.code, "bad-token-file");
    check(&c, "by token", 0);
    workdir_write_text(dir, "token", "too short\n");
    assert_int_equal(access_set(access_, file, "", &e), -1);
    check(&c, "by token", 0);
    workdir_write_text(dir, "token", "another-token-of-thirty-two-bytes\n");
    set(file, "models.example");
    check(&c, "token-wrong", 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_doors),
        TEST(test_hosts),
        TEST(test_sites),
        TEST(test_tokens),
        TEST(test_failures_are_limited),
        TEST(test_a_mistake_changes_nothing),
    };
    return cmocka_run_group_tests_name("access", tests, NULL, NULL);
}
