/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Reading a server's address; see url.h. libevent knows the syntax (RFC 3986),
 * this file knows what makes sense for canaryd.
 */
#include "ctl/url.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include <event2/http.h>

static const char expectation[] = "expected http://HOST:PORT, such as http://localhost:8000, or "
                                  "unix:PATH of a socket";

static int refuse(struct err *e, const char *text, const char *why)
{
    return err_set(e, "bad-url", "'%s' is no server address: %s; %s", text, why, expectation);
}

static const char *fault_of(const struct evhttp_uri *uri)
{
    const char *scheme = evhttp_uri_get_scheme(uri);
    const char *host = evhttp_uri_get_host(uri);
    if (scheme == NULL || strcasecmp(scheme, "http") != 0)
        return "only http is spoken";
    if (host == NULL || host[0] == '\0')
        return "it names no host";
    if (evhttp_uri_get_port(uri) == 0)
        return "port 0 can't be connected to";
    if (evhttp_uri_get_userinfo(uri) != NULL)
        return "it names a user";
    if (evhttp_uri_get_query(uri) != NULL || evhttp_uri_get_fragment(uri) != NULL)
        return "it has a query or a fragment";
    if (strlen(host) >= sizeof((struct url *)0)->host ||
        strlen(evhttp_uri_get_path(uri)) >= sizeof((struct url *)0)->prefix)
        return "it is too long";
    return NULL;
}

static void fill(struct url *url, const struct evhttp_uri *uri)
{
    const char *host = evhttp_uri_get_host(uri);
    int port = evhttp_uri_get_port(uri);
    url->port = port < 0 ? 80 : port;
    if (url->port == 80)
        snprintf(url->authority, sizeof url->authority, "%s", host);
    else
        snprintf(url->authority, sizeof url->authority, "%s:%d", host, url->port);
    url->socket[0] = '\0';
    snprintf(url->host, sizeof url->host, "%s", host[0] == '[' ? host + 1 : host);
    url->host[strcspn(url->host, "]")] = '\0';
    snprintf(url->prefix, sizeof url->prefix, "%s", evhttp_uri_get_path(uri));
    size_t n = strlen(url->prefix);
    while (n > 0 && url->prefix[n - 1] == '/')
        url->prefix[--n] = '\0';
}

static int parse_socket(const char *text, const char *path, struct url *url, struct err *e)
{
    if (path[0] == '\0' || strlen(path) >= sizeof url->socket)
        return refuse(e, text, path[0] == '\0' ? "it names no socket" : "it is too long");
    *url = (struct url){.authority = "localhost"};
    snprintf(url->socket, sizeof url->socket, "%s", path);
    return 0;
}

int url_parse(const char *text, struct url *url, struct err *e)
{
    static const char prefix[] = "unix:";
    if (strncmp(text, prefix, strlen(prefix)) == 0)
        return parse_socket(text, text + strlen(prefix), url, e);
    struct evhttp_uri *uri = evhttp_uri_parse(text);
    if (uri == NULL)
        return refuse(e, text, "it can't be read");
    const char *fault = fault_of(uri);
    if (fault == NULL)
        fill(url, uri);
    evhttp_uri_free(uri);
    return fault == NULL ? 0 : refuse(e, text, fault);
}
