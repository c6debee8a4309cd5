/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * See http.h. What has come and was not yet asked for waits in h->in.
 */
#include "tests/support/http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/fdio.h"
#include "common/jsonx.h"
#include "common/mem.h"

struct http {
    int fd;
    char *in;
    size_t n_in, room;
};

struct http *http_open(uint16_t port, struct err *e)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (const struct sockaddr *)&to, sizeof to) != 0) {
        err_set_errno(e, "refused", "connecting to port %d", port);
        fd_close(&fd);
        return NULL;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    struct http *h = mem_alloc(sizeof *h);
    h->fd = fd;
    http_set_timeout(h, HTTP_TIMEOUT_MS);
    return h;
}

void http_close(struct http **h)
{
    if (*h == NULL)
        return;
    fd_close(&(*h)->fd);
    free((*h)->in);
    free(*h);
    *h = NULL;
}

void http_set_timeout(struct http *h, int ms)
{
    struct timeval t = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
    setsockopt(h->fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t);
    setsockopt(h->fd, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof t);
}

bool http_is_idle(struct http *h)
{
    struct pollfd p = {.fd = h->fd, .events = POLLIN};
    return h->n_in == 0 && poll(&p, 1, 0) == 0;
}

int http_send(struct http *h, const void *bytes, size_t n, struct err *e)
{
    const char *at = bytes;
    while (n > 0) {
        ssize_t sent = send(h->fd, at, n, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0 && (errno == EPIPE || errno == ECONNRESET))
            return 0;
        if (sent < 0)
            return err_set_errno(e, errno == EAGAIN ? "timeout" : "send", "sending");
        at += sent;
        n -= (size_t)sent;
    }
    return 0;
}

int http_send_request(struct http *h, const struct http_request *r, struct err *e)
{
    size_t n_body = r->body == NULL ? 0 : r->n_body != 0 ? r->n_body : strlen(r->body);
    char length[48] = "";
    if (r->body != NULL)
        snprintf(length, sizeof length, "Content-Length: %zu\r\n", n_body);
    char *head = mem_printf("%s %s HTTP/1.1\r\nHost: localhost\r\n%s%s\r\n",
                            r->method != NULL ? r->method : "GET", r->path,
                            r->headers != NULL ? r->headers : "", length);
    size_t n_head = strlen(head);
    head = mem_resize(head, n_head + n_body + 1, 1);
    if (n_body > 0)
        memcpy(head + n_head, r->body, n_body);
    int rc = http_send(h, head, n_head + n_body, e); /* one segment where it fits */
    free(head);
    return rc;
}

/* Receives what there is. 1, 0 at the end, -1 with err. */
static int fill(struct http *h, struct err *e)
{
    if (h->room - h->n_in < 4096) {
        h->room = h->room * 2 + 8192;
        h->in = mem_resize(h->in, h->room, 1);
    }
    ssize_t n;
    do {
        n = recv(h->fd, h->in + h->n_in, h->room - h->n_in, 0);
    } while (n < 0 && errno == EINTR);
    if (n < 0 && errno == EAGAIN)
        return err_set(e, "timeout", "no answer in time, %zu bytes of one so far", h->n_in);
    if (n < 0)
        return err_set_errno(e, "reset", "receiving, with %zu bytes so far", h->n_in);
    h->n_in += (size_t)n;
    return n > 0;
}

static void drop(struct http *h, size_t n)
{
    h->n_in -= n;
    memmove(h->in, h->in + n, h->n_in);
}

/* Waits until at least n bytes are there. 0, or -1 with err. */
static int need(struct http *h, size_t n, struct err *e)
{
    while (h->n_in < n) {
        int rc = fill(h, e);
        if (rc == 0)
            return err_set(e, "bad-answer", "cut off after %zu of %zu bytes", h->n_in, n);
        if (rc < 0)
            return -1;
    }
    return 0;
}

/* Waits for mark; *n: the bytes up to and with it. 1, 0 at a clean end, -1 with err. */
static int need_mark(struct http *h, const char *mark, size_t *n, struct err *e)
{
    for (;;) {
        const char *at = h->n_in == 0 ? NULL : memmem(h->in, h->n_in, mark, strlen(mark));
        if (at != NULL) {
            *n = (size_t)(at - h->in) + strlen(mark);
            return 1;
        }
        int rc = fill(h, e);
        if (rc == 0 && h->n_in > 0)
            return err_set(e, "bad-answer", "cut off: \"%.*s\"", (int)h->n_in, h->in);
        if (rc <= 0)
            return rc;
    }
}

static int cut_header(struct http_answer *a, char *line, struct err *e)
{
    char *colon = strchr(line, ':');
    if (colon == NULL || colon == line || strcspn(line, " \t") < (size_t)(colon - line))
        return err_set(e, "bad-answer", "header line \"%s\"", line);
    if (a->n_headers == HTTP_MAX_HEADERS)
        return err_set(e, "bad-answer", "more than %d headers", HTTP_MAX_HEADERS);
    *colon = '\0';
    char *value = colon + 1 + strspn(colon + 1, " \t");
    for (size_t n = strlen(value); n > 0 && (value[n - 1] == ' ' || value[n - 1] == '\t'); n--)
        value[n - 1] = '\0';
    a->headers[a->n_headers].name = line;
    a->headers[a->n_headers++].value = value;
    return 0;
}

static int parse_head(struct http_answer *a, struct err *e)
{
    int n = 0;
    if (sscanf(a->cut, "HTTP/1.%1d %3d %n", &a->minor, &a->status, &n) != 2 || n < 13 ||
        a->status < 100)
        return err_set(e, "bad-answer", "status line of \"%s\"", a->head);
    char *line = strstr(a->cut, "\r\n") + 2;
    while (*line != '\r') {
        char *end = strstr(line, "\r\n");
        *end = '\0';
        if (cut_header(a, line, e) != 0)
            return -1;
        line = end + 2;
    }
    const char *connection = http_header(a, "Connection");
    a->closes = a->minor == 0 ? connection == NULL || strcasecmp(connection, "keep-alive") != 0
                              : connection != NULL && strcasecmp(connection, "close") == 0;
    return 0;
}

static void add_body(struct http_answer *a, const char *bytes, size_t n)
{
    a->body = mem_resize(a->body, a->n_body + n + 1, 1);
    if (n > 0)
        memcpy(a->body + a->n_body, bytes, n);
    a->n_body += n;
    a->body[a->n_body] = '\0';
}

static int read_chunks(struct http *h, struct http_answer *a, struct err *e)
{
    for (;;) {
        size_t n_line = 0;
        if (need_mark(h, "\r\n", &n_line, e) <= 0)
            return err_set(e, "bad-answer", "chunked body cut off");
        char *end = NULL;
        size_t n = strtoul(h->in, &end, 16);
        if (end == h->in || *end != '\r' || n > 1 << 28)
            return err_set(e, "bad-answer", "chunk size \"%.*s\"", (int)n_line, h->in);
        drop(h, n_line);
        if (need(h, n + 2, e) != 0)
            return -1;
        if (memcmp(h->in + n, "\r\n", 2) != 0)
            return err_set(e, "bad-answer", "chunk without its CRLF (or a trailer)");
        add_body(a, h->in, n);
        drop(h, n + 2);
        if (n == 0)
            return 0;
    }
}

static int read_to_end(struct http *h, struct http_answer *a, struct err *e)
{
    int rc;
    do {
        rc = fill(h, e);
    } while (rc > 0);
    a->closes = true;
    add_body(a, h->in, h->n_in);
    h->n_in = 0;
    return rc;
}

static int read_body(struct http *h, bool to_head, struct http_answer *a, struct err *e)
{
    const char *length = http_header(a, "Content-Length");
    const char *coding = http_header(a, "Transfer-Encoding");
    add_body(a, "", 0);
    if (to_head || a->status == 204 || a->status == 304)
        return 0;
    if (coding != NULL && (length != NULL || strcmp(coding, "chunked") != 0))
        return err_set(e, "bad-answer", "framing of \"%s\"", a->head);
    if (coding != NULL)
        return read_chunks(h, a, e);
    if (length == NULL)
        return read_to_end(h, a, e);
    char *end = NULL;
    size_t n = strtoul(length, &end, 10);
    if (end == length || *end != '\0' || n > 1 << 28)
        return err_set(e, "bad-answer", "Content-Length \"%s\"", length);
    if (need(h, n, e) != 0)
        return -1;
    add_body(a, h->in, n);
    drop(h, n);
    return 0;
}

static void parse_json(struct http_answer *a)
{
    const char *type = http_header(a, "Content-Type");
    if (type != NULL && a->n_body > 0 &&
        (strncmp(type, "application/json", 16) == 0 || strstr(type, "+json") != NULL))
        a->json = jsonx_parse(a->body, a->n_body, NULL);
}

int http_receive(struct http *h, bool to_head, struct http_answer *a, struct err *e)
{
    do {
        size_t n = 0;
        *a = (struct http_answer){0};
        int rc = need_mark(h, "\r\n\r\n", &n, e);
        if (rc <= 0)
            return rc;
        a->head = mem_printf("%.*s", (int)n, h->in);
        a->cut = mem_strdup(a->head);
        drop(h, n);
        if (parse_head(a, e) != 0)
            goto bad;
        if (a->status < 200)
            http_answer_clear(a);
    } while (a->status == 0);
    if (read_body(h, to_head, a, e) != 0)
        goto bad;
    parse_json(a);
    return 1;
bad:
    http_answer_clear(a);
    return -1;
}

int http_ask(struct http *h, const struct http_request *r, struct http_answer *a, struct err *e)
{
    if (http_send_request(h, r, e) != 0)
        return -1;
    bool to_head = r->method != NULL && strcmp(r->method, "HEAD") == 0;
    int rc = http_receive(h, to_head, a, e);
    if (rc == 0)
        return err_set(e, "closed", "connection closed instead of an answer to %s", r->path);
    return rc < 0 ? -1 : 0;
}

void http_answer_clear(struct http_answer *a)
{
    cJSON_Delete(a->json);
    free(a->body);
    free(a->head);
    free(a->cut);
    *a = (struct http_answer){0};
}

const char *http_header(const struct http_answer *a, const char *name)
{
    for (size_t i = 0; i < a->n_headers; i++)
        if (strcasecmp(a->headers[i].name, name) == 0)
            return a->headers[i].value;
    return NULL;
}
