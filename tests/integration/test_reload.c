/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The settings file, SIGHUP and the exit codes of a start that fails.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/mem.h"
#include "tests/support/answer.h"
#include "tests/support/server.h"
#include "tests/support/status.h"

#define CONFIG(rest) "{\n // a comment\n \"auto_rollback\": false" rest "\n}\n"

struct news { /* what is awaited in the log, after what is there already */
    size_t before;
    const char *says;
};

static bool has_come(struct server *s, void *arg)
{
    const struct news *news = arg;
    const char *log = server_log(s);
    size_t n = strlen(log);
    return n > news->before && log[n - 1] == '\n' && strstr(log + news->before, news->says) != NULL;
}

/* SIGHUP with this file, until the log has got a line that says so. */
static void reload(struct server *s, const char *config, const char *says)
{
    struct news news = {.before = strlen(server_log(s)), .says = says};
    char *what = mem_printf("\"%s\" in its log after the reload of %s", says, config);
    server_write_config(s, config);
    server_signal(s, SIGHUP);
    server_wait_until(s, has_come, &news, what, 10000);
    free(what);
}

static void expect_idle_on_v1(struct server *s, pid_t stable)
{
    status_wait_state(s, "idle"); /* a missing model is looked for in its own time */
    const struct http_answer *a = status_get(s);
    answer_string_is(a, "state", "idle");
    answer_is_null(a, "canary");
    answer_string_is(a, "stable.model", "model_v1.json");
    assert_int_equal(status_pid(s, "stable"), stable);
    server_predict(s);
}

static void test_reload_deploys(void **state)
{
    (void)state;
    struct server *s = server_start_config(CONFIG(""), NULL);
    pid_t stable = status_pid(s, "stable");
    reload(s, CONFIG(", \"canary_model\": \"model_v2.json\", \"canary_percent\": 50"), "");
    status_wait_state(s, "canary");
    const struct http_answer *a = status_get(s);
    answer_string_is(a, "canary.model", "model_v2.json");
    assert_near(answer_number(a, "canary_percent"), 50, 0, "canary_percent");
    assert_int_equal(status_pid(s, "stable"), stable);
    int n_canary = 0;
    for (int i = 0; i < 40; i++)
        n_canary += strcmp(answer_string(server_predict(s), "model_used"), "canary") == 0;
    assert_int_equal(n_canary, 20);
    server_stop(s);
}

static bool serves_v1_as_canary(struct server *s, void *arg)
{
    (void)arg;
    const cJSON *canary = answer_member(status_get(s), "canary");
    const char *model = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(canary, "model"));
    return model != NULL && strcmp(model, "model_v1.json") == 0;
}

/* A SIGHUP means it: no "replace" is asked for. */
static void test_reload_replaces(void **state)
{
    (void)state;
    struct server *s = server_start_config(CONFIG(", \"canary_model\": \"model_v2.json\""), NULL);
    status_wait_state(s, "canary");
    reload(s, CONFIG(", \"canary_model\": \"model_v1.json\""), "");
    server_wait_until(s, serves_v1_as_canary, NULL, "the other canary", 20000);
    server_stop(s);
}

static void test_unchanged_file(void **state)
{
    (void)state;
    const char *config = CONFIG(", \"canary_model\": \"model_v2.json\"");
    struct server *s = server_start_config(config, NULL);
    status_wait_state(s, "canary");
    pid_t canary = status_pid(s, "canary");
    reload(s, config, "");
    assert_int_equal(status_pid(s, "canary"), canary);
    /* What was rolled back stays so until the file says something else. */
    answer_is(server_post(s, "/admin/rollback-canary", NULL), 200);
    status_wait_state(s, "idle");
    reload(s, config, "");
    status_wait_state(s, "idle");
    answer_is_null(status_get(s), "canary");
    server_stop(s);
}

static const struct {
    const char *config;
    const char *says; /* in the log */
} bad_files[] = {
    {"{ \"auto_rollback\": false,", "byte"},
    {"{} {}", "byte"},
    {"[]", "object"},
    {"{ \"canary_modle\": \"model_v2.json\" }", "canary_model"},
    {"{ \"canary_percent\": 60 }", "canary_percent"},
    {"{ \"canary_percent\": \"ten\" }", "canary_percent"},
    {"{ \"canary_percent\": 10, \"canary_percent\": 20 }", "canary_percent"},
    {"{ \"log_level\": \"loud\" }", "log_level"},
    {"{ \"canary_model\": \"missing.json\" }", "missing.json"},
    {"{ \"canary_model\": \"../etc/passwd\" }", "passwd"},
};

static void test_bad_files(void **state)
{
    (void)state;
    struct server *s = server_start_config(CONFIG(""), NULL);
    pid_t stable = status_pid(s, "stable");
    for (size_t i = 0; i < sizeof bad_files / sizeof bad_files[0]; i++) {
        reload(s, bad_files[i].config, bad_files[i].says);
        expect_idle_on_v1(s, stable);
    }
    reload(s, CONFIG(", \"canary_model\": \"model_v2.json\""), ""); /* and still it listens */
    status_wait_state(s, "canary");
    server_stop(s);
}

/* Runs canaryd to its end: the exit code and, in the log, what it said. */
static int run(struct server *s, const char *const args[])
{
    server_launch(s, args);
    int code = server_wait_exit(s, 20000);
    server_forget(s);
    return code;
}

static const struct {
    const char *config; /* NULL: no file */
    const char *arg;
    int code;
    const char *says;
} starts[] = {
    {CONFIG(""), "--check-config", 0, ""},
    {NULL, "--check-config", 0, ""},
    {"{ \"canary_percnt\": 5 }", "--check-config", 78, "canary_percent"},
    {"{ \"alpha\": 0.05, \"alpha\": 0.05 }", "--check-config", 78, "alpha"},
    {"{ \"alpha\": ", "--check-config", 78, "byte"},
    {"{ \"canary_percent\": 0 }", "--check-config", 78, "canary_percent"},
    {"{ \"canary_percent\": 0 }", "--log-level=info", 78, "canary_percent"},
    {NULL, "--canary-percent=70", 78, "canary"},
    {NULL, "--canary-percnt=5", 64, "did you mean"},
    {NULL, "--frobnicate", 64, "frobnicate"},
    {NULL, "surplus", 64, "surplus"},
    {NULL, "--config=/nowhere/canaryd.json", 78, "/nowhere/canaryd.json"},
    {NULL, "--stable-model=missing.json", 78, "missing.json"},
    {NULL, "--model-dir=/nowhere", 78, "/nowhere"},
    {NULL, "--state-dir=/proc/nowhere", 73, "/proc/nowhere"},
    {NULL, "--listen=127.0.0.1", 78, "127.0.0.1"},
    {NULL, "--version", 0, CANARYD_VERSION},
    {NULL, "--help", 0, "canary-percent"},
};

static void test_exit_codes(void **state)
{
    (void)state;
    int n_bad = 0;
    for (size_t i = 0; i < sizeof starts / sizeof starts[0]; i++) {
        struct server *s = server_prepare();
        if (starts[i].config != NULL)
            server_write_config(s, starts[i].config);
        int code = run(s, (const char *const[]){starts[i].arg, NULL});
        if (code == starts[i].code && strstr(server_log(s), starts[i].says) != NULL)
            continue;
        print_error("%s with %s: expected %d and \"%s\", got %d:\n%s\n", starts[i].arg,
                    starts[i].config != NULL ? starts[i].config : "no file", starts[i].code,
                    starts[i].says, code, server_log(s));
        n_bad++;
    }
    assert_int_equal(n_bad, 0);
}

/* Who can write there chooses what is served. Sticky or not. */
static void test_directories_open_to_all(void **state)
{
    static const char *const names[] = {"state", "run"};
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct server *s = server_prepare();
        const char *dir = server_path(s, names[i]);
        assert_int_equal(chmod(dir, 01777), 0);
        assert_int_equal(run(s, NULL), 78);
        assert_true(server_log_says(s, "anybody may write to it"));
        assert_int_equal(rmdir(dir), 0); /* nothing was written */
    }
    struct server *s = server_prepare();
    assert_int_equal(chmod(server_path(s, "models"), 0777), 0);
    server_launch(s, NULL);
    server_wait_ready(s);
    assert_true(server_log_says(s, "model_dir: anybody may write"));
    server_stop(s);
}

static void test_port_in_use(void **state)
{
    (void)state;
    struct server *first = server_start(NULL);
    struct server *second = server_prepare();
    char listen[40];
    snprintf(listen, sizeof listen, "--listen=127.0.0.1:%d", first->port);
    assert_int_equal(run(second, (const char *const[]){listen, NULL}), 69);
    assert_true(server_log_says(second, listen + strlen("--listen=")));
    server_predict(first);
    server_stop(first);
}

static void test_state_dir_in_use(void **state)
{
    (void)state;
    struct server *first = server_start(NULL);
    struct server *second = server_prepare();
    char *state_dir = mem_printf("--state-dir=%s/state", first->dir);
    int code = run(second, (const char *const[]){state_dir, NULL});
    free(state_dir);
    assert_int_equal(code, 75);
    server_predict(first);
    server_stop(first);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SERVER_TEST(test_exit_codes),       SERVER_TEST(test_port_in_use),
        SERVER_TEST(test_state_dir_in_use), SERVER_TEST(test_reload_deploys),
        SERVER_TEST(test_reload_replaces),  SERVER_TEST(test_unchanged_file),
        SERVER_TEST(test_bad_files),        SERVER_TEST(test_directories_open_to_all),
    };
    return cmocka_run_group_tests_name("reload", tests, NULL, NULL);
}
