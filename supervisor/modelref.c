/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * See modelref.h. That a path stays beneath the model directory is beneath.c's.
 */
#include "supervisor/modelref.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sha2.h>

#include "common/fdio.h"
#include "common/mem.h"
#include "supervisor/beneath.h"

#define COPY_BYTES     65536
#define VERSION_DIGITS 12

const char *runtime_name(enum runtime runtime)
{
    static const char *const names[N_RUNTIMES] = {
        [RUNTIME_NATIVE] = "native",
        [RUNTIME_PYTHON] = "python",
    };
    return names[runtime];
}

/* models/model_v2.json and model_v2.json are the same file: an operator may
 * write the directory's own name in front, as the specification does. */
static const char *without_dir_name(const char *model_dir, const char *path)
{
    size_t end = strlen(model_dir);
    while (end > 1 && model_dir[end - 1] == '/')
        end--;
    size_t start = end;
    while (start > 0 && model_dir[start - 1] != '/')
        start--;
    size_t n = end - start;
    if (n > 0 && strncmp(path, model_dir + start, n) == 0 && path[n] == '/')
        return path + n + 1;
    return path;
}

static int explain_open(int error, const char *path, struct err *e)
{
    switch (error) {
    case ENOENT:
        return err_set(e, "model-not-found",
                       "model_path: no file \"%.200s\" in the model directory", path);
    case EXDEV:
    case ELOOP:
        return err_set(e, "path-outside-model-dir",
                       "model_path: \"%.200s\" leads out of the model directory or through a "
                       "symbolic link; give a path beneath it",
                       path);
    case ENOTDIR:
    case ENXIO:
        return err_set(e, "not-a-regular-file", "model_path: \"%.200s\" is not a regular file",
                       path);
    case ENAMETOOLONG:
        return err_set(e, "path-outside-model-dir", "model_path: the path is too long (%zu bytes)",
                       strlen(path));
    default:
        errno = error;
        return err_set_errno(e, "model-unreadable", "model_path: \"%.200s\" cannot be opened",
                             path);
    }
}

static int open_beneath(const char *model_dir, const char *path, struct err *e)
{
    int dir = open(model_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return err_set_errno(e, "model-unreadable", "model directory %s", model_dir);
    int fd = beneath_open(dir, path);
    int error = errno;
    fd_close(&dir);
    return fd >= 0 ? fd : explain_open(error, path, e);
}

static int check_file(int fd, const char *path, int64_t max_bytes, off_t *size, struct err *e)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return err_set_errno(e, "model-unreadable", "model_path: \"%.200s\"", path);
    if (!S_ISREG(st.st_mode))
        return err_set(e, "not-a-regular-file", "model_path: \"%.200s\" is not a regular file",
                       path);
    if (st.st_nlink > 1) /* none: it has just been replaced, and we have the old one whole */
        return err_set(e, "not-a-regular-file",
                       "model_path: \"%.200s\" has %lu hard links; a model file has one, or it "
                       "could be another file in disguise",
                       path, (unsigned long)st.st_nlink);
    if (st.st_size > max_bytes)
        return err_set(e, "model-too-large",
                       "model_path: \"%.200s\" has %lld bytes; max_model_bytes is %lld", path,
                       (long long)st.st_size, (long long)max_bytes);
    *size = st.st_size;
    return 0;
}

/* Copies the size bytes that were there at the open, hashing on the way. */
static int copy_and_hash(int from, int to, off_t size, const char *path,
                         char sha256[SHA256_TEXT_SIZE], struct err *e)
{
    SHA2_CTX hash;
    uint8_t *buffer = mem_array(COPY_BYTES, 1);
    int rc = 0;
    SHA256Init(&hash);
    while (size > 0 && rc == 0) {
        size_t want = size < COPY_BYTES ? (size_t)size : COPY_BYTES;
        ssize_t n = read(from, buffer, want);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            rc = err_set_errno(e, "model-unreadable", "model_path: \"%.200s\"", path);
        else if (n == 0)
            rc = err_set(e, "model-invalid",
                         "model_path: \"%.200s\" became shorter while it was read; is it being "
                         "written? Write beside it and rename",
                         path);
        else if (fd_write_all(to, buffer, (size_t)n) < 0)
            rc = err_set_errno(e, "model-unreadable", "model_path: \"%.200s\": no memory", path);
        else
            SHA256Update(&hash, buffer, (size_t)n);
        size -= n > 0 ? n : 0;
    }
    SHA256End(&hash, sha256);
    free(buffer);
    return rc;
}

int memfd_seal(int fd)
{
    return fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE);
}

static int copy_to_memfd(int file, off_t size, struct modelref *m, struct err *e)
{
    m->fd = memfd_create("canaryd-model", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (m->fd < 0)
        return err_set_errno(e, "model-unreadable", "no memory file for the model");
    if (copy_and_hash(file, m->fd, size, m->path, m->sha256, e) < 0)
        return -1;
    if (memfd_seal(m->fd) < 0)
        return err_set_errno(e, "model-unreadable", "the model's memory file cannot be sealed");
    return 0;
}

static void name_it(struct modelref *m)
{
    const char *slash = strrchr(m->path, '/');
    m->name = mem_strdup(slash != NULL ? slash + 1 : m->path);
    int stem = (int)(strlen(m->name) - strlen(modelref_extension(m->name)));
    m->version = mem_printf("%.*s@%.*s", stem, m->name, VERSION_DIGITS, m->sha256);
    /* The version stands in a response header and on the board. */
    for (char *p = m->version; *p != '\0'; p++)
        if (!isalnum((unsigned char)*p) && strchr("._-@", *p) == NULL)
            *p = '_';
}

struct modelref *modelref_open(const char *model_dir, const char *path, int64_t max_bytes,
                               struct err *e)
{
    off_t size = 0;
    if (path[0] == '\0') {
        err_set(e, "missing-model-path", "model_path: expected the path of a model, got \"\"");
        return NULL;
    }
    int file = open_beneath(model_dir, without_dir_name(model_dir, path), e);
    if (file < 0)
        return NULL;
    struct modelref *m = mem_alloc(sizeof *m);
    *m = (struct modelref){.path = mem_strdup(path), .fd = -1, .served_fd = -1, .n_references = 1};
    int rc = check_file(file, path, max_bytes, &size, e);
    if (rc == 0)
        rc = copy_to_memfd(file, size, m, e);
    fd_close(&file);
    if (rc < 0)
        modelref_free(&m);
    else
        name_it(m);
    return m;
}

void modelref_rename(struct modelref *m, const char *path, const char sha256[SHA256_TEXT_SIZE])
{
    free(m->path);
    free(m->name);
    free(m->version);
    m->path = mem_strdup(path);
    memcpy(m->sha256, sha256, SHA256_TEXT_SIZE);
    name_it(m);
}

struct modelref *modelref_keep(struct modelref *m)
{
    m->n_references++;
    return m;
}

void modelref_free(struct modelref **handle)
{
    struct modelref *m = *handle;
    *handle = NULL;
    if (m == NULL || --m->n_references > 0)
        return;
    if (m->served_fd != m->fd)
        fd_close(&m->served_fd);
    fd_close(&m->fd);
    free(m->path);
    free(m->name);
    free(m->version);
    free(m);
}

const char *modelref_extension(const char *name)
{
    const char *dot = strrchr(name, '.');
    return dot != NULL && dot != name ? dot : "";
}
