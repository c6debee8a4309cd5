/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * See python.h.
 */
#include "tests/support/python.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/fdio.h"
#include "common/mem.h"
#include "tests/support/workdir.h"

int python_run(const char *script, const char *arg)
{
    int status = 0;
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        execl(PYTHON, PYTHON, "-c", script, arg, (char *)NULL);
        _exit(127);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
        return -1;
    return WEXITSTATUS(status);
}

void python_make_models(const char *dir)
{
    static const char script[] = "import runpy, sys\nsys.dont_write_bytecode = True\n"
                                 "runpy.run_path('tests/data/make_python_models.py', "
                                 "run_name='__main__')\n";
    assert_int_equal(python_run(script, dir), 0);
}

static char *models;

int python_group_setup(void **state)
{
    (void)state;
    if (!python_has_sklearn())
        return 0;
    models = workdir_new();
    python_make_models(models);
    return 0;
}

int python_group_teardown(void **state)
{
    (void)state;
    if (models != NULL)
        workdir_free(&models);
    return 0;
}

const char *python_models(void)
{
    return models;
}

double *python_read_numbers(const char *name, size_t *n)
{
    char *path = workdir_path(models, name);
    char *bytes;
    size_t n_bytes;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(fd_read_file(fd, path, 1 << 20, &bytes, &n_bytes, NULL), 0);
    double *numbers = mem_array(n_bytes / sizeof *numbers + 1, sizeof *numbers);
    memcpy(numbers, bytes, n_bytes);
    *n = n_bytes / sizeof *numbers;
    fd_close(&fd);
    free(bytes);
    free(path);
    return numbers;
}

bool python_has_sklearn(void)
{
    static int known = -1;
    if (known < 0)
        known = python_run("try:\n import sklearn, joblib, msgpack\n"
                           "except Exception: raise SystemExit(1)",
                           "") == 0;
    return known == 1;
}
