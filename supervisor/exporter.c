/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The job's three ends: its exit (pidfd), its reason (a pipe) and its deadline.
 * The exit decides; the reason is read then, because the pipe of a process that
 * left a child behind might stay open for ever.
 */
#include "supervisor/exporter.h"

#include <ctype.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include <event2/event.h>

#include "common/clock.h"
#include "common/fdio.h"
#include "common/jsonx.h"
#include "common/mem.h"
#include "supervisor/modelref.h"
#include "supervisor/python.h"
#include "supervisor/spawn.h"
#include "supervisor/words.h"

struct exporter {
    struct exporter_listener listener;
    struct exporter_options options;
    char *name;
    struct spawned child;
    struct words *words;
    int reason_fd; /* our end of the pipe */
    int native_fd; /* memfd that the child writes */
    bool timed_out;
    bool cancelled;
    struct event *on_exit;
    struct event *on_deadline;
};

static void exporter_free(struct exporter *x)
{
    if (x->on_exit != NULL)
        event_free(x->on_exit);
    if (x->on_deadline != NULL)
        event_free(x->on_deadline);
    words_free(&x->words);
    fd_close(&x->child.pidfd);
    fd_close(&x->reason_fd);
    fd_close(&x->native_fd);
    free(x->name);
    free(x);
}

/* Reads the first line that is not blank into said, as valid UTF-8; "" if there
 * is none. */
static void read_reason(int fd, char *said, size_t size)
{
    ssize_t n = read(fd, said, size - 1);
    said[n > 0 ? n : 0] = '\0';
    const char *line = said + strspn(said, " \t\r\n");
    size_t length = strcspn(line, "\n");
    while (length > 0 && isspace((unsigned char)line[length - 1]))
        length--;
    memmove(said, line, length);
    said[length] = '\0';
    jsonx_clean_utf8(said);
}

/* What the signals mean that the cage sends. */
static const struct meaning {
    int signal;
    const char *code, *text;
} meanings[] = {
    {SIGSYS, "model-invalid",
     "the model file tried to do what no model needs to (killed by SIGSYS)"},
    {SIGXFSZ, "model-invalid", "the model file tried to write too much (killed by SIGXFSZ)"},
    {SIGXCPU, "worker-start-timeout",
     "the model file took longer than start_timeout_ms of processor time (killed by SIGXCPU)"},
};

/* NULL: it was nothing of that. */
static const struct meaning *meaning_of(const char *how)
{
    char start[24];
    for (size_t i = 0; i < sizeof meanings / sizeof meanings[0]; i++) {
        snprintf(start, sizeof start, "signal %d ", meanings[i].signal);
        if (strncmp(how, start, strlen(start)) == 0)
            return &meanings[i];
    }
    return NULL;
}

static void explain_silence(const struct exporter *x, const char *how, struct err *e)
{
    const struct meaning *m = meaning_of(how);
    const char *last = words_last(x->words);
    char ended[120];
    snprintf(ended, sizeof ended, "the export ended with %s and no reason", how);
    err_set(e, m != NULL ? m->code : "model-invalid", "%s: %s%s%s", x->name,
            m != NULL ? m->text : ended, last[0] != '\0' ? "; last words: " : "", last);
}

static const char *refusal_code(const char *how)
{
    static const struct {
        int status;
        const char *code;
    } codes[] = {{EXPORTER_EXIT_INEXPRESSIBLE, "model-inexpressible"}, {EX_NOPERM, "cage-missing"}};
    char exit_status[32];
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        snprintf(exit_status, sizeof exit_status, "exit status %d", codes[i].status);
        if (strcmp(how, exit_status) == 0)
            return codes[i].code;
    }
    return "model-invalid";
}

/* What the child said, or what became of it. */
static void explain_exit(struct exporter *x, const char *how, struct err *e)
{
    char said[401];
    read_reason(x->reason_fd, said, sizeof said);
    if (x->cancelled)
        err_set(e, "cancelled", "%s: the export was cancelled", x->name);
    else if (said[0] != '\0')
        err_set(e, refusal_code(how), "%s: %s", x->name, said);
    else if (x->timed_out)
        err_set(e, "worker-start-timeout", "%s: the export was not done within %lld ms", x->name,
                (long long)x->options.timeout_ms);
    else
        explain_silence(x, how, e);
}

static int check_result(struct exporter *x, struct err *e)
{
    struct stat st;
    if (fstat(x->native_fd, &st) < 0 || st.st_size == 0)
        return err_set(e, "model-invalid", "%s: the export produced nothing", x->name);
    if (st.st_size > x->options.max_bytes)
        return err_set(e, "model-too-large",
                       "%s: in the native format it has %lld bytes; max_model_bytes is %lld",
                       x->name, (long long)st.st_size, (long long)x->options.max_bytes);
    if (memfd_seal(x->native_fd) < 0)
        return err_set_errno(e, "model-invalid", "%s: the export cannot be sealed", x->name);
    return 0;
}

static void on_deadline(evutil_socket_t fd, short what, void *arg)
{
    struct exporter *x = arg;
    (void)fd, (void)what;
    x->timed_out = true;
    spawn_kill(&x->child);
}

static void on_exit_of_child(evutil_socket_t fd, short what, void *arg)
{
    struct exporter *x = arg;
    struct err e = {0};
    char how[80];
    int native_fd = -1;
    (void)what;
    if (spawn_reap(fd, how, sizeof how) < 0)
        return;
    words_read_rest(x->words);
    if (x->cancelled || strcmp(how, "exit status 0") != 0)
        explain_exit(x, how, &e);
    else if (check_result(x, &e) == 0) {
        native_fd = x->native_fd;
        x->native_fd = -1;
    }
    struct exporter_listener listener = x->listener;
    exporter_free(x);
    listener.done(listener.arg, native_fd, &e);
}

/* Descriptors of the child from 3 on: reason, pickle, result, filter. */
static int spawn_python(struct exporter *x, const int fds[SPAWN_MAX_FDS], int output_fd,
                        struct err *e)
{
    char user[32];
    snprintf(user, sizeof user, "%u:%u", x->options.uid, x->options.gid);
    const char *const argv[] = {x->options.python,
                                "-I",
                                "-B",
                                x->options.program,
                                "--from-fd",
                                "4",
                                "--to-fd",
                                "5",
                                "--reason-fd",
                                "3",
                                "--source-name",
                                x->name,
                                "--cage-fd",
                                "6",
                                "--user",
                                user,
                                x->options.allow_uncaged ? "--allow-uncaged" : NULL,
                                NULL};
    struct spawn_request request = {
        .argv = argv,
        .n_fds = SPAWN_MAX_FDS,
        .output_fd = output_fd,
        /* It changes user itself: root's Python may lie where nobody else can read. */
        .limits = {.memory_bytes = x->options.memory_bytes,
                   .file_bytes = x->options.max_bytes + 1,
                   .cpu_ms = x->options.timeout_ms},
    };
    memcpy(request.fds, fds, sizeof request.fds);
    return spawn(&request, &x->child, e);
}

static int start_with_output(struct exporter *x, int pickle_fd, int output_fd, struct err *e)
{
    int pipe_fds[2];
    if (pipe2(pipe_fds, O_CLOEXEC) < 0)
        return err_set_errno(e, "spawn-failed", "pipe");
    x->reason_fd = pipe_fds[0];
    fd_set_nonblock(x->reason_fd);
    x->native_fd = memfd_create("canaryd-native", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    const int fds[SPAWN_MAX_FDS] = {pipe_fds[1], pickle_fd, x->native_fd, python_filter_fd()};
    int rc = x->native_fd < 0 ? err_set_errno(e, "spawn-failed", "memfd_create")
                              : spawn_python(x, fds, output_fd, e);
    fd_close(&pipe_fds[1]);
    return rc;
}

static int start_child(struct exporter *x, struct event_base *base, int pickle_fd, struct err *e)
{
    char who[64];
    int output_fd = -1;
    x->words = words_new(base, &output_fd);
    if (x->words == NULL)
        return err_set_errno(e, "spawn-failed", "pipe");
    int rc = start_with_output(x, pickle_fd, output_fd, e);
    fd_close(&output_fd);
    snprintf(who, sizeof who, "export %d (%.40s)", (int)x->child.pid, x->name);
    words_set_who(x->words, who);
    return rc;
}

static void watch_child(struct exporter *x, struct event_base *base)
{
    struct timeval deadline = clock_span(x->options.timeout_ms);
    x->on_exit = event_new(base, x->child.pidfd, EV_READ | EV_PERSIST, on_exit_of_child, x);
    x->on_deadline = evtimer_new(base, on_deadline, x);
    event_add(x->on_exit, NULL);
    event_add(x->on_deadline, &deadline);
}

struct exporter *exporter_start(struct event_base *base, const struct exporter_options *options,
                                const char *name, int pickle_fd,
                                const struct exporter_listener *listener, struct err *e)
{
    const struct python_job job = {
        .what = "exporting it", .program = options->program, .setting = "exporter_program"};
    if (python_check(options->python, &job, name, e) < 0)
        return NULL;
    struct exporter *x = mem_alloc(sizeof *x);
    *x = (struct exporter){.listener = *listener,
                           .options = *options,
                           .name = mem_strdup(name),
                           .child = {.pidfd = -1},
                           .reason_fd = -1,
                           .native_fd = -1};
    if (start_child(x, base, pickle_fd, e) < 0) {
        exporter_free(x);
        return NULL;
    }
    watch_child(x, base);
    return x;
}

void exporter_cancel(struct exporter *x)
{
    x->cancelled = true;
    spawn_kill(&x->child);
}
