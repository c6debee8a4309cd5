/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The state on disk: state_dir/state.json and, in state_dir/models, the models it
 * names, as they were served: the next start does not need the operator's files,
 * and Python only for what Python serves. Written to a temporary file, fsynced
 * and renamed, so what is there is always whole: the old or the new.
 */
#ifndef CANARYD_STORE_H
#define CANARYD_STORE_H

#include <stdbool.h>

#include "common/err.h"

struct chores;
struct modelref;
struct saved_model;
struct saved_state;
struct store;

/* dir exists. Never fails: what can't be written shows at the first save. */
struct store *store_new(const char *dir, struct chores *chores);
void store_free(struct store **s);         /* after the chores have ended */
bool store_is_busy(const struct store *s); /* a save is under way */

/* Blocking, for the start. *state becomes the caller's, or NULL when there is
 * none; one that is damaged is set aside under another name and logged. -1 with
 * err "state-newer" or "file-unreadable": not to be touched, not to go on. */
int store_load(struct store *s, struct saved_state **state, struct err *e);

/* Blocking, for the start: the model as it was served. A reference, or NULL with
 * err "model-not-found" or "model-invalid" (its bytes are not those that were saved). */
struct modelref *store_open_model(struct store *s, const struct saved_model *saved, struct err *e);

/* Saves in the helper thread, in the order of the calls, and removes the models
 * that are no longer named. Takes state, keeps references to the models while it
 * works (either may be NULL). done (may be NULL) runs in the loop: why is NULL,
 * or "state-not-saved", and the old state stands. */
void store_save(struct store *s, struct saved_state *state, struct modelref *stable,
                struct modelref *canary, void (*done)(void *arg, const struct err *why), void *arg);

#endif
