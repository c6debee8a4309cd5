/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The job's three ends: its exit (pidfd), its reason (a pipe) and its deadline.
 * The exit decides; the reason is read then, because the pipe of a process that
 * left a child behind might stay open for ever.
 */
#include "supervisor/exporter.h"

#include <ctype.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
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

static const char *refusal_code(const char *how)
{
    char inexpressible[32];
    snprintf(inexpressible, sizeof inexpressible, "exit status %d", EXPORTER_EXIT_INEXPRESSIBLE);
    return strcmp(how, inexpressible) == 0 ? "model-inexpressible" : "model-invalid";
}

/* What the child said, or what became of it. */
static void explain_exit(struct exporter *x, const char *how, struct err *e)
{
    char said[401];
    read_reason(x->reason_fd, said, sizeof said);
    if (x->cancelled) {
        err_set(e, "cancelled", "%s: the export was cancelled", x->name);
    } else if (said[0] != '\0') {
        err_set(e, refusal_code(how), "%s: %s", x->name, said);
    } else if (x->timed_out) {
        err_set(e, "worker-start-timeout", "%s: the export was not done within %lld ms", x->name,
                (long long)x->options.timeout_ms);
    } else {
        const char *last = words_last(x->words);
        err_set(e, "model-invalid", "%s: the export ended with %s and no reason%s%s", x->name, how,
                last[0] != '\0' ? "; last words: " : "", last);
    }
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

static int start_with_output(struct exporter *x, int pickle_fd, int output_fd, struct err *e)
{
    int pipe_fds[2];
    if (pipe2(pipe_fds, O_CLOEXEC) < 0)
        return err_set_errno(e, "spawn-failed", "pipe");
    x->reason_fd = pipe_fds[0];
    fd_set_nonblock(x->reason_fd);
    x->native_fd = memfd_create("canaryd-native", MFD_CLOEXEC | MFD_ALLOW_SEALING);
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
                                NULL};
    struct spawn_request request = {.argv = argv,
                                    .fds = {pipe_fds[1], pickle_fd, x->native_fd},
                                    .n_fds = 3,
                                    .output_fd = output_fd};
    int rc = x->native_fd < 0 ? err_set_errno(e, "spawn-failed", "memfd_create")
                              : spawn(&request, &x->child, e);
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
