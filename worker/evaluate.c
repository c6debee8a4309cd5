/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Rows in, outputs out; see evaluate.h. The serving loop does not use this.
 */
#include "worker/evaluate.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "common/err.h"
#include "common/fdio.h"
#include "common/log.h"
#include "common/mem.h"
#include "worker/model.h"

#define MAX_MODEL_BYTES ((size_t)1 << 30)

static struct model *read_file(const char *path, struct err *e)
{
    struct model *m = NULL;
    char *text = NULL;
    size_t n;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        err_set_errno(e, "file-unreadable", "%s", path);
        return NULL;
    }
    if (fd_read_file(fd, path, MAX_MODEL_BYTES, &text, &n, e) == 0) {
        m = model_read(text, n, e);
        if (m == NULL)
            err_prefix(e, "%s", path);
    }
    free(text);
    fd_close(&fd);
    return m;
}

/* The numbers of one line into x[n]. Returns how many there were (at most n + 1:
 * the rest is not read), or -1 with err. */
static int parse_row(const char *line, double *x, size_t n, struct err *e)
{
    static const char *const separators = ", \t\r\n";
    size_t got = 0;
    const char *p = line + strspn(line, separators);
    for (; *p != '\0' && got <= n; p += strspn(p, separators)) {
        char *end;
        double number = strtod(p, &end);
        if (end == p || strchr(separators, *end) == NULL)
            return err_set(e, "bad-row", "\"%.40s\" does not start with a number", p);
        if (got < n)
            x[got] = number;
        got++;
        p = end;
    }
    return (int)got;
}

/* 0, also for an empty line, or -1 with err. */
static int evaluate_line(const struct model *m, const char *line, double *x, FILE *out,
                         struct err *e)
{
    size_t n = model_n_features(m);
    double y;
    int got = parse_row(line, x, n, e);
    if (got <= 0)
        return got;
    if ((size_t)got != n)
        return err_set(e, "wrong-length", "expected %zu numbers, got %s%d", n,
                       (size_t)got > n ? "at least " : "", got);
    if (model_predict(m, x, 1, &y, e) < 0)
        return -1;
    return fprintf(out, "%.17g\n", y) < 0 ? err_set_errno(e, "file-unwritable", "output") : 0;
}

static int evaluate_lines(const struct model *m, FILE *in, FILE *out)
{
    struct err e = {0};
    char *line = NULL;
    size_t size = 0;
    size_t number = 0;
    int rc = 0;
    double *x = mem_array(model_n_features(m), sizeof(*x));
    while (rc == 0 && getline(&line, &size, in) >= 0) {
        number++;
        rc = evaluate_line(m, line, x, out, &e);
    }
    if (rc < 0)
        log_error("line %zu: %s", number, e.text);
    free(line);
    free(x);
    return fflush(out) == 0 ? rc : -1;
}

int evaluate_file(const char *path, FILE *in, FILE *out)
{
    struct err e = {0};
    struct model *m = read_file(path, &e);
    if (m == NULL) {
        log_error("%s", e.text);
        return -1;
    }
    int rc = evaluate_lines(m, in, out);
    model_free(&m);
    return rc;
}
