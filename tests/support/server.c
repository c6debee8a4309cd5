/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * See server.h. One list holds all servers of the program, for the teardown.
 */
#include "tests/support/server.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/clock.h"
#include "common/mem.h"
#include "tests/support/workdir.h"

#define MAX_ARGS 32

struct kept { /* an answer or a text that lives until the teardown */
    struct kept *next;
    struct http_answer answer;
    char *text;
};

struct entry {
    struct server server; /* first: the public part */
    struct entry *next;
    char *dir;
    struct http *http;
    struct kept *kept;
    bool in_order;
    void (*before)(void *arg); /* in the child; NULL: nothing */
    void *before_arg;
};

static struct entry *entries;

static struct entry *entry_of(struct server *s)
{
    return (struct entry *)s;
}

static const char *keep_text(struct server *s, char *text)
{
    struct kept *k = mem_alloc(sizeof *k);
    k->text = text;
    k->next = entry_of(s)->kept;
    entry_of(s)->kept = k;
    return text;
}

const char *server_path(struct server *s, const char *name)
{
    return keep_text(s, workdir_path(s->dir, name));
}

static const char *models_here(void)
{
    const char *dir = getenv("CANARYD_MODELS");
    return dir != NULL ? dir : "models";
}

static void copy_models(const char *to)
{
    static const char *const names[] = {"model_v1.json", "model_v2.json", "model_v1.joblib",
                                        "model_v2.joblib"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char *from = workdir_path(models_here(), names[i]);
        if (workdir_exists(from))
            workdir_copy(from, to, names[i]);
        free(from);
    }
}

struct server *server_prepare(void)
{
    struct entry *x = mem_alloc(sizeof *x);
    x->next = entries;
    entries = x;
    x->dir = workdir_new();
    x->server.dir = x->dir;
    const char *models = server_path(&x->server, "models");
    if (mkdir(models, 0755) != 0 || mkdir(server_path(&x->server, "state"), 0755) != 0 ||
        mkdir(server_path(&x->server, "run"), 0755) != 0)
        fail_msg("making the folders of %s: %s", x->dir, strerror(errno));
    copy_models(models);
    return &x->server;
}

/* Has the test given this setting itself? */
static bool is_given(const char *const args[], const char *setting)
{
    for (; args != NULL && *args != NULL; args++)
        if (strncmp(*args, setting, strlen(setting)) == 0)
            return true;
    return false;
}

static void fill_args(struct server *s, const char *const args[], char *argv[MAX_ARGS])
{
    static const struct {
        const char *setting, *file;
    } ours[] = {{"--state-dir=", "state"},
                {"--runtime-dir=", "run"},
                {"--model-dir=", "models"},
                {"--config=", "canaryd.json"}};
    const char *build = getenv("CANARYD_BUILD");
    size_t n = 0;
    argv[n++] = mem_printf("%s/canaryd", build != NULL ? build : "build");
    for (size_t i = 0; args != NULL && args[i] != NULL && n < MAX_ARGS - 6; i++)
        argv[n++] = mem_strdup(args[i]);
    if (!is_given(args, "--listen="))
        argv[n++] = mem_strdup("--listen=127.0.0.1:0");
    for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++) {
        const char *path = server_path(s, ours[i].file);
        if (!is_given(args, ours[i].setting) && workdir_exists(path))
            argv[n++] = mem_printf("%s%s", ours[i].setting, path);
    }
    argv[n] = NULL;
}

/* In the child: never outlive the test, talk into the log, become canaryd. */
static _Noreturn void become(const struct entry *x, pid_t parent, const char *log,
                             char *const argv[])
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(126);
    setpgid(0, 0);
    int in = open("/dev/null", O_RDONLY);
    int out = open(log, O_WRONLY | O_CREAT | O_APPEND, 0644);
    if (in < 0 || out < 0 || dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(out, 2) < 0)
        _exit(126);
    if (x->before != NULL)
        x->before(x->before_arg);
    execv(argv[0], argv);
    dprintf(2, "%s: %s\n", argv[0], strerror(errno));
    _exit(127);
}

void server_set_before(struct server *s, void (*before)(void *arg), void *arg)
{
    entry_of(s)->before = before;
    entry_of(s)->before_arg = arg;
}

void server_launch(struct server *s, const char *const args[])
{
    char *argv[MAX_ARGS];
    const char *log = server_path(s, "log");
    fill_args(s, args, argv);
    unlink(server_path(s, "run/listen")); /* of an earlier life */
    s->port = 0;
    pid_t parent = getpid();
    s->pid = fork();
    if (s->pid == 0)
        become(entry_of(s), parent, log, argv);
    for (size_t i = 0; argv[i] != NULL; i++)
        free(argv[i]);
    if (s->pid < 0)
        fail_msg("fork: %s", strerror(errno));
}

static bool is_listening(struct server *s, void *arg)
{
    (void)arg;
    int port = 0;
    char end = '\0';
    char *text = workdir_read(server_path(s, "run/listen"));
    bool whole = text != NULL && sscanf(text, "127.0.0.1:%d%c", &port, &end) == 2 && end == '\n';
    free(text);
    if (whole)
        s->port = (uint16_t)port;
    return whole;
}

void server_wait_ready(struct server *s)
{
    server_wait_until(s, is_listening, NULL, "its address in run/listen", SERVER_START_MS);
}

struct server *server_start(const char *const args[])
{
    struct server *s = server_prepare();
    server_launch(s, args);
    server_wait_ready(s);
    return s;
}

struct server *server_start_config(const char *config, const char *const args[])
{
    struct server *s = server_prepare();
    server_write_config(s, config);
    server_launch(s, args);
    server_wait_ready(s);
    return s;
}

void server_signal(struct server *s, int signal)
{
    if (s->pid <= 0 || kill(s->pid, signal) != 0)
        fail_msg("signal %d: the server is not there", signal);
}

/* Has it exited? Then *code is filled and the pid is no more. */
static bool reap(struct server *s, int *code)
{
    int status = 0;
    if (s->pid <= 0 || waitpid(s->pid, &status, WNOHANG) != s->pid)
        return false;
    s->pid = 0;
    *code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    return true;
}

int server_wait_exit(struct server *s, int ms)
{
    int code = -1;
    int64_t deadline = clock_mono_ns() + ms * NS_PER_MS;
    while (!reap(s, &code)) {
        if (clock_mono_ns() > deadline)
            fail_msg("the server is still there after %d ms", ms);
        workdir_sleep_ms(2);
    }
    http_close(&entry_of(s)->http);
    return code;
}

void server_forget(struct server *s)
{
    entry_of(s)->in_order = true;
}

void server_stop(struct server *s)
{
    server_signal(s, SIGTERM);
    int code = server_wait_exit(s, SERVER_STOP_MS);
    if (code != 0)
        fail_msg("canaryd ended with %d after SIGTERM instead of 0", code);
    server_forget(s);
}

void server_wait_until(struct server *s, bool (*holds)(struct server *s, void *arg), void *arg,
                       const char *what, int ms)
{
    int code = 0;
    int64_t deadline = clock_mono_ns() + ms * NS_PER_MS;
    while (!holds(s, arg)) {
        if (reap(s, &code))
            fail_msg("canaryd ended with %d while the test waited for %s", code, what);
        if (clock_mono_ns() > deadline)
            fail_msg("waited %d ms in vain for %s", ms, what);
        workdir_sleep_ms(5);
    }
}

const char *server_log(struct server *s)
{
    char *text = workdir_read(server_path(s, "log"));
    return keep_text(s, text != NULL ? text : mem_strdup(""));
}

bool server_log_says(struct server *s, const char *text)
{
    char *log = workdir_read(server_path(s, "log"));
    bool says = log != NULL && strstr(log, text) != NULL;
    free(log);
    return says;
}

static bool log_says(struct server *s, void *arg)
{
    return server_log_says(s, arg);
}

void server_wait_log(struct server *s, const char *text)
{
    char *wanted = mem_strdup(text);
    char *what = mem_printf("\"%s\" in its log", text);
    server_wait_until(s, log_says, wanted, what, 10000);
    free(wanted);
    free(what);
}

void server_write_config(struct server *s, const char *config)
{
    workdir_write_text(s->dir, "canaryd.json.new", config);
    const char *from = server_path(s, "canaryd.json.new");
    if (rename(from, server_path(s, "canaryd.json")) != 0)
        fail_msg("%s: %s", from, strerror(errno));
}

const struct http_answer *server_ask(struct server *s, const struct http_request *r)
{
    struct entry *x = entry_of(s);
    struct err e = {0};
    if (x->http != NULL && !http_is_idle(x->http))
        http_close(&x->http);
    if (x->http == NULL)
        x->http = http_open(s->port, &e);
    struct kept *k = mem_alloc(sizeof *k);
    k->next = x->kept;
    x->kept = k;
    if (x->http == NULL || http_ask(x->http, r, &k->answer, &e) != 0) {
        http_close(&x->http);
        fail_msg("%s: %s", r->path, e.text);
    }
    if (k->answer.closes)
        http_close(&x->http);
    return &k->answer;
}

void server_hang_up(struct server *s)
{
    http_close(&entry_of(s)->http);
}

const struct http_answer *server_get(struct server *s, const char *path)
{
    return server_ask(s, &(struct http_request){.path = path});
}

const struct http_answer *server_post(struct server *s, const char *path, const char *body)
{
    return server_ask(
        s, &(struct http_request){.method = "POST",
                                  .path = path,
                                  .headers = body ? "Content-Type: application/json\r\n" : NULL,
                                  .body = body});
}

const struct http_answer *server_predict(struct server *s)
{
    const struct http_answer *a = server_post(s, "/predict", GOOD_FEATURES);
    if (a->status != 200)
        fail_msg("/predict: %s%s", a->head, a->body);
    return a;
}

static void end(struct entry *x)
{
    struct kept *next;
    if (x->server.pid > 0) {
        kill(x->server.pid, SIGKILL);
        waitpid(x->server.pid, NULL, 0);
    }
    char *log = x->in_order ? NULL : workdir_read(server_path(&x->server, "log"));
    if (!x->in_order)
        fprintf(stderr, "the log of canaryd in %s:\n%s\n", x->dir, log != NULL ? log : "(none)");
    free(log);
    http_close(&x->http);
    for (struct kept *k = x->kept; k != NULL; k = next) {
        next = k->next;
        http_answer_clear(&k->answer);
        free(k->text);
        free(k);
    }
    workdir_free(&x->dir);
    free(x);
}

int server_teardown(void **state)
{
    (void)state;
    while (entries != NULL) {
        struct entry *x = entries;
        entries = x->next;
        end(x);
    }
    return 0;
}
