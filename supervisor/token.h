/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The admin token: read from a file and nowhere else (a command line and an
 * environment can be read by others), kept as its digest, never printed.
 */
#ifndef CANARYD_TOKEN_H
#define CANARYD_TOKEN_H

#include <stdbool.h>

#include <sha2.h>

#include "common/err.h"

#define TOKEN_MIN_LENGTH 32

struct token {
    bool is_set;
    unsigned char digest[SHA256_DIGEST_LENGTH];
};

/* The file: regular, of this user or root, for nobody else to read, one line of
 * at least TOKEN_MIN_LENGTH visible ASCII characters. path "": no token. 0, or -1
 * with err "bad-token-file"; *t is untouched then. */
int token_read(const char *path, struct token *t, struct err *e);

/* Whether said is the token. Takes as long for every wrong one of the same
 * length: digests are compared, and to the end. */
bool token_is(const struct token *t, const char *said);

#endif
