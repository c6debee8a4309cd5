/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A load on POST /predict whose rate does not follow the answers (open loop), or,
 * with rate 0, as fast as the answers come (closed loop: the peak). One thread,
 * keep-alive connections to 127.0.0.1, bounded in time. Prints one line.
 * usage: openloop PORT RATE SECONDS CONNECTIONS
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/histogram.h"
#include "common/log.h"
#include "common/mem.h"

#define MAX_CONNECTIONS 4096
#define ANSWER_BYTES    4096
#define GRACE_NS        (3 * NS_PER_SEC) /* for the last answers */

static const char request[] = "POST /predict HTTP/1.1\r\n"
                              "Host: 127.0.0.1\r\n"
                              "Content-Type: application/json\r\n"
                              "Content-Length: 39\r\n"
                              "\r\n"
                              "{\"features\": [0.5, 1.2, 0.8, 0.3, 1.1]}";

struct connection {
    int fd;
    bool is_busy;
    int64_t due_ns; /* when its request should have been sent */
    int64_t sent_ns;
    size_t n_bytes;
    char bytes[ANSWER_BYTES];
};

struct load {
    int epoll;
    uint16_t port;
    double rate; /* requests a second; 0: closed loop */
    int64_t start_ns, end_ns;
    size_t n_connections;
    struct connection *connections;
    struct connection **idle; /* a stack */
    size_t n_idle;
    uint64_t n_sent, n_good, n_refused, n_other, n_lost;
    struct histogram good;            /* since a request was due */
    struct histogram served, refused; /* since it was sent */
};

static void open_connection(struct load *l, struct connection *c)
{
    const int on = 1;
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons(l->port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&to, sizeof to) < 0)
        fatal(EX_UNAVAILABLE, "127.0.0.1:%u: %s", l->port, strerror(errno));
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    fcntl(c->fd, F_SETFL, O_NONBLOCK);
    epoll_ctl(l->epoll, EPOLL_CTL_ADD, c->fd, &event);
    c->is_busy = false;
    c->n_bytes = 0;
    l->idle[l->n_idle++] = c;
}

/* When the n-th request is due. */
static int64_t due_ns(const struct load *l, uint64_t n)
{
    return l->rate > 0 ? l->start_ns + (int64_t)((double)n / l->rate * (double)NS_PER_SEC) : 0;
}

static void send_what_is_due(struct load *l, int64_t now)
{
    while (l->n_idle > 0 && now < l->end_ns && due_ns(l, l->n_sent) <= now) {
        struct connection *c = l->idle[--l->n_idle];
        c->is_busy = true;
        c->due_ns = l->rate > 0 ? due_ns(l, l->n_sent) : now;
        c->sent_ns = clock_mono_ns();
        l->n_sent++;
        if (send(c->fd, request, sizeof request - 1, MSG_NOSIGNAL) != (ssize_t)sizeof request - 1)
            l->n_lost++;
    }
}

/* Whether a whole answer is there: head, and as many bytes as it announces. */
static bool is_whole(const struct connection *c)
{
    const char *body = strstr(c->bytes, "\r\n\r\n");
    const char *length = strcasestr(c->bytes, "Content-Length:");
    if (body == NULL || length == NULL)
        return false;
    size_t n = strtoul(length + strlen("Content-Length:"), NULL, 10);
    return c->n_bytes >= (size_t)(body + 4 - c->bytes) + n;
}

static void count_answer(struct load *l, struct connection *c, int64_t now)
{
    long status = strtol(c->bytes + strlen("HTTP/1.1 "), NULL, 10);
    uint64_t latency = (uint64_t)(now - c->due_ns);
    if (status == 200) {
        l->n_good++;
        histogram_add(&l->good, latency);
        histogram_add(&l->served, (uint64_t)(now - c->sent_ns));
    } else if ((status == 503 || status == 429) && strcasestr(c->bytes, "Retry-After:") != NULL) {
        l->n_refused++;
        histogram_add(&l->refused, (uint64_t)(now - c->sent_ns));
    } else {
        l->n_other++;
    }
    c->is_busy = false;
    c->n_bytes = 0;
    l->idle[l->n_idle++] = c;
}

static void read_answer(struct load *l, struct connection *c, int64_t now)
{
    ssize_t n = recv(c->fd, c->bytes + c->n_bytes, sizeof c->bytes - 1 - c->n_bytes, 0);
    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0) { /* closed: an idle connection may be; a request's answer then is lost */
        l->n_lost += c->is_busy;
        close(c->fd);
        if (!c->is_busy)
            fatal(EX_PROTOCOL, "the server closed an idle connection");
        open_connection(l, c);
        return;
    }
    c->n_bytes += (size_t)n;
    c->bytes[c->n_bytes] = '\0';
    if (is_whole(c))
        count_answer(l, c, now);
}

static void run(struct load *l)
{
    struct epoll_event events[256];
    for (;;) {
        int64_t now = clock_mono_ns();
        bool is_over = now >= l->end_ns;
        if ((is_over && l->n_idle == l->n_connections) || now >= l->end_ns + GRACE_NS)
            return;
        send_what_is_due(l, now);
        /* Only who has a connection to send on must watch the clock: a load that
         * spins would take the server's cores. */
        bool must_watch = l->rate > 0 && !is_over && l->n_idle > 0;
        int n = epoll_wait(l->epoll, events, 256, must_watch ? 0 : 10);
        now = clock_mono_ns();
        for (int i = 0; i < n; i++)
            read_answer(l, events[i].data.ptr, now);
    }
}

static void report(const struct load *l)
{
    double seconds = (double)(l->end_ns - l->start_ns) / (double)NS_PER_SEC;
    printf("offered %.0f/s sent %.0f/s good %.0f/s refused %.0f/s other %llu lost %llu "
           "good_p50_ms %.2f good_p99_ms %.2f served_p99_ms %.2f refused_p99_ms %.2f\n",
           l->rate, (double)l->n_sent / seconds, (double)l->n_good / seconds,
           (double)l->n_refused / seconds, (unsigned long long)l->n_other,
           (unsigned long long)l->n_lost, ns_to_ms(histogram_quantile(&l->good, 0.5)),
           ns_to_ms(histogram_quantile(&l->good, 0.99)),
           ns_to_ms(histogram_quantile(&l->served, 0.99)),
           l->n_refused > 0 ? ns_to_ms(histogram_quantile(&l->refused, 0.99)) : 0.0);
}

int main(int argc, char **argv)
{
    static struct load l;
    if (argc != 5) {
        fputs("usage: openloop PORT RATE SECONDS CONNECTIONS\n", stderr);
        return EX_USAGE;
    }
    log_init("openloop", LOG_LEVEL_INFO);
    l.port = (uint16_t)strtoul(argv[1], NULL, 10);
    l.rate = strtod(argv[2], NULL);
    l.n_connections = strtoul(argv[4], NULL, 10);
    if (l.n_connections < 1 || l.n_connections > MAX_CONNECTIONS)
        fatal(EX_USAGE, "connections: expected 1 to %d, got %s", MAX_CONNECTIONS, argv[4]);
    l.epoll = epoll_create1(EPOLL_CLOEXEC);
    l.connections = mem_array(l.n_connections, sizeof *l.connections);
    l.idle = mem_array(l.n_connections, sizeof(struct connection *));
    for (size_t i = 0; i < l.n_connections; i++)
        open_connection(&l, &l.connections[i]);
    l.start_ns = clock_mono_ns();
    l.end_ns = l.start_ns + (int64_t)(strtod(argv[3], NULL) * (double)NS_PER_SEC);
    run(&l);
    report(&l);
    free(l.connections);
    free(l.idle);
    return 0;
}
