/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Debian's Python, for the tests that need scikit-learn. A machine without it
 * runs the others: such a test begins with SKIP_WITHOUT_SKLEARN().
 */
#ifndef CANARYD_TESTS_PYTHON_H
#define CANARYD_TESTS_PYTHON_H

#include <stdbool.h>
#include <stddef.h>

#define PYTHON "/usr/bin/python3"

/* Runs the script with one argument; its output is the test's. Returns its
 * exit code, or -1 when it could not be run. */
int python_run(const char *script, const char *arg);

bool python_has_sklearn(void); /* joblib and msgpack too; asked once */

/* The models of tests/data/make_python_models.py, with scikit-learn's own answers. */
void python_make_models(const char *dir);

/* The same for a group of tests, in a directory that goes with it; python_models()
 * is that, NULL where there is no scikit-learn. */
int python_group_setup(void **state);
int python_group_teardown(void **state);
const char *python_models(void);

/* Doubles that it wrote there ("rows.bin", "near.single"); free() them. */
double *python_read_numbers(const char *name, size_t *n);

#define SKIP_WITHOUT_SKLEARN()                                                                     \
    do {                                                                                           \
        if (!python_has_sklearn()) {                                                               \
            print_message("SKIP %s: " PYTHON " lacks scikit-learn, joblib or msgpack\n",           \
                          __func__);                                                               \
            skip();                                                                                \
        }                                                                                          \
    } while (0)

#endif
