/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The worker's end of a socket pair, in the test's own process: a test reads
 * from it what it was asked and answers when and as it likes.
 */
#ifndef CANARYD_TESTS_PEER_H
#define CANARYD_TESTS_PEER_H

#include <stddef.h>
#include <stdint.h>

#include "proto/codec.h"
#include "proto/frame.h"

#define PEER_MAX_ASKED 4096

struct peer {
    int fd;
    struct codec *codec;
    struct frame_reader in;
    struct frame_writer out;
    uint64_t asked[PEER_MAX_ASKED]; /* ids of PREDICTs, in order of arrival */
    double first[PEER_MAX_ASKED];   /* the first feature of each */
    size_t n_asked;
    size_t n_delays, n_quits, n_pings;
    uint64_t ping;  /* the id of the last PING */
    size_t n_reads; /* recv(2) calls that gave bytes */
};

/* Takes fd. */
void peer_open(struct peer *p, int fd);
void peer_close(struct peer *p);

/* Handles what is there, without waiting. Returns how many frames that were. */
size_t peer_read(struct peer *p);

/* Sends what out holds, waiting for room. */
void peer_send(struct peer *p);

/* Sends a RESULT with one output. */
void peer_answer(struct peer *p, uint64_t id, double output);

#endif
