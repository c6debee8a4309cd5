/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A client of raw bytes inside the server's loop; see raw.h.
 */
#include "tests/support/raw.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/fdio.h"
#include "common/mem.h"
#include "tests/support/loop.h"

struct raw *raw_open(struct event_base *base, const char *address)
{
    struct raw *r = mem_alloc(sizeof *r);
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    to.sin_port = htons((uint16_t)strtol(strrchr(address, ':') + 1, NULL, 10));
    r->base = base;
    r->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(r->fd, (struct sockaddr *)&to, sizeof to), 0);
    assert_int_equal(fd_set_nonblock(r->fd), 0);
    return r;
}

void raw_close(struct raw **r)
{
    fd_close(&(*r)->fd);
    free(*r);
    *r = NULL;
}

static bool take_some(const struct raw *r, const char **bytes, size_t *n)
{
    ssize_t sent = send(r->fd, *bytes, *n, MSG_NOSIGNAL);
    if (sent < 0)
        return errno != EAGAIN; /* it has hung up: its answer tells */
    *bytes += sent;
    *n -= (size_t)sent;
    return *n == 0;
}

void raw_send(struct raw *r, const char *bytes, size_t n)
{
    loop_until(r->base, take_some(r, &bytes, &n));
}

static void read_more(struct raw *r)
{
    assert_true(r->n_in < RAW_MAX - 1);
    ssize_t n = recv(r->fd, r->in + r->n_in, RAW_MAX - 1 - r->n_in, 0);
    if (n == 0 || (n < 0 && errno != EAGAIN))
        r->ended = true;
    if (n > 0)
        r->n_in += (size_t)n;
    r->in[r->n_in] = '\0';
}

/* Without a length the body goes to the end of the connection. False while it
 * is not all there. */
static bool whole_body(const struct raw *r, bool has_body, size_t came, size_t *n)
{
    const char *length = raw_header(r, "Content-Length");
    bool to_the_end = has_body && r->status != 204 && length[0] == '\0';
    *n = to_the_end ? came : 0;
    if (has_body && r->status != 204 && !to_the_end)
        *n = strtoul(length, NULL, 10);
    return to_the_end ? r->ended : came >= *n;
}

/* Cuts a whole reply out of what has come; false while it is not whole. */
static bool cut_reply(struct raw *r, bool has_body)
{
    size_t n_body;
    read_more(r);
    const char *blank = strstr(r->in, "\r\n\r\n");
    if (blank == NULL)
        return false;
    size_t n_head = (size_t)(blank - r->in) + 4;
    memcpy(r->head, r->in, n_head);
    r->head[n_head] = '\0';
    assert_int_equal(sscanf(r->head, "HTTP/%*d.%*d %d", &r->status), 1);
    if (!whole_body(r, has_body, r->n_in - n_head, &n_body))
        return false;
    memcpy(r->body, r->in + n_head, n_body);
    r->body[n_body] = '\0';
    r->n_in -= n_head + n_body;
    memmove(r->in, r->in + n_head + n_body, r->n_in + 1);
    return true;
}

bool raw_receive(struct raw *r, bool has_body)
{
    bool whole = false;
    loop_until(r->base, (whole = cut_reply(r, has_body)) || r->ended);
    return whole;
}

int raw_ask(struct raw *r, const char *request)
{
    raw_send(r, request, strlen(request));
    if (!raw_receive(r, strncmp(request, "HEAD ", 5) != 0))
        fail_msg("no reply to: %.200s", request);
    return r->status;
}

static bool has_ended(struct raw *r)
{
    read_more(r);
    return r->ended;
}

void raw_expect_end(struct raw *r)
{
    loop_until(r->base, has_ended(r));
    if (r->n_in > 0)
        fail_msg("more came: %.200s", r->in);
}

const char *raw_header(const struct raw *r, const char *name)
{
    static char value[1024];
    size_t n = strlen(name);
    const char *line = strstr(r->head, "\r\n");
    value[0] = '\0';
    for (; line != NULL; line = strstr(line + 2, "\r\n"))
        if (strncasecmp(line + 2, name, n) == 0 && line[2 + n] == ':')
            sscanf(line + 2 + n + 1, " %1023[^\r\n]", value);
    return value;
}
