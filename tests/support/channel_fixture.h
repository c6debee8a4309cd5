/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A channel whose worker is the test: both ends of its socket, the loop that it
 * runs in, and what it told its owner.
 */
#ifndef CANARYD_TESTS_CHANNEL_FIXTURE_H
#define CANARYD_TESTS_CHANNEL_FIXTURE_H

#include "common/clock.h"
#include "supervisor/channel.h"
#include "supervisor/line.h"
#include "tests/support/peer.h"

/* A deadline that no test meets. */
#define CHANNEL_LATER (clock_mono_ns() + 60 * NS_PER_SEC)

struct channel_fixture {
    struct event_base *base;
    struct lines lines;
    struct channel *channel; /* the test may free it before */
    int channel_fd;          /* the channel's own */
    struct peer peer;
    int n_messages;
    struct msg last_message;
    int n_broken;
    char broken_text[256];
    int n_ended; /* calls, as the owner hears of them */
};

/* type: of the socket, as SOCK_STREAM. 0, or -1 with errno. f does not move
 * until it is closed. */
int channel_fixture_open(struct channel_fixture *f, int type);
void channel_fixture_close(struct channel_fixture *f);

#endif
