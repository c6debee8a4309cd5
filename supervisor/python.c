/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * See python.h. Whether Python has the libraries, only Python can tell.
 */
#include "supervisor/python.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/cage.h"
#include "common/log.h"

int python_check(const char *python, const struct python_job *job, const char *name, struct err *e)
{
    if (python[0] == '\0')
        return err_set(e, "python-missing",
                       "%s: %s needs Python with scikit-learn, and the setting python is empty; "
                       "deploy the model's .json, or set it",
                       name, job->what);
    if (access(python, X_OK) < 0)
        return err_set(e, "python-missing",
                       "%s: %s needs Python with scikit-learn, and %s is not there; install it "
                       "(Debian: apt install python3-sklearn) or deploy the model's .json",
                       name, job->what, python);
    if (access(job->program, R_OK) < 0)
        return err_set(e, "python-missing",
                       "%s: %s needs %s, which is not there; set %s, or deploy the model's .json",
                       name, job->what, job->program, job->setting);
    return 0;
}

int python_filter_fd(void)
{
    static int fd = -1;
    struct err e = {0};
    if (fd >= 0)
        return fd;
    fd = memfd_create("canaryd-filter", MFD_CLOEXEC);
    if (fd < 0)
        fatal(EX_OSERR, "memfd_create: %s", strerror(errno));
    if (cage_write_filter(CAGE_PYTHON, fd, &e) < 0)
        log_warn("pickles cannot be caged: %s", e.text);
    return fd;
}
