/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * See python.h.
 */
#include "tests/support/python.h"

#include <fcntl.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

int python_run(const char *script, const char *arg)
{
    int status = 0;
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        execl(PYTHON, PYTHON, "-c", script, arg, (char *)NULL);
        _exit(127);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
        return -1;
    return WEXITSTATUS(status);
}

bool python_has_sklearn(void)
{
    static int known = -1;
    if (known < 0)
        known = python_run("try:\n import sklearn, joblib\nexcept Exception: raise SystemExit(1)",
                           "") == 0;
    return known == 1;
}
