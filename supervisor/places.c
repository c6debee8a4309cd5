/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * See places.h.
 */
#include "supervisor/places.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "common/fdio.h"
#include "common/log.h"
#include "common/mem.h"
#include "supervisor/settings.h"
#include "supervisor/spawn.h"

#define PATH_SIZE 4096

/* setting, or the directory that systemd made for us (the first where there are
 * several, separated by ':' as in systemd.exec(5)), or one beneath here. */
static char *choose_dir(const char *setting, const char *variable, const char *fallback)
{
    const char *from_systemd = getenv(variable);
    if (setting[0] != '\0')
        return mem_strdup(setting);
    if (from_systemd == NULL || from_systemd[0] != '/')
        return mem_strdup(fallback);
    return mem_printf("%.*s", (int)strcspn(from_systemd, ":"), from_systemd);
}

static char *choose_worker(const char *setting, const char *dir)
{
    return setting[0] != '\0' ? mem_strdup(setting) : mem_printf("%s/canary-worker", dir);
}

/* Scripts are no programs of the machine's kind: in a build tree they stand beside
 * their sources. In the end the path of the last place, whether it is there or not. */
#define N_SCRIPT_PLACES 3
static const char *const exporter_places[N_SCRIPT_PLACES] = {
    "../models/export.py", "../../models/export.py", "../share/canaryd/export.py"};
static const char *const python_worker_places[N_SCRIPT_PLACES] = {
    "../worker/python/canary_worker.py", "../../worker/python/canary_worker.py",
    "canary-worker-python"};

static char *choose_script(const char *setting, const char *dir,
                           const char *const places[N_SCRIPT_PLACES])
{
    char *path = mem_strdup(setting);
    for (size_t i = 0; setting[0] == '\0' && i < N_SCRIPT_PLACES; i++) {
        free(path);
        path = mem_printf("%s/%s", dir, places[i]);
        if (access(path, R_OK) == 0)
            break;
    }
    return path;
}

static char *choose_canaryctl(const char *dir)
{
    char here[PATH_SIZE];
    if (getcwd(here, sizeof here) == NULL)
        return mem_strdup("canaryctl");
    size_t n = strlen(here);
    if (strncmp(dir, here, n) == 0 && dir[n] == '/')
        return mem_printf("%s/canaryctl", dir + n + 1);
    return mem_strdup("canaryctl");
}

struct places *places_find(const struct settings *settings, struct err *e)
{
    char dir[PATH_SIZE];
    if (program_dir(dir, sizeof dir) < 0) {
        err_set(e, "no-worker", "/proc/self/exe is not there: is /proc mounted?");
        return NULL;
    }
    struct places *p = mem_alloc(sizeof *p);
    *p = (struct places){
        .state_dir = choose_dir(settings->state_dir, "STATE_DIRECTORY", "var/state"),
        .runtime_dir = choose_dir(settings->runtime_dir, "RUNTIME_DIRECTORY", "var/run"),
        .workers.native = choose_worker(settings->worker_program, dir),
        .workers.python = choose_script(settings->python_worker_program, dir, python_worker_places),
        .exporter_program = choose_script(settings->exporter_program, dir, exporter_places),
        .canaryctl = choose_canaryctl(dir),
        .runtime_fd = -1,
    };
    if (access(p->workers.native, X_OK) < 0) {
        err_set_errno(e, "no-worker", "worker_program: %s", p->workers.native);
        places_free(&p);
    }
    return p;
}

void places_free(struct places **p)
{
    if (*p == NULL)
        return;
    free((*p)->state_dir);
    free((*p)->runtime_dir);
    free((*p)->workers.native);
    free((*p)->workers.python);
    free((*p)->exporter_program);
    free((*p)->canaryctl);
    fd_close(&(*p)->runtime_fd);
    free(*p);
    *p = NULL;
}

int places_check(const struct places *p, struct err *e)
{
    const char *const dirs[] = {p->state_dir, p->runtime_dir};
    for (size_t i = 0; i < sizeof dirs / sizeof dirs[0]; i++)
        if (dir_is_open_to_all(dirs[i]))
            return err_set(e, "unsafe-directory",
                           "%s: anybody may write to it; expected a directory of canaryd's own, "
                           "mode 0750 or less",
                           dirs[i]);
    return 0;
}

int places_lock_runtime_dir(struct places *p, struct err *e)
{
    if (dir_create(p->runtime_dir, 0750, e) < 0)
        return -1;
    p->runtime_fd = open(p->runtime_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (p->runtime_fd < 0)
        return err_set_errno(e, "cannot-create", "runtime directory %s", p->runtime_dir);
    if (flock(p->runtime_fd, LOCK_EX | LOCK_NB) == 0)
        return 0;
    return errno == EWOULDBLOCK
               ? err_set(e, "already-running", "another canaryd uses the runtime directory %s",
                         p->runtime_dir)
               : err_set_errno(e, "cannot-create", "lock on %s", p->runtime_dir);
}

static void write_line(const struct places *p, const char *name, const char *line)
{
    char *path = mem_printf("%s/%s", p->runtime_dir, name);
    char *fresh = mem_printf("%s.new", path);
    FILE *f = fopen(fresh, "we");
    bool written = f != NULL && fprintf(f, "%s\n", line) > 0;
    if (f != NULL && fclose(f) != 0)
        written = false;
    if (!written || rename(fresh, path) < 0)
        log_warn("%s: %s", path, strerror(errno));
    free(fresh);
    free(path);
}

static void remove_file(const struct places *p, const char *name)
{
    char *path = mem_printf("%s/%s", p->runtime_dir, name);
    unlink(path);
    free(path);
}

void places_write_address(const struct places *p, const char *address, const char *admin)
{
    if (admin != NULL) /* the first, so that who waits for the other finds both */
        write_line(p, "admin_listen", admin);
    write_line(p, "listen", address);
}

void places_remove_address(const struct places *p)
{
    remove_file(p, "listen");
    remove_file(p, "admin_listen");
}
