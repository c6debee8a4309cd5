/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A load goes through the helper thread, then perhaps through the exporter;
 * see loader.h.
 */
#include "supervisor/loader.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "common/fdio.h"
#include "common/log.h"
#include "common/mem.h"
#include "supervisor/chores.h"
#include "supervisor/exporter.h"
#include "supervisor/modelref.h"

struct loader {
    struct event_base *base;
    struct chores *chores;
    int n_loading;
};

struct load {
    struct loader *loader;
    char *model_dir;
    char *python;
    char *exporter_program;
    struct load_options options; /* its numbers; the texts are those above */
    char *path;
    char *sha256; /* or NULL */
    void (*done)(void *arg, struct modelref *model, const struct err *why);
    void *arg;
    struct exporter *exporter; /* while it runs */
    struct modelref *model;    /* written by the helper thread */
    struct err why;            /* likewise */
};

struct loader *loader_new(struct event_base *base, struct chores *chores)
{
    struct loader *l = mem_alloc(sizeof *l);
    *l = (struct loader){.base = base, .chores = chores};
    return l;
}

void loader_free(struct loader **l)
{
    free(*l);
    *l = NULL;
}

bool loader_is_busy(const struct loader *l)
{
    return l->n_loading > 0;
}

static void load_free(struct load *load)
{
    modelref_free(&load->model);
    free(load->model_dir);
    free(load->python);
    free(load->exporter_program);
    free(load->path);
    free(load->sha256);
    free(load);
}

/* Hands over the model, or says why there is none, and ends the load. */
static void finish(struct load *load, const struct err *why)
{
    struct modelref *model = NULL;
    load->loader->n_loading--;
    if (load->done != NULL) {
        if (why == NULL) {
            model = load->model;
            load->model = NULL;
        }
        load->done(load->arg, model, why);
    }
    load_free(load);
}

/* In the helper thread: touches nothing but the load. */
static void open_model(void *arg)
{
    struct load *load = arg;
    load->model =
        modelref_open(load->model_dir, load->path, load->options.max_model_bytes, &load->why);
}

/* It is a model, as far as the exporter can tell, but not for canary-worker. */
static void on_inexpressible(struct load *load, const struct err *why)
{
    if (!load->options.python_serves) {
        err_set(&load->why, "model-invalid", "%.400s; the setting python_worker is off", why->text);
        finish(load, &load->why);
        return;
    }
    log_info("%s; so the Python worker serves it", why->text);
    load->model->runtime = RUNTIME_PYTHON;
    load->model->served_fd = load->model->fd;
    finish(load, NULL);
}

/* To read a pickle is to run it: so not one that anybody may have put there. Asked
 * at every deployment, as the directory may be mended meanwhile. */
static int check_dir(struct load *load)
{
    if (!dir_is_open_to_all(load->model_dir))
        return 0;
    return err_set(&load->why, "unsafe-directory",
                   "%s: anybody may write to model_dir; .joblib and .pkl models, which are "
                   "programs, are refused from it",
                   load->model->name);
}

static void on_exported(void *arg, int native_fd, const struct err *why)
{
    struct load *load = arg;
    load->exporter = NULL;
    if (native_fd >= 0) {
        load->model->served_fd = native_fd;
        finish(load, NULL);
    } else if (strcmp(why->code, "model-inexpressible") == 0) {
        on_inexpressible(load, why);
    } else {
        finish(load, why);
    }
}

static void start_export(struct load *load)
{
    const struct exporter_options options = {
        .python = load->python,
        .program = load->exporter_program,
        .timeout_ms = load->options.timeout_ms,
        .max_bytes = load->options.max_model_bytes,
        .memory_bytes = load->options.memory_bytes,
        .uid = load->options.uid,
        .gid = load->options.gid,
        .allow_uncaged = load->options.allow_uncaged,
    };
    const struct exporter_listener listener = {.done = on_exported, .arg = load};
    load->exporter = exporter_start(load->loader->base, &options, load->model->name,
                                    load->model->fd, &listener, &load->why);
    if (load->exporter == NULL)
        finish(load, &load->why);
}

static int check_sha256(struct load *load)
{
    if (load->sha256 == NULL || strcasecmp(load->sha256, load->model->sha256) == 0)
        return 0;
    return err_set_at(&load->why, "sha256-mismatch", "/sha256",
                      "sha256: \"%.200s\" hashes to %s, not to %.64s", load->path,
                      load->model->sha256, load->sha256);
}

static void on_opened(void *arg)
{
    struct load *load = arg;
    bool is_wanted = load->done != NULL; /* or it was cancelled meanwhile */
    if (!is_wanted || load->model == NULL || check_sha256(load) < 0) {
        finish(load, &load->why);
        return;
    }
    const char *extension = modelref_extension(load->model->name);
    if (strcmp(extension, ".json") == 0) {
        load->model->served_fd = load->model->fd;
        finish(load, NULL);
    } else if (strcmp(extension, ".joblib") == 0 || strcmp(extension, ".pkl") == 0) {
        if (check_dir(load) < 0)
            finish(load, &load->why);
        else
            start_export(load);
    } else {
        err_set(&load->why, "model-invalid",
                "%s: the extension says what a model is; expected .json, .joblib or .pkl",
                load->model->name);
        finish(load, &load->why);
    }
}

struct load *loader_start(struct loader *l, const struct load_options *options, const char *path,
                          const char *sha256,
                          void (*done)(void *arg, struct modelref *model, const struct err *why),
                          void *arg)
{
    struct load *load = mem_alloc(sizeof *load);
    *load = (struct load){
        .loader = l,
        .model_dir = mem_strdup(options->model_dir),
        .python = mem_strdup(options->python),
        .exporter_program = mem_strdup(options->exporter_program),
        .options = *options,
        .path = mem_strdup(path),
        .sha256 = sha256 != NULL ? mem_strdup(sha256) : NULL,
        .done = done,
        .arg = arg,
    };
    l->n_loading++;
    chores_add(l->chores, open_model, on_opened, load);
    return load;
}

void loader_cancel(struct load *load)
{
    load->done = NULL;
    if (load->exporter != NULL)
        exporter_cancel(load->exporter);
}
