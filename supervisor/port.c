/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * See port.h.
 */
#include "supervisor/port.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sysexits.h>

#include <event2/event.h>
#include <event2/http.h>
#include <event2/listener.h>

#include "common/log.h"
#include "common/mem.h"

#define ACCEPT_PAUSE_US        100000
#define ACCEPT_ERRORS_PER_LINE 100 /* so a line in ten seconds */
#define SEND_BUFFER_BYTES      65536

struct port {
    SLIST_ENTRY(port) next;
    struct evhttp *http;
    struct evconnlistener *listener; /* of socket */
    struct evhttp_bound_socket *socket;
    struct event *on_resume;
    struct conns *conns;
    uint64_t n_accept_errors;
};

/* libevent tells an error at accept to nobody but the listener: this is how the
 * listener's port is found. */
static SLIST_HEAD(port_list, port) ports = SLIST_HEAD_INITIALIZER(ports);

/* Out of descriptors, most likely: the connection waits in the backlog, and the
 * loop, which would be told of it at once and again, waits as well. */
static void on_accept_error(struct evconnlistener *listener, void *arg)
{
    const struct timeval pause = {.tv_usec = ACCEPT_PAUSE_US};
    int error = errno;
    struct port *p;
    (void)arg;
    SLIST_FOREACH(p, &ports, next) {
        if (p->listener != listener || evtimer_pending(p->on_resume, NULL))
            continue;
        if (p->n_accept_errors++ % ACCEPT_ERRORS_PER_LINE == 0)
            log_error("no connection can be accepted: %s; trying again every %d ms",
                      strerror(error), ACCEPT_PAUSE_US / 1000);
        evconnlistener_disable(listener);
        evtimer_add(p->on_resume, &pause);
    }
}

static void on_resume(evutil_socket_t fd, short what, void *arg)
{
    struct port *p = arg;
    (void)fd, (void)what;
    if (p->listener != NULL)
        evconnlistener_enable(p->listener);
}

/* --- For the gateway --------------------------------------------------------*/

struct port *port_new(struct event_base *base, const struct port_options *options)
{
    struct port *p = mem_alloc(sizeof *p);
    p->http = evhttp_new(base);
    if (p->http == NULL)
        fatal(EX_SOFTWARE, "evhttp_new failed");
    evhttp_set_allowed_methods(p->http, EVHTTP_REQ_GET | EVHTTP_REQ_POST | EVHTTP_REQ_HEAD |
                                            EVHTTP_REQ_PUT | EVHTTP_REQ_DELETE |
                                            EVHTTP_REQ_OPTIONS | EVHTTP_REQ_TRACE |
                                            EVHTTP_REQ_CONNECT | EVHTTP_REQ_PATCH);
    evhttp_set_default_content_type(p->http, NULL);
    evhttp_set_max_headers_size(p->http, PORT_MAX_HEADER_BYTES);
    evhttp_set_max_body_size(p->http, options->max_body_bytes);
    evhttp_set_gencb(p->http, options->on_request, options->arg);
    p->conns = conns_new(base, p->http, &options->limits);
    p->on_resume = evtimer_new(base, on_resume, p);
    SLIST_INSERT_HEAD(&ports, p, next);
    return p;
}

void port_free(struct port **p)
{
    if (*p == NULL)
        return;
    SLIST_REMOVE(&ports, *p, port, next);
    event_free((*p)->on_resume);
    evhttp_free((*p)->http);
    conns_free(&(*p)->conns);
    free(*p);
    *p = NULL;
}

int port_accept(struct port *p, int fd, struct err *e)
{
    const int size = SEND_BUFFER_BYTES; /* accepted sockets inherit it: readers who don't read
                                           shall not hold megabytes of the kernel's */
    if (setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size) < 0)
        log_debug("the listening socket keeps its send buffer");
    p->socket = evhttp_accept_socket_with_handle(p->http, fd);
    if (p->socket == NULL)
        return err_set_errno(e, "cannot-listen", "evhttp does not accept the socket");
    p->listener = evhttp_bound_socket_get_listener(p->socket);
    evconnlistener_set_error_cb(p->listener, on_accept_error);
    return 0;
}

void port_stop(struct port *p)
{
    if (p->socket != NULL)
        evhttp_del_accept_socket(p->http, p->socket);
    p->socket = NULL;
    p->listener = NULL;
}

struct conns *port_conns(const struct port *p)
{
    return p->conns;
}
