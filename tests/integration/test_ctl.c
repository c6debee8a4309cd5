/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The real canaryctl against the real canaryd: exit codes and key words. The
 * details of what it prints are its own unit tests' affair.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/clock.h"
#include "common/fdio.h"
#include "common/mem.h"
#include "tests/support/answer.h"
#include "tests/support/python.h"
#include "tests/support/server.h"
#include "tests/support/status.h"
#include "tests/support/workdir.h"

#define MAX_WORDS 12
#define CTL_MS    20000
#define DEMO_MS   100000

/* In the child: become canaryctl, with everything it says in one file. */
static _Noreturn void become(const char *program, char *const argv[], const char *url,
                             const char *out)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    setenv("CANARYD_URL", url, 1);
    int fd = open(out, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    if (fd < 0 || dup2(fd, 1) < 0 || dup2(fd, 2) < 0)
        _exit(126);
    execv(program, argv);
    _exit(127);
}

static int wait_for(pid_t pid, int ms)
{
    int status = 0;
    int64_t deadline = clock_mono_ns() + ms * NS_PER_MS;
    while (waitpid(pid, &status, WNOHANG) == 0) {
        if (clock_mono_ns() > deadline) {
            kill(pid, SIGKILL);
            waitpid(pid, &status, 0);
            break;
        }
        workdir_sleep_ms(5);
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* Runs "canaryctl line" against the server, and expects its exit code and words. */
static void ctl(struct server *s, const char *line, int code, const char *says, int ms)
{
    char *argv[MAX_WORDS + 2] = {NULL};
    size_t n = 0;
    const char *build = getenv("CANARYD_BUILD");
    char *program = mem_printf("%s/canaryctl", build != NULL ? build : "build");
    char *url = mem_printf("http://127.0.0.1:%d", s->port);
    char *words = mem_strdup(line);
    argv[n++] = program;
    for (char *rest = words, *word = strsep(&rest, " "); word != NULL && n <= MAX_WORDS;
         word = strsep(&rest, " "))
        argv[n++] = word;
    const char *out = server_path(s, "ctl.out");
    pid_t pid = fork();
    if (pid == 0)
        become(program, argv, url, out);
    int got = wait_for(pid, ms);
    char *text = workdir_read(out);
    if (got != code || text == NULL || strstr(text, says) == NULL)
        fail_msg("canaryctl %s: expected %d and \"%s\", got %d and:\n%s", line, code, says, got,
                 text != NULL ? text : "nothing");
    free(text);
    free(words);
    free(url);
    free(program);
}

static const struct {
    const char *line;
    int code;
    const char *says;
} lines[] = {
    {"status", 0, "model_v1.json"},
    {"health", 0, "No canary"},
    {"rollback", 1, "canary"},
    {"promote", 1, "canary"},
    {"deploy missing.json", 1, "missing.json"},
    {"deploy ../model_v2.json", 1, "model"},
    {"deploy model_v2.json --percent 60", 64, "percent"},
    {"deploy", 64, "deploy"},
    {"deploi model_v2.json", 64, "deploy"},
    {"status --frobnicate", 64, "frobnicate"},
    {"--url http://127.0.0.1:1 status", 69, "127.0.0.1:1"},
    {"deploy models/model_v2.json", 0, "model_v2.json"},
    {"deploy model_v2.json", 1, "canary"},
    {"deploy model_v2.json --replace --percent 25", 0, "model_v2.json"},
    {"status", 0, "model_v2.json"},
    {"health", 0, "sample"},
    {"slowdown", 0, ""},
    {"slowdown", 0, ""},
    {"rollback", 0, ""},
    {"deploy model_v2.json", 0, ""},
    {"promote", 0, "model_v2.json"},
    {"status", 0, "model_v2.json"},
    {"power --effect-ms 10 --sd-ms 15", 0, "79.7 %"},
    {"replay /dev/null", 65, "the file is empty"},
    {"--version", 0, CANARYD_VERSION},
    {"--help", 0, "deploy"},
};

static void test_commands(void **state)
{
    (void)state;
    struct server *s = server_start((const char *const[]){"--auto-rollback=false", NULL});
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++)
        ctl(s, lines[i].line, lines[i].code, lines[i].says, CTL_MS);
    status_wait_state(s, "idle");
    answer_string_is(status_get(s), "stable.model", "model_v2.json");
    server_stop(s);
}

/* The judge's decision, with what it was computed from. */
static void expect_basis(const char *path)
{
    char *text = NULL;
    size_t n;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(fd_read_file(fd, path, 1 << 20, &text, &n, NULL), 0);
    fd_close(&fd);
    assert_non_null(strstr(text, "\"basis\":[{\"test\":\"mean\",\"clock\":\"round_trip\""));
    assert_non_null(strstr(text, "\"bets\":[{\"ln_wealths\":["));
    free(text);
}

static void test_demo(void **state)
{
    (void)state;
    struct server *s = server_start(NULL);
    ctl(s, "demo --requests 400 --pause-ms 0 --model models/model_v2.json", 0,
        "Everything happened as it should.", DEMO_MS);
    char *line = mem_printf("replay %s", server_path(s, "state/journal.jsonl"));
    ctl(s, line, 0, "{\"decisions\":1,\"agree\":1}", CTL_MS);
    free(line);
    expect_basis(server_path(s, "state/journal.jsonl"));
    server_stop(s);
}

static void test_demo_of_joblib(void **state)
{
    (void)state;
    SKIP_WITHOUT_SKLEARN();
    struct server *s = server_start(NULL);
    ctl(s, "demo --requests 400 --pause-ms 0 --workflow promote --model models/model_v2.joblib", 0,
        "Everything happened as it should.", DEMO_MS);
    server_stop(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SERVER_TEST(test_commands),
        SERVER_TEST(test_demo),
        SERVER_TEST(test_demo_of_joblib),
    };
    return cmocka_run_group_tests_name("ctl", tests, NULL, NULL);
}
