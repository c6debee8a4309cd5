/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A model file, held: found beneath the model directory, copied into a sealed
 * memfd and hashed there, so that what was checked is what a worker loads,
 * whatever happens to the file. Reference counted, because a version outlives
 * its processes.
 */
#ifndef CANARYD_MODELREF_H
#define CANARYD_MODELREF_H

#include <stddef.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"

#define SHA256_TEXT_SIZE 65

/* Which worker serves a model. */
enum runtime {
    RUNTIME_NATIVE, /* canary-worker, from the native format */
    RUNTIME_PYTHON, /* canary-worker-python, from the file as it is */
    N_RUNTIMES
};

const char *runtime_name(enum runtime runtime); /* "native", "python" */

struct modelref {
    char *path;                    /* as the operator gave it */
    char *name;                    /* its last part: "model_v2.joblib" */
    char *version;                 /* name without extension, @, 12 digits of sha256 */
    char sha256[SHA256_TEXT_SIZE]; /* of the file's bytes, lower-case hex */
    int fd;                        /* sealed memfd with the file's bytes */
    enum runtime runtime;
    int served_fd; /* sealed memfd that its workers read: an export, or fd itself */
    int n_references;
};

/* Opens path beneath model_dir and copies it. Blocking: for the helper thread.
 * Returns a reference, or NULL with err: "missing-model-path",
 * "path-outside-model-dir", "model-not-found", "not-a-regular-file",
 * "model-unreadable", "model-too-large". */
struct modelref *modelref_open(const char *model_dir, const char *path, int64_t max_bytes,
                               struct err *e);

/* Gives a model that was read from a copy the path and hash of its original. */
void modelref_rename(struct modelref *m, const char *path, const char sha256[SHA256_TEXT_SIZE]);

struct modelref *modelref_keep(struct modelref *m); /* one reference more; returns m */
void modelref_free(struct modelref **m);            /* gives one back */

/* ".json", ".joblib", ...: from the last dot of name on, or "". */
const char *modelref_extension(const char *name);

/* Seals a memfd against every change. 0, or -1 with errno. */
int memfd_seal(int fd);

#endif
