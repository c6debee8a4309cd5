/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Where things are: directories, companion programs, and the file that tells
 * which address is served.
 */
#ifndef CANARYD_PLACES_H
#define CANARYD_PLACES_H

#include "common/err.h"

struct settings;

/* Paths of what serves models. */
struct worker_programs {
    char *native; /* canary-worker */
    char *python; /* canary-worker-python; may not exist */
};

struct places {
    char *state_dir;   /* state.json, the models that it names, journal */
    char *runtime_dir; /* board, addresses, the admin socket of a relative path */
    struct worker_programs workers;
    char *exporter_program; /* export.py; may not exist */
    char *canaryctl;        /* as a person here would call it */
    int runtime_fd;         /* runtime_dir, locked; -1: not yet */
};

/* What the settings name, else what systemd or the place of the running program
 * suggests. NULL with err when there is no canary-worker. */
struct places *places_find(const struct settings *settings, struct err *e);
void places_free(struct places **p);

/* Before anything is written: 0, or -1 with err "unsafe-directory" when anybody may
 * write to state_dir or runtime_dir. Who can write there chooses what is served. */
int places_check(const struct places *p, struct err *e);

/* Creates runtime_dir and takes it for this process. 0, or -1 with err
 * "cannot-create", or "already-running" when another canaryd has it. */
int places_lock_runtime_dir(struct places *p, struct err *e);

/* Writes runtime_dir/listen, and admin_listen when admin is not NULL, for whoever started us on
 * port 0. */
void places_write_address(const struct places *p, const char *address, const char *admin);
void places_remove_address(const struct places *p);

#endif
