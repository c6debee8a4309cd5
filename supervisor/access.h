/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Who may use the admin endpoints. Two kinds of stranger are kept out: one who
 * can reach the socket (by a token, or by not serving admin paths there), and a
 * web page that an operator's own browser runs (by Host against DNS rebinding,
 * by Origin, Sec-Fetch-Site and Content-Type against cross-site requests).
 */
#ifndef CANARYD_ACCESS_H
#define CANARYD_ACCESS_H

#include <stdbool.h>

#include "common/err.h"

struct access;

/* The socket that a request came through. */
enum door {
    DOOR_LOCAL,  /* loopback: admin is open, or for the token if there is one */
    DOOR_REMOTE, /* beyond loopback: admin is for the token alone */
    DOOR_PUBLIC, /* any, while admin has a door of its own: no admin paths */
    DOOR_ADMIN,  /* admin's own loopback port: like DOOR_LOCAL */
    DOOR_SOCKET, /* a Unix socket: trusted peers, others by the token */
    N_DOORS
};

/* What a request says for itself; NULL where a header is missing. */
struct access_claims {
    enum door door;
    bool is_trusted_peer; /* of DOOR_SOCKET */
    const char *host, *origin, *fetch_site, *authorization;
};

struct access *access_new(void);
void access_free(struct access **a);

/* Reads the token (token.h) and the list of names "a.example,b.example" under which
 * this server is reached besides loopback's. 0, or -1 with err
 * "bad-token-file"; what was in force stays so then. */
int access_set(struct access *a, const char *token_file, const char *allowed_hosts, struct err *e);

bool access_has_token(const struct access *a);

/* 0 with *by_token, or -1 with err: "not-found" (DOOR_PUBLIC), "admin-closed",
 * "wrong-host", "cross-site", "peer-not-allowed", "token-missing", "token-wrong", or
 * "too-many-failures" after 5 wrong tokens in a second. The right token is taken
 * even then: nobody can lock the operator out. */
int access_check(struct access *a, const struct access_claims *c, bool *by_token, struct err *e);

#endif
