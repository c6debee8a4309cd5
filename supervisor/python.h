/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The Python that runs the exporter and the Python worker, if this machine has it.
 */
#ifndef CANARYD_PYTHON_H
#define CANARYD_PYTHON_H

#include "common/err.h"

/* How a job that needs Python is called in a refusal. */
struct python_job {
    const char *what;    /* "exporting it" */
    const char *program; /* path of the script */
    const char *setting; /* that could name another */
};

/* Whether the interpreter and the script are there. python: its path; "": the
 * operator wants none. name: the model's. 0, or -1 with err "python-missing". */
int python_check(const char *python, const struct python_job *job, const char *name, struct err *e);

/* The system calls that a Python with a model may make (cage_write_filter), for its
 * descriptors: a memory file, ours for life, made by the first call. That comes at the
 * start: libseccomp is not to be trusted when memory runs out. Empty where there can
 * be no filter; Python complains. */
int python_filter_fd(void);

#endif
