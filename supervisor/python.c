/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * See python.h. Whether Python has the libraries, only Python can tell.
 */
#include "supervisor/python.h"

#include <unistd.h>

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
