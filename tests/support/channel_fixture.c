/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * See channel_fixture.h.
 */
#include "tests/support/channel_fixture.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include <event2/event.h>

static void on_message(void *arg, const struct msg *m)
{
    struct channel_fixture *f = arg;
    f->n_messages++;
    f->last_message = *m;
}

static void on_broken(void *arg, const char *text)
{
    struct channel_fixture *f = arg;
    f->n_broken++;
    snprintf(f->broken_text, sizeof f->broken_text, "%s", text);
}

static void on_ended(void *arg)
{
    struct channel_fixture *f = arg;
    f->n_ended++;
}

int channel_fixture_open(struct channel_fixture *f, int type)
{
    const struct channel_listener listener = {
        .message = on_message, .broken = on_broken, .call_ended = on_ended, .arg = f};
    int fds[2];
    memset(f, 0, sizeof *f);
    if (socketpair(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) < 0)
        return -1;
    f->base = event_base_new();
    lines_open(&f->lines, f->base);
    f->channel_fd = fds[0];
    f->channel = channel_new(f->base, fds[0], &f->lines, &listener);
    peer_open(&f->peer, fds[1]);
    return 0;
}

void channel_fixture_close(struct channel_fixture *f)
{
    channel_free(&f->channel);
    channel_free(&f->channel); /* once more is no harm */
    peer_close(&f->peer);
    lines_close(&f->lines);
    event_base_free(f->base);
}
