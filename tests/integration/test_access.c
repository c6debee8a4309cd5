/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Who may use the admin endpoints of a running server: the token, doors of their
 * own, browsers led astray, and what the journal says afterwards.
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
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/jsonx.h"
#include "common/mem.h"
#include "tests/support/answer.h"
#include "tests/support/server.h"
#include "tests/support/workdir.h"

#define TOKEN         "the-token-of-this-test-0123456789"
#define TOKEN_2       "the-next-token-of-this-test-98765"
#define BEARER(token) "Authorization: Bearer " token "\r\n"
#define NOBODY        65534

static const struct http_answer *ask(struct server *s, const char *method, const char *path,
                                     const char *headers, const char *body)
{
    return server_ask(s, &(struct http_request){
                             .method = method, .path = path, .headers = headers, .body = body});
}

static void write_token(struct server *s, const char *token)
{
    workdir_write_text(s->dir, "token", token);
    assert_int_equal(chmod(server_path(s, "token"), 0600), 0);
}

/* Starts with a settings file of the test's and a token. */
static struct server *start_with(const char *settings, const char *token)
{
    struct server *s = server_prepare();
    char *config = mem_printf("{\"admin_token_file\": \"%s\"%s}",
                              token != NULL ? server_path(s, "token") : "", settings);
    if (token != NULL)
        write_token(s, token);
    server_write_config(s, config);
    free(config);
    server_launch(s, NULL);
    server_wait_ready(s);
    return s;
}

/* --- The token --------------------------------------------------------------*/

static void test_token(void **state)
{
    (void)state;
    struct server *s = start_with("", TOKEN "\n");
    const struct http_answer *a = server_get(s, "/admin/status");
    answer_is_problem(a, 401, "token-missing");
    answer_header(a, "WWW-Authenticate", "Bearer realm=\"canaryd\"");
    a = ask(s, "GET", "/admin/status", BEARER("wrong"), NULL);
    answer_is_problem(a, 401, "token-wrong");
    assert_non_null(strstr(answer_header(a, "WWW-Authenticate", NULL), "invalid_token"));
    answer_is_problem(ask(s, "GET", "/admin/status", BEARER("the-token-of-this"), NULL), 401,
                      "token-wrong"); /* a prefix */
    answer_is_problem(ask(s, "GET", "/admin/status", BEARER(TOKEN) BEARER(TOKEN), NULL), 400,
                      "malformed-request");
    answer_is(ask(s, "GET", "/admin/status", BEARER(TOKEN), NULL), 200);
    answer_is(ask(s, "POST", "/admin/toggle-slowdown", BEARER(TOKEN), NULL), 200);
    answer_is_problem(ask(s, "POST", "/admin/toggle-slowdown", NULL, NULL), 401, "token-missing");
    answer_is(server_get(s, "/readyz"), 200); /* nobody else needs it */
    server_predict(s);
    assert_null(strstr(server_log(s), TOKEN));
    server_stop(s);
}

/* Cut at the NUL the token would be right; so the whole request is refused. */
static void test_token_with_a_nul(void **state)
{
    static const char request[] = "GET /admin/status HTTP/1.1\r\nHost: localhost\r\n"
                                  "Authorization: Bearer " TOKEN "\0junk\r\n\r\n";
    struct http_answer a = {0};
    struct err e = {0};
    (void)state;
    struct server *s = start_with("", TOKEN "\n");
    struct http *h = http_open(s->port, &e);
    assert_int_equal(http_send(h, request, sizeof request - 1, &e), 0);
    assert_int_equal(http_receive(h, false, &a, &e), 1);
    answer_is_problem(&a, 400, "malformed-request");
    http_answer_clear(&a);
    http_close(&h);
    server_stop(s);
}

static void test_failures(void **state)
{
    int n_limited = 0;
    (void)state;
    struct server *s = start_with("", TOKEN "\n");
    for (int i = 0; i < 60; i++) {
        const struct http_answer *a = ask(s, "GET", "/admin/status", BEARER("wrong"), NULL);
        if (a->status == 429) {
            answer_is_problem(a, 429, "too-many-failures");
            answer_header(a, "Retry-After", "1");
            n_limited++;
        }
    }
    assert_true(n_limited > 20);
    answer_is(ask(s, "GET", "/admin/status", BEARER(TOKEN), NULL), 200);
    const struct http_answer *a = ask(s, "GET", "/admin/events", BEARER(TOKEN), NULL);
    int n_told = 0;
    const cJSON *event;
    cJSON_ArrayForEach(event, answer_member(a, "events")) {
        n_told += strcmp(cJSON_GetStringValue(jsonx_member(event, "event")), "admin") == 0;
    }
    assert_in_range(n_told, 2, 20); /* strangers cannot fill the journal */
    server_stop(s);
}

/* SIGHUP reads the file again; a mistake in it changes nothing. */
static void test_token_changes(void **state)
{
    (void)state;
    struct server *s = start_with("", TOKEN "\n");
    write_token(s, TOKEN_2 "\n");
    answer_is(ask(s, "GET", "/admin/status", BEARER(TOKEN), NULL), 200); /* not yet */
    server_signal(s, SIGHUP);
    server_wait_log(s, "settings reloaded");
    answer_is(ask(s, "GET", "/admin/status", BEARER(TOKEN_2), NULL), 200);
    answer_is(ask(s, "GET", "/admin/status", BEARER(TOKEN), NULL), 401);
    assert_int_equal(chmod(server_path(s, "token"), 0644), 0);
    server_signal(s, SIGHUP);
    server_wait_log(s, "mode 0644");
    answer_is(ask(s, "GET", "/admin/status", BEARER(TOKEN_2), NULL), 200);
    server_stop(s);
}

static const struct {
    const char *token;
    mode_t mode;
    const char *says;
} bad_tokens[] = {
    {"abc", 0600, "has 3 characters; expected at least 32"},
    {TOKEN, 0644, "has mode 0644"},
    {NULL, 0, "No such file"},
};

static void test_bad_token_files(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bad_tokens / sizeof bad_tokens[0]; i++) {
        struct server *s = server_prepare();
        char *arg = mem_printf("--admin-token-file=%s", server_path(s, "token"));
        const char *const args[] = {arg, NULL};
        if (bad_tokens[i].token != NULL) {
            workdir_write_text(s->dir, "token", bad_tokens[i].token);
            assert_int_equal(chmod(server_path(s, "token"), bad_tokens[i].mode), 0);
        }
        server_launch(s, args);
        assert_int_equal(server_wait_exit(s, SERVER_START_MS), EX_CONFIG);
        server_wait_log(s, bad_tokens[i].says);
        server_forget(s);
        free(arg);
    }
}

/* What can be seen by `ps` is no secret. */
static void test_no_token_on_the_command_line(void **state)
{
    static const char *const args[] = {"--admin-token=" TOKEN, NULL};
    (void)state;
    struct server *s = server_prepare();
    server_launch(s, args);
    assert_int_equal(server_wait_exit(s, SERVER_START_MS), EX_USAGE);
    server_wait_log(s, "unknown option \"--admin-token\"");
    server_forget(s);
}

/* --- Browsers ---------------------------------------------------------------*/

static const struct {
    const char *headers, *body;
    int status;
} posts[] = {
    {NULL, NULL, 200},
    {"Content-Type: application/json\r\n", "{}", 200},
    {"Origin: http://localhost\r\nContent-Type: application/json\r\n", "{}", 200},
    {"Origin: http://localhost\r\nSec-Fetch-Site: same-origin\r\n", NULL, 200},
    {"Origin: http://evil.example\r\n", NULL, 403},
    {"Origin: null\r\n", NULL, 403},
    {"Sec-Fetch-Site: cross-site\r\n", NULL, 403},
    {"Origin: http://evil.example\r\nContent-Type: text/plain\r\n", "{}", 403},
    {"Content-Type: text/plain\r\n", "{}", 415},
    {"Content-Type: text/plain\r\n", NULL, 415}, /* a form without a body */
    {"Content-Type: application/x-www-form-urlencoded\r\n", NULL, 415},
    {"Content-Type: multipart/form-data; boundary=x\r\n", NULL, 415},
    {"Origin: http://localhost\r\nOrigin: http://evil.example\r\n", NULL, 400},
};

static void test_cross_site(void **state)
{
    (void)state;
    struct server *s = server_start(NULL);
    int n_done = 0;
    for (size_t i = 0; i < sizeof posts / sizeof posts[0]; i++) {
        const struct http_answer *a =
            ask(s, "POST", "/admin/toggle-slowdown", posts[i].headers, posts[i].body);
        if (a->status != posts[i].status)
            fail_msg("post %zu: %s%s", i, a->head, a->body);
        n_done += a->status == 200;
    }
    assert_int_equal(answer_bool(server_get(s, "/admin/status"), "simulate_slowdown"), n_done % 2);
    const struct http_answer *a =
        ask(s, "OPTIONS", "/admin/toggle-slowdown", "Origin: http://evil.example\r\n", NULL);
    assert_null(http_header(a, "Access-Control-Allow-Origin")); /* so no preflight succeeds */
    server_stop(s);
}

static const struct http_answer *ask_as(struct server *s, const char *host)
{
    static struct http_answer a;
    struct err e = {0};
    char request[200];
    snprintf(request, sizeof request, "GET /admin/status HTTP/1.1\r\nHost: %s\r\n\r\n", host);
    struct http *h = http_open(s->port, &e);
    http_answer_clear(&a);
    assert_int_equal(http_send(h, request, strlen(request), &e), 0);
    assert_int_equal(http_receive(h, false, &a, &e), 1);
    http_close(&h);
    return &a;
}

static void test_rebinding(void **state)
{
    (void)state;
    struct server *s = start_with("", NULL);
    answer_is(ask_as(s, "127.0.0.1:8000"), 200);
    answer_is(ask_as(s, "[::1]"), 200);
    answer_is_problem(ask_as(s, "evil.example"), 403, "wrong-host");
    answer_is_problem(ask_as(s, "models.example"), 403, "wrong-host");
    server_write_config(s, "{\"allowed_hosts\": \"models.example\"}");
    server_signal(s, SIGHUP);
    server_wait_log(s, "settings reloaded");
    answer_is(ask_as(s, "models.example:8000"), 200);
    answer_is_problem(ask_as(s, "evil.example"), 403, "wrong-host");
    server_stop(s);
}

/* --- Doors of their own -----------------------------------------------------*/

/* One question over the Unix socket by a child of this user, bound to a path of its
 * own when from is given. The status, or minus errno of connect. */
static int ask_socket(struct server *s, uid_t user, const char *from, const char *request)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX}, mine = {.sun_family = AF_UNIX};
    const char *dir = server_path(s, "run"); /* the way there may be closed to the user */
    char text[512] = "";
    int status = 0;
    int results[2];
    memcpy(to.sun_path, "admin.sock", strlen("admin.sock"));
    assert_int_equal(pipe(results), 0);
    pid_t child = fork();
    if (child == 0) {
        int fd = socket(AF_UNIX, SOCK_STREAM, 0);
        int result = 0;
        if (from != NULL) {
            memcpy(mine.sun_path, from, strlen(from));
            if (bind(fd, (struct sockaddr *)&mine, sizeof mine) != 0)
                _exit(2);
        }
        if (chdir(dir) != 0)
            _exit(5);
        if (user != getuid() && (setgid(user) != 0 || setuid(user) != 0))
            _exit(3);
        if (connect(fd, (struct sockaddr *)&to, sizeof to) != 0)
            result = -1;
        else if (send(fd, request, strlen(request), 0) > 0 &&
                 recv(fd, text, sizeof text - 1, 0) > 0)
            sscanf(text, "HTTP/1.1 %d", &result);
        _exit(write(results[1], &result, sizeof result) == sizeof result ? 0 : 4);
    }
    close(results[1]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    int result = 0;
    assert_int_equal(read(results[0], &result, sizeof result), sizeof result);
    close(results[0]);
    return result;
}

#define GET_STATUS "GET /admin/status HTTP/1.1\r\nHost: anything\r\nConnection: close\r\n\r\n"

static void ctl(struct server *s, const char *url, const char *token_file, int code,
                const char *says)
{
    const char *build = getenv("CANARYD_BUILD");
    char *command =
        mem_printf("%s/canaryctl --url '%s' %s%s status >%s 2>&1", build != NULL ? build : "build",
                   url, token_file != NULL ? "--token-file " : "",
                   token_file != NULL ? token_file : "", server_path(s, "out"));
    int status = system(command); /* NOLINT(cert-env33-c): words of this test's own */
    char *out = workdir_read(server_path(s, "out"));
    if (WEXITSTATUS(status) != code || strstr(out, says) == NULL)
        fail_msg("%s: %d: %s", command, WEXITSTATUS(status), out);
    free(out);
    free(command);
}

static void test_unix_socket(void **state)
{
    struct stat st;
    (void)state;
    struct server *s = start_with(", \"admin_listen\": \"unix:admin.sock\"", NULL);
    const char *path = server_path(s, "run/admin.sock");
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0660);
    /* the main port knows of no admin paths */
    answer_is_problem(server_get(s, "/admin/status"), 404, "not-found");
    answer_is_problem(server_post(s, "/admin/toggle-slowdown", "{}"), 404, "not-found");
    answer_is(ask(s, "OPTIONS", "/admin/toggle-slowdown", NULL, NULL), 404);
    server_predict(s);
    assert_int_equal(ask_socket(s, getuid(), NULL, GET_STATUS), 200);
    assert_int_equal(ask_socket(s, getuid(), NULL, "GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n"), 200);
    /* libevent 2.1.12 without its distributor's patches aborts here (CVE-2026-63388) */
    char *from = mem_printf("%s/%060d", s->dir, 1);
    assert_int_equal(ask_socket(s, getuid(), from, GET_STATUS), 200);
    free(from);
    char *url = mem_printf("unix:%s", path);
    ctl(s, url, NULL, 0, "model_v1");
    free(url);
    server_stop(s);
    assert_int_equal(stat(path, &st), -1); /* taken along */
}

/* Clients that hold every connection of the main port do not hold the operator's. */
static void test_beside_a_full_port(void **state)
{
    struct http *h[3];
    struct http_answer a = {0};
    struct err e = {0};
    (void)state;
    struct server *s =
        start_with(", \"admin_listen\": \"unix:admin.sock\", \"max_connections\": 2", NULL);
    for (int i = 0; i < 3; i++) {
        h[i] = http_open(s->port, &e);
        assert_int_equal(http_send(h[i], "GET /livez HTT", 14, &e), 0);
    }
    int rc = http_receive(h[2], false, &a, &e);
    assert_int_equal(rc, 1);
    answer_is_problem(&a, 503, "too-many-connections");
    http_answer_clear(&a);
    assert_int_equal(ask_socket(s, getuid(), NULL, "GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n"), 200);
    assert_int_equal(ask_socket(s, getuid(), NULL, GET_STATUS), 200);
    for (int i = 0; i < 3; i++)
        http_close(&h[i]);
    server_stop(s);
}

/* Everybody who got through the mode is looked at again. */
static void test_strangers_at_the_socket(void **state)
{
    (void)state;
    if (getuid() != 0) {
        print_message("SKIP only root can become somebody else\n");
        skip();
    }
    struct server *s = start_with(", \"admin_listen\": \"unix:admin.sock\"", NULL);
    assert_int_equal(ask_socket(s, NOBODY, NULL, GET_STATUS), -1); /* EACCES */
    assert_int_equal(chmod(s->dir, 0755) | chmod(server_path(s, "run"), 0755), 0);
    assert_int_equal(chmod(server_path(s, "run/admin.sock"), 0666), 0);
    assert_int_equal(ask_socket(s, NOBODY, NULL, GET_STATUS), 403);
    server_wait_log(s, "from uid 65534, pid");
    server_stop(s);
}

static void test_admin_port(void **state)
{
    (void)state;
    struct server *s = start_with(", \"admin_listen\": \"127.0.0.1:0\"", TOKEN);
    int port = 0;
    char *text = workdir_read(server_path(s, "run/admin_listen"));
    assert_int_equal(sscanf(text, "127.0.0.1:%d", &port), 1);
    free(text);
    answer_is_problem(server_get(s, "/admin/status"), 404, "not-found");
    char *url = mem_printf("http://127.0.0.1:%d", port);
    ctl(s, url, NULL, 1, "--token-file");
    ctl(s, url, server_path(s, "token"), 0, "model_v1");
    free(url);
    server_stop(s);
}

static const struct {
    const char *admin_listen;
    int code;
    const char *says;
} bad_doors[] = {
    {"0.0.0.0:0", EX_CONFIG, "not a loopback address"},
    {"unix:file", EX_UNAVAILABLE, "not a socket"},
    {"unix:link", EX_UNAVAILABLE, "not a socket"},
    {"unix:open/admin.sock", EX_UNAVAILABLE, "everybody may write"},
    {"unix:no/admin.sock", EX_UNAVAILABLE, "No such file"},
};

static void test_bad_doors(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bad_doors / sizeof bad_doors[0]; i++) {
        struct server *s = server_prepare();
        char *arg = mem_printf("--admin-listen=%s", bad_doors[i].admin_listen);
        const char *const args[] = {arg, NULL};
        workdir_write_text(server_path(s, "run"), "file", "mine");
        assert_int_equal(symlink("elsewhere", server_path(s, "run/link")), 0);
        assert_int_equal(mkdir(server_path(s, "run/open"), 0777), 0);
        assert_int_equal(chmod(server_path(s, "run/open"), 0777), 0);
        server_launch(s, args);
        int code = server_wait_exit(s, SERVER_START_MS);
        if (code != bad_doors[i].code || !server_log_says(s, bad_doors[i].says))
            fail_msg("%s: %d: %s", arg, code, server_log(s));
        assert_true(workdir_exists(server_path(s, "run/file")));
        server_forget(s);
        free(arg);
    }
}

/* --- The journal ------------------------------------------------------------*/

static const cJSON *find_call(const cJSON *events, const char *path, int status)
{
    const cJSON *event;
    cJSON_ArrayForEach(event, events) {
        if (strcmp(cJSON_GetStringValue(jsonx_member(event, "event")), "admin") == 0 &&
            strcmp(cJSON_GetStringValue(jsonx_member(event, "path")), path) == 0 &&
            jsonx_member(event, "status")->valueint == status)
            return event;
    }
    fail_msg("no %s with %d in the journal", path, status);
    return NULL;
}

static int count_calls(const cJSON *events, const char *path)
{
    const cJSON *event;
    int n = 0;
    cJSON_ArrayForEach(event, events) {
        const char *its = cJSON_GetStringValue(jsonx_member(event, "path"));
        n += its != NULL && strcmp(its, path) == 0;
    }
    return n;
}

static void test_journal(void **state)
{
    (void)state;
    struct server *s = start_with("", TOKEN);
    ask(s, "POST", "/admin/toggle-slowdown", "X-Request-ID: mine\r\n" BEARER(TOKEN), NULL);
    ask(s, "POST", "/admin/rollback-canary", BEARER(TOKEN), NULL);
    ask(s, "POST", "/admin/deploy-canary", NULL, "{\"model_path\":\"model_v2.json\"}");
    for (int i = 0; i < 20; i++)
        answer_is(ask(s, "GET", "/admin/status", BEARER(TOKEN), NULL), 200);
    const struct http_answer *a = ask(s, "GET", "/admin/events", BEARER(TOKEN), NULL);
    const cJSON *events = answer_member(a, "events");
    const cJSON *call = find_call(events, "/admin/toggle-slowdown", 200);
    assert_string_equal(cJSON_GetStringValue(jsonx_member(call, "request_id")), "mine");
    assert_memory_equal(cJSON_GetStringValue(jsonx_member(call, "peer")), "127.0.0.1:", 10);
    assert_string_equal(cJSON_GetStringValue(jsonx_member(call, "method")), "POST");
    assert_true(cJSON_IsTrue(jsonx_member(call, "token")));
    find_call(events, "/admin/rollback-canary", 409);
    call = find_call(events, "/admin/deploy-canary", 401);
    assert_true(cJSON_IsFalse(jsonx_member(call, "token")));
    assert_int_equal(count_calls(events, "/admin/status"), 1); /* who looks is told once */
    server_stop(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SERVER_TEST(test_token),
        SERVER_TEST(test_token_with_a_nul),
        SERVER_TEST(test_failures),
        SERVER_TEST(test_token_changes),
        SERVER_TEST(test_bad_token_files),
        SERVER_TEST(test_no_token_on_the_command_line),
        SERVER_TEST(test_cross_site),
        SERVER_TEST(test_rebinding),
        SERVER_TEST(test_unix_socket),
        SERVER_TEST(test_beside_a_full_port),
        SERVER_TEST(test_strangers_at_the_socket),
        SERVER_TEST(test_admin_port),
        SERVER_TEST(test_bad_doors),
        SERVER_TEST(test_journal),
    };
    return cmocka_run_group_tests_name("access", tests, NULL, NULL);
}
