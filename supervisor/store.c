/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * See store.h. A model is stored once, under the hash of what its workers read.
 */
#include "supervisor/store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sha2.h>

#include "common/clock.h"
#include "common/fdio.h"
#include "common/log.h"
#include "common/mem.h"
#include "supervisor/chores.h"
#include "supervisor/modelref.h"
#include "supervisor/state.h"

#define MAX_STATE_BYTES (1024UL * 1024)
#define MAX_MODEL_BYTES (1024UL * 1024 * 1024)

struct store {
    char *dir;
    char *models; /* dir/models */
    struct chores *chores;
    int n_saving;
};

/* One save, on its way through the helper thread, which owns it meanwhile. */
struct save {
    struct store *store;
    struct saved_state *state;
    struct modelref *stable;
    struct modelref *canary;
    void (*done)(void *arg, const struct err *why);
    void *arg;
    bool failed;
    struct err why;
};

struct store *store_new(const char *dir, struct chores *chores)
{
    struct store *s = mem_alloc(sizeof *s);
    *s = (struct store){
        .dir = mem_strdup(dir), .models = mem_printf("%s/models", dir), .chores = chores};
    return s;
}

void store_free(struct store **s)
{
    if (*s == NULL)
        return;
    free((*s)->dir);
    free((*s)->models);
    free(*s);
    *s = NULL;
}

bool store_is_busy(const struct store *s)
{
    return s->n_saving > 0;
}

/* --- Loading ----------------------------------------------------------------*/

static void set_aside(const char *path, const struct err *why)
{
    char now[CLOCK_TEXT_SIZE];
    clock_text(clock_wall_ns(), now);
    char *aside = mem_printf("%s.damaged-%.19s", path, now);
    if (rename(path, aside) == 0)
        log_warn("%s: %s; it is set aside as %s, and the settings say what to serve", path,
                 why->text, aside);
    else
        log_warn("%s: %s; the settings say what to serve", path, why->text);
    free(aside);
}

static int parse_file(int fd, const char *path, struct saved_state **state, struct err *e)
{
    char *text;
    size_t n;
    if (fd_read_file(fd, path, MAX_STATE_BYTES, &text, &n, e) < 0)
        return -1;
    *state = state_parse(text, n, e);
    free(text);
    return *state != NULL ? 0 : -1;
}

int store_load(struct store *s, struct saved_state **state, struct err *e)
{
    char *path = mem_printf("%s/state.json", s->dir);
    int rc = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
    *state = NULL;
    if (fd < 0 && errno != ENOENT && errno != ELOOP)
        rc = err_set_errno(e, "file-unreadable", "%s", path);
    else if (fd < 0 && errno == ELOOP)
        set_aside(path, &(struct err){.text = "it is a symbolic link"});
    else if (fd >= 0 && parse_file(fd, path, state, e) < 0) {
        rc = strcmp(e->code, "state-newer") == 0 ? -1 : 0;
        if (rc < 0)
            err_prefix(e, "%s", path);
        else
            set_aside(path, e);
    }
    fd_close(&fd);
    free(path);
    return rc;
}

#define NAME_SIZE (SHA256_TEXT_SIZE + 8)

static void name_file(const struct saved_model *saved, char name[NAME_SIZE])
{
    static const char *const extensions[N_RUNTIMES] = {
        [RUNTIME_NATIVE] = ".json",
        [RUNTIME_PYTHON] = ".joblib",
    };
    snprintf(name, NAME_SIZE, "%s%s", saved->served_sha256, extensions[saved->runtime]);
}

struct modelref *store_open_model(struct store *s, const struct saved_model *saved, struct err *e)
{
    char name[NAME_SIZE];
    name_file(saved, name);
    struct modelref *m = modelref_open(s->models, name, (int64_t)MAX_MODEL_BYTES, e);
    if (m == NULL)
        return NULL;
    if (strcmp(m->sha256, saved->served_sha256) != 0) {
        err_set(e, "model-invalid", "%s/%s: its bytes are not those that were saved", s->models,
                name);
        modelref_free(&m);
        return NULL;
    }
    m->served_fd = m->fd;
    m->runtime = saved->runtime;
    modelref_rename(m, saved->path, saved->sha256);
    return m;
}

/* --- Saving, in the helper thread -------------------------------------------*/

static int sync_dir(const char *dir)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int rc = fd < 0 ? -1 : fsync(fd);
    fd_close(&fd);
    return rc;
}

/* Writes dir/name whole or not at all. 0, or -1 with errno. */
static int write_file(const char *dir, const char *name, const char *bytes, size_t n)
{
    char *path = mem_printf("%s/%s", dir, name);
    char *fresh = mem_printf("%s.new", path);
    int fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0640);
    int rc = fd < 0 ? -1 : fd_write_all(fd, bytes, n);
    if (rc == 0)
        rc = fsync(fd);
    fd_close(&fd);
    if (rc == 0)
        rc = rename(fresh, path);
    if (rc == 0)
        rc = sync_dir(dir);
    int error = errno;
    if (rc < 0)
        unlink(fresh);
    free(fresh);
    free(path);
    errno = error;
    return rc;
}

static bool is_stored(const char *dir, const char *name, size_t size)
{
    struct stat st;
    char *path = mem_printf("%s/%s", dir, name);
    bool stored = stat(path, &st) == 0 && S_ISREG(st.st_mode) && (size_t)st.st_size == size;
    free(path);
    return stored;
}

/* Stores what m serves and writes its hash into saved. */
static int store_model(const struct store *s, const struct modelref *m, struct saved_model *saved,
                       struct err *e)
{
    char name[NAME_SIZE];
    char *bytes;
    size_t n;
    if (m == NULL)
        return 0;
    if (fd_read_file(m->served_fd, m->name, MAX_MODEL_BYTES, &bytes, &n, e) < 0)
        return -1;
    SHA256Data((const uint8_t *)bytes, n, saved->served_sha256);
    saved->runtime = m->runtime;
    name_file(saved, name);
    int rc = 0;
    if (!is_stored(s->models, name, n) && write_file(s->models, name, bytes, n) < 0)
        rc = err_set_errno(e, "state-not-saved", "%s/%s", s->models, name);
    free(bytes);
    return rc;
}

static bool is_named(const char *name, const struct saved_state *s)
{
    const struct saved_model *models[] = {&s->stable, &s->canary};
    for (size_t i = 0; i < 2; i++)
        if (models[i]->path != NULL &&
            strncmp(name, models[i]->served_sha256, SHA256_TEXT_SIZE - 1) == 0)
            return true;
    return false;
}

static void remove_unnamed_models(const struct store *s, const struct saved_state *state)
{
    const struct dirent *entry;
    DIR *dir = opendir(s->models);
    if (dir == NULL)
        return;
    while ((entry = readdir(dir)) != NULL)
        if (entry->d_name[0] != '.' && !is_named(entry->d_name, state))
            unlinkat(dirfd(dir), entry->d_name, 0);
    closedir(dir);
}

static int save_all(struct save *save)
{
    const struct store *s = save->store;
    struct err *e = &save->why;
    if (dir_create(s->models, 0750, e) < 0 ||
        store_model(s, save->stable, &save->state->stable, e) < 0 ||
        store_model(s, save->canary, &save->state->canary, e) < 0)
        return -1;
    char *text = state_print(save->state);
    int rc = write_file(s->dir, "state.json", text, strlen(text));
    if (rc < 0)
        err_set_errno(e, "state-not-saved", "%s/state.json", s->dir);
    cJSON_free(text);
    if (rc == 0)
        remove_unnamed_models(s, save->state);
    return rc;
}

static void work(void *arg)
{
    struct save *save = arg;
    save->failed = save_all(save) < 0;
    if (save->failed)
        save->why.code = "state-not-saved";
}

static void on_saved(void *arg)
{
    struct save *save = arg;
    const struct err *why = save->failed ? &save->why : NULL;
    save->store->n_saving--;
    if (save->failed)
        log_error("the state could not be saved: %s", save->why.text);
    if (save->done != NULL)
        save->done(save->arg, why);
    modelref_free(&save->stable);
    modelref_free(&save->canary);
    saved_state_free(&save->state);
    free(save);
}

static void name_model(struct saved_model *saved, const struct modelref *m)
{
    if (m == NULL)
        return;
    saved->path = mem_strdup(m->path);
    memcpy(saved->sha256, m->sha256, sizeof saved->sha256);
}

void store_save(struct store *s, struct saved_state *state, struct modelref *stable,
                struct modelref *canary, void (*done)(void *arg, const struct err *why), void *arg)
{
    struct save *save = mem_alloc(sizeof *save);
    *save = (struct save){
        .store = s,
        .state = state,
        .stable = stable != NULL ? modelref_keep(stable) : NULL,
        .canary = canary != NULL ? modelref_keep(canary) : NULL,
        .done = done,
        .arg = arg,
    };
    name_model(&state->stable, stable);
    name_model(&state->canary, canary);
    s->n_saving++;
    chores_add(s->chores, work, on_saved, save);
}
