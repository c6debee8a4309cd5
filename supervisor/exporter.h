/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * From a scikit-learn model to the native format: a Python process started for
 * that one job reads the estimator from a descriptor, writes the model to
 * another and ends. A pickle is a program: Python imports what it will need, then
 * locks itself in (common/cage.h), then reads it. Whatever it does or does not do,
 * the supervisor only waits, up to a deadline.
 */
#ifndef CANARYD_EXPORTER_H
#define CANARYD_EXPORTER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/err.h"

struct event_base;
struct exporter;

struct exporter_options {
    const char *python;  /* path of the interpreter; "": not installed */
    const char *program; /* path of export.py */
    int64_t timeout_ms;
    int64_t max_bytes;    /* of the result */
    int64_t memory_bytes; /* of address space */
    uid_t uid;            /* whom it becomes before it reads; 0: who we are */
    gid_t gid;
    bool allow_uncaged; /* where the kernel has no Landlock or seccomp */
};

/* A child that exits so and says why was given a model for which the native format
 * has no words: nothing is wrong with it (models/export.py has the number too). */
#define EXPORTER_EXIT_INEXPRESSIBLE 10

/* Called once: native_fd is a sealed memfd with the model in the native format,
 * now the listener's; or -1 and why ("model-inexpressible", "model-invalid",
 * "python-missing", "cage-missing", "worker-start-timeout", "cancelled"). The exporter
 * frees itself after it. */
struct exporter_listener {
    void (*done)(void *arg, int native_fd, const struct err *why);
    void *arg;
};

/* name: the file's name, for messages. pickle_fd: borrowed until the child has
 * it. NULL with err when it could not even be started. */
struct exporter *exporter_start(struct event_base *base, const struct exporter_options *options,
                                const char *name, int pickle_fd,
                                const struct exporter_listener *listener, struct err *e);

/* Kills the job. The listener still hears of its end ("cancelled"). */
void exporter_cancel(struct exporter *x);

#endif
