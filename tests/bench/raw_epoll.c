/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The floor: an epoll loop that answers every request with fixed bytes and
 * understands of HTTP only where a request ends.
 * usage: raw_epoll PORT
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/log.h"
#include "common/mem.h"

#define MAX_EVENTS    256
#define REQUEST_BYTES 4096

static const char response[] =
    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 118\r\n\r\n"
    "{\"churn_probability\":0.12345678901234567,\"model_used\":\"stable\","
    "\"latency_ms\":0.041,\"request_id\":\"req_0123456789abcdef\"}";

struct connection {
    int fd;
    size_t n;
    char bytes[REQUEST_BYTES];
};

/* The bytes of the first request, or 0 while it is not complete. */
static size_t request_size(const char *bytes, size_t n)
{
    const char *end = memmem(bytes, n, "\r\n\r\n", 4);
    const char *length = memmem(bytes, n, "Content-Length: ", 16);
    if (end == NULL)
        return 0;
    size_t size = (size_t)(end + 4 - bytes);
    if (length != NULL && length < end)
        size += (size_t)strtoul(length + 16, NULL, 10);
    return size <= n ? size : 0;
}

static void drop(struct connection *c)
{
    close(c->fd);
    free(c);
}

static void serve(struct connection *c)
{
    size_t size;
    ssize_t n = read(c->fd, c->bytes + c->n, sizeof c->bytes - c->n);
    if (n <= 0) {
        drop(c);
        return;
    }
    c->n += (size_t)n;
    while ((size = request_size(c->bytes, c->n)) > 0) {
        if (write(c->fd, response, sizeof response - 1) < 0)
            break;
        c->n -= size;
        memmove(c->bytes, c->bytes + size, c->n);
    }
}

static void accept_one(int epoll, int listener)
{
    const int on = 1;
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0)
        return;
    struct connection *c = mem_alloc(sizeof *c);
    c->fd = fd;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &(struct epoll_event){.events = EPOLLIN, .data.ptr = c});
}

static int listen_on(const char *port)
{
    const int on = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_port = htons((uint16_t)atoi(port)),
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&a, sizeof a) < 0 || listen(fd, 4096) < 0)
        fatal(EX_UNAVAILABLE, "can't listen on 127.0.0.1:%s: %s", port, strerror(errno));
    return fd;
}

int main(int argc, char **argv)
{
    struct epoll_event events[MAX_EVENTS];
    int listener = listen_on(argc == 2 ? argv[1] : "0");
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &(struct epoll_event){.events = EPOLLIN});
    for (;;) {
        int n = epoll_wait(epoll, events, MAX_EVENTS, -1);
        for (int i = 0; i < n; i++) {
            if (events[i].data.ptr == NULL)
                accept_one(epoll, listener);
            else
                serve(events[i].data.ptr);
        }
    }
}
