/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * See local.h.
 */
#include "ctl/local.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "common/clock.h"
#include "common/fdio.h"
#include "common/mem.h"

#define READ_BYTES 16384

static int open_socket(const char *path, struct err *e)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof to.sun_path)
        return err_set(e, "unreachable", "%s is too long for a socket's path", path);
    memcpy(to.sun_path, path, strlen(path));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (const struct sockaddr *)&to, sizeof to) < 0) {
        err_set_errno(e, "unreachable", "%s", path);
        fd_close(&fd);
    }
    return fd;
}

/* Waits until there is something to read; -1 with err after the deadline. */
static int wait_readable(int fd, int64_t deadline_ns, struct err *e)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    int rc;
    do {
        int64_t left_ns = deadline_ns - clock_mono_ns();
        rc = left_ns <= 0 ? 0 : poll(&p, 1, (int)(left_ns / NS_PER_MS) + 1);
    } while (rc < 0 && errno == EINTR);
    return rc > 0 ? 0 : err_set(e, "timeout", "no answer in time");
}

static int read_all(int fd, size_t max, int64_t deadline_ns, struct local_answer *a, struct err *e)
{
    for (;;) {
        if (wait_readable(fd, deadline_ns, e) < 0)
            return -1;
        a->text = mem_resize(a->text, a->n + READ_BYTES + 1, 1);
        ssize_t n = recv(fd, a->text + a->n, READ_BYTES, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_set_errno(e, "bad-answer", "the connection was lost");
        a->n += (size_t)n;
        a->text[a->n] = '\0';
        if (n == 0)
            return 0;
        if (a->n > max)
            return err_set(e, "bad-answer", "the answer is longer than %zu bytes", max);
    }
}

/* Finds status and body, and checks that all of the body is there. */
static int take_apart(struct local_answer *a, struct err *e)
{
    char length[24];
    const char *blank = strstr(a->text, "\r\n\r\n");
    if (blank == NULL || sscanf(a->text, "HTTP/1.%*1[01] %3d", &a->status) != 1)
        return err_set(e, "bad-answer", "%s",
                       a->n == 0 ? "it closed the connection without one"
                                 : "it does not speak HTTP");
    a->body = (size_t)(blank - a->text) + 4;
    local_header(a, "Content-Length", length, sizeof length);
    if (length[0] != '\0' && strtoull(length, NULL, 10) != a->n - a->body)
        return err_set(e, "bad-answer", "it closed the connection before the answer was whole");
    return 0;
}

int local_ask(const char *path, const char *request, size_t max, int64_t deadline_ns,
              struct local_answer *a, struct err *e)
{
    *a = (struct local_answer){0};
    int fd = open_socket(path, e);
    if (fd < 0)
        return -1;
    int rc = fd_write_all(fd, request, strlen(request)) < 0 && errno != EPIPE
                 ? err_set_errno(e, "bad-answer", "the request could not be sent")
                 : read_all(fd, max, deadline_ns, a, e);
    fd_close(&fd);
    if (rc == 0)
        rc = take_apart(a, e);
    if (rc < 0) {
        free(a->text);
        *a = (struct local_answer){0};
    }
    return rc;
}

void local_header(const struct local_answer *a, const char *name, char *value, size_t size)
{
    size_t n = strlen(name);
    const char *end = strstr(a->text, "\r\n\r\n");
    value[0] = '\0';
    for (const char *line = strstr(a->text, "\r\n"); line != NULL && line < end;
         line = strstr(line + 2, "\r\n")) {
        const char *at = line + 2;
        if (strncasecmp(at, name, n) != 0 || at[n] != ':')
            continue;
        at += n + 1;
        at += strspn(at, " \t");
        snprintf(value, size, "%.*s", (int)strcspn(at, "\r\n"), at);
    }
}
