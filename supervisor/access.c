/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * See access.h.
 */
#include "supervisor/access.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/clock.h"
#include "common/mem.h"
#include "supervisor/token.h"

#define MAX_FAILURES 5 /* wrong tokens in a second */
#define HOST_SIZE    256

struct access {
    struct token token;
    char *allowed_hosts;
    double n_failures_left;
    int64_t failures_ns; /* when n_failures_left was right */
};

/* --- Host and Origin --------------------------------------------------------*/

/* Cuts the port and an IPv6 address's brackets off "name:80"; false if it is no host. */
static bool cut_host(const char *authority, char host[HOST_SIZE])
{
    bool is_bracketed = authority[0] == '[';
    const char *from = is_bracketed ? authority + 1 : authority;
    size_t n = strcspn(from, is_bracketed ? "]" : ":");
    const char *rest = from + n;
    if (is_bracketed && *rest++ != ']')
        return false;
    if (n == 0 || n >= HOST_SIZE || (*rest != '\0' && *rest != ':'))
        return false;
    if (*rest == ':' && rest[1 + strspn(rest + 1, "0123456789")] != '\0')
        return false;
    memcpy(host, from, n);
    host[n] = '\0';
    return true;
}

static bool is_loopback(const char *host)
{
    struct in_addr v4;
    struct in6_addr v6;
    if (strcasecmp(host, "localhost") == 0)
        return true;
    if (inet_pton(AF_INET, host, &v4) == 1)
        return ntohl(v4.s_addr) >> 24 == IN_LOOPBACKNET;
    return inet_pton(AF_INET6, host, &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

/* An address cannot be rebound: only names can. */
static bool is_address(const char *host)
{
    struct in6_addr any;
    return inet_pton(AF_INET, host, &any) == 1 || inet_pton(AF_INET6, host, &any) == 1;
}

static bool is_listed(const char *list, const char *host)
{
    size_t n = strlen(host);
    while (*list != '\0') {
        size_t length = strcspn(list, ",");
        if (length == n && strncasecmp(list, host, n) == 0)
            return true;
        list += length + (list[length] == ',');
    }
    return false;
}

/* On loopback whoever runs here is let in, so the name must be loopback's, or a
 * page of evil.example whose address became 127.0.0.1 would be let in too. Where
 * the token is asked for, no page can have it: any name will do unless some are
 * listed. */
static int check_host(const struct access *a, const struct access_claims *c, struct err *e)
{
    char host[HOST_SIZE];
    bool is_remote = c->door == DOOR_REMOTE;
    bool has_list = a->allowed_hosts[0] != '\0';
    if (c->door == DOOR_SOCKET || (is_remote && !has_list))
        return 0;
    if (c->host != NULL && cut_host(c->host, host) &&
        (is_loopback(host) || (is_remote && is_address(host)) || is_listed(a->allowed_hosts, host)))
        return 0;
    return err_set(e, "wrong-host",
                   "Host: %.100s is not a name of this server; names besides loopback's stand in "
                   "allowed_hosts",
                   c->host != NULL ? c->host : "(none)");
}

/* A browser says where a request comes from; other clients say nothing. */
static int check_site(const struct access_claims *c, struct err *e)
{
    if (c->fetch_site != NULL && strcmp(c->fetch_site, "same-origin") != 0 &&
        strcmp(c->fetch_site, "none") != 0)
        return err_set(e, "cross-site", "Sec-Fetch-Site: %.40s; expected same-origin",
                       c->fetch_site);
    if (c->origin == NULL)
        return 0;
    const char *authority = strstr(c->origin, "://");
    if (authority != NULL && c->host != NULL && strcasecmp(authority + 3, c->host) == 0)
        return 0;
    return err_set(e, "cross-site", "Origin: %.100s is not this server (Host: %.100s)", c->origin,
                   c->host != NULL ? c->host : "(none)");
}

/* --- The token --------------------------------------------------------------*/

static bool may_fail_again(struct access *a)
{
    int64_t now_ns = clock_mono_ns();
    a->n_failures_left += (double)(now_ns - a->failures_ns) / (double)NS_PER_SEC * MAX_FAILURES;
    if (a->n_failures_left > MAX_FAILURES)
        a->n_failures_left = MAX_FAILURES;
    a->failures_ns = now_ns;
    if (a->n_failures_left < 1)
        return false;
    a->n_failures_left -= 1;
    return true;
}

static int check_token(struct access *a, const char *authorization, struct err *e)
{
    static const char scheme[] = "Bearer ";
    if (authorization == NULL)
        return err_set(e, "token-missing",
                       "expected Authorization: Bearer with the token of admin_token_file");
    bool is_bearer = strncasecmp(authorization, scheme, strlen(scheme)) == 0;
    if (is_bearer && token_is(&a->token, authorization + strlen(scheme)))
        return 0;
    if (!may_fail_again(a))
        return err_set(e, "too-many-failures", "more than %d wrong tokens in a second",
                       MAX_FAILURES);
    return err_set(e, "token-wrong", "the token is not that of admin_token_file");
}

/* --- Both -------------------------------------------------------------------*/

static int check_door(struct access *a, const struct access_claims *c, bool *by_token,
                      struct err *e)
{
    bool wants_token =
        c->door == DOOR_SOCKET ? !c->is_trusted_peer : c->door == DOOR_REMOTE || a->token.is_set;
    if (!wants_token)
        return 0;
    if (!a->token.is_set && c->door == DOOR_SOCKET)
        return err_set(e, "peer-not-allowed",
                       "admin endpoints are for root, the user of canaryd "
                       "and its group");
    if (!a->token.is_set)
        return err_set(e, "admin-closed",
                       "admin endpoints are closed off loopback; set admin_token_file, "
                       "admin_listen, or listen to a loopback address");
    *by_token = check_token(a, c->authorization, e) == 0;
    return *by_token ? 0 : -1;
}

int access_check(struct access *a, const struct access_claims *c, bool *by_token, struct err *e)
{
    *by_token = false;
    if (c->door == DOOR_PUBLIC)
        return err_set(e, "not-found", "there are no admin endpoints here");
    if (check_host(a, c, e) < 0 || check_site(c, e) < 0)
        return -1;
    return check_door(a, c, by_token, e);
}

struct access *access_new(void)
{
    struct access *a = mem_alloc(sizeof *a);
    a->allowed_hosts = mem_strdup("");
    return a;
}

void access_free(struct access **a)
{
    if (*a == NULL)
        return;
    free((*a)->allowed_hosts);
    free(*a);
    *a = NULL;
}

int access_set(struct access *a, const char *token_file, const char *allowed_hosts, struct err *e)
{
    struct token token;
    if (token_read(token_file, &token, e) < 0)
        return -1;
    a->token = token;
    free(a->allowed_hosts);
    a->allowed_hosts = mem_strdup(allowed_hosts);
    return 0;
}

bool access_has_token(const struct access *a)
{
    return a->token.is_set;
}
