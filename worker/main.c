/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * canary-worker: one model for life. Started by canaryd with the descriptors
 * of wire.h; by hand it only evaluates a model file.
 */
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sysexits.h>

#include "common/log.h"
#include "proto/wire.h"
#include "worker/evaluate.h"
#include "worker/serve.h"

static const char usage[] =
    "usage: canary-worker --evaluate MODEL.json    predict rows of numbers from standard input\n"
    "       canary-worker --help | --version\n"
    "\n"
    "canaryd starts this program, one process per model version, with a socket on\n"
    "descriptor 3 and the model on descriptor 4 (docs/protocol.md). By hand:\n"
    "\n"
    "    echo 0.5,1.2,0.8,0.3,1.1 | canary-worker --evaluate models/model_v1.json\n";

static int is_socket(int fd)
{
    int type;
    socklen_t size = sizeof type;
    return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0;
}

int main(int argc, char **argv)
{
    log_init("canary-worker", LOG_LEVEL_INFO);
    if (argc == 3 && strcmp(argv[1], "--evaluate") == 0)
        return evaluate_file(argv[2], stdin, stdout) < 0 ? EX_DATAERR : EX_OK;
    if (argc == 2 && strcmp(argv[1], "--help") == 0)
        return fputs(usage, stdout) < 0 ? EX_IOERR : EX_OK;
    if (argc == 2 && strcmp(argv[1], "--version") == 0)
        return printf("canary-worker %s, protocol %d\n", CANARYD_VERSION, WIRE_VERSION) < 0;
    /* argv[1] is then the model's name, for ps(1). */
    if (argc > 2 || (argc == 2 && argv[1][0] == '-') || !is_socket(WIRE_SOCKET_FD)) {
        fputs(usage, stderr);
        return EX_USAGE;
    }
    prctl(PR_SET_NAME, "canary-worker"); /* older kernels call us by a descriptor's number */
    return serve(WIRE_SOCKET_FD, WIRE_MODEL_FD);
}
