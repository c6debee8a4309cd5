/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * See peer.h.
 */
#include "supervisor/peer.h"

#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "supervisor/address.h"

#define MAX_GROUPS 256

static bool get_credentials(int fd, struct ucred *who)
{
    socklen_t size = sizeof *who;
    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, who, &size) == 0 && who->pid > 0;
}

void peer_text(int fd, char text[PEER_TEXT_SIZE])
{
    union address a = {.any = {.sa_family = AF_UNSPEC}};
    socklen_t size = sizeof a;
    struct ucred who;
    if (getpeername(fd, &a.any, &size) < 0)
        a.any.sa_family = AF_UNSPEC;
    if (address_text(&a, text, PEER_TEXT_SIZE))
        return;
    if (a.any.sa_family == AF_UNIX && get_credentials(fd, &who))
        snprintf(text, PEER_TEXT_SIZE, "uid %u, pid %d", who.uid, who.pid);
    else
        snprintf(text, PEER_TEXT_SIZE, "unknown");
}

static bool has_group(int fd, gid_t group)
{
    gid_t groups[MAX_GROUPS];
    socklen_t size = sizeof groups;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &size) < 0)
        return false;
    for (size_t i = 0; i < size / sizeof groups[0]; i++)
        if (groups[i] == group)
            return true;
    return false;
}

bool peer_is_trusted(int fd)
{
    struct ucred who;
    if (!get_credentials(fd, &who))
        return false;
    return who.uid == 0 || who.uid == geteuid() || who.gid == getegid() || has_group(fd, getegid());
}
