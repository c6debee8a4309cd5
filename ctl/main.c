/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * canaryctl, the operator's tool. Everything is in command.c, where the unit
 * tests reach it.
 */
#include <signal.h>
#include <stdio.h>

#include "common/log.h"
#include "ctl/command.h"

int main(int argc, char **argv)
{
    signal(SIGPIPE, SIG_IGN); /* a lost connection is an answer, not a death */
    log_init("canaryctl", LOG_LEVEL_WARN);
    return command_main(argc, argv, stdout, stderr);
}
