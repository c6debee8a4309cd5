/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * From a path to a model that a worker can be started with: copied and hashed
 * by the helper thread, exported by Python where it must be or, where it can't be,
 * left to the Python worker. REST, SIGHUP and the start all take this road.
 * Nothing that is served changes on it.
 */
#ifndef CANARYD_LOADER_H
#define CANARYD_LOADER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/err.h"

struct chores;
struct event_base;
struct load;
struct loader;
struct modelref;

/* Texts are copied. */
struct load_options {
    const char *model_dir;
    const char *python;
    const char *exporter_program;
    int64_t max_model_bytes;
    int64_t timeout_ms; /* of an export, as the next four */
    int64_t memory_bytes;
    uid_t uid;
    gid_t gid;
    bool allow_uncaged;
    bool python_serves; /* what can't be exported; else it is refused */
};

struct loader *loader_new(struct event_base *base, struct chores *chores);
void loader_free(struct loader **l); /* nothing may be loading any more */
bool loader_is_busy(const struct loader *l);

/* sha256: what the file must hash to (hex), or NULL. done is called once, never
 * from inside this call: with a reference that becomes its own, or with NULL and
 * why (the codes of modelref.h and exporter.h, "sha256-mismatch"). */
struct load *loader_start(struct loader *l, const struct load_options *options, const char *path,
                          const char *sha256,
                          void (*done)(void *arg, struct modelref *model, const struct err *why),
                          void *arg);

/* The answer is not wanted any more: done will not be called. */
void loader_cancel(struct load *load);

#endif
