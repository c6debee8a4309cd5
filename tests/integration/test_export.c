/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * models/export.py as the supervisor runs it: a sealed memfd in, a document or
 * one line of reason out, no file and no current directory. What it writes, the
 * C reader must accept. Skipped where Python has no scikit-learn.
 */
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/cage.h"
#include "common/fdio.h"
#include "common/mem.h"
#include "worker/model.h"

#define PYTHON       "/usr/bin/python3"
#define MAX_DOCUMENT (1 << 24)

/* Each model is made by one Python expression, given X (40 rows of 2) and y. */
static const struct {
    const char *expression; /* NULL: the bytes below */
    const char *bytes;
    const char *kind; /* of the document; NULL: refused */
    const char *says; /* part of the reason */
    int status;       /* that it exits with */
} cases[] = {
    {"make_pipeline(StandardScaler(), LogisticRegression()).fit(X, y)", NULL, "logistic-regression",
     NULL, 0},
    {"make_pipeline(MinMaxScaler(clip=True), Ridge()).fit(X, y)", NULL, "linear-regression", NULL,
     0},
    {"DecisionTreeClassifier().fit(X, np.where(y, 'yes', 'no'))", NULL, "decision-tree", NULL, 0},
    {"RandomForestClassifier(7).fit(X, y)", NULL, "random-forest", NULL, 0},
    {"GradientBoostingClassifier(n_estimators=9).fit(X, y)", NULL, "gradient-boosting", NULL, 0},
    {"HistGradientBoostingRegressor(max_iter=9).fit(X, y)", NULL, "gradient-boosting", NULL, 0},
    {"GridSearchCV(LogisticRegression(), {'C': [1, 2]}).fit(X, y)", NULL, "logistic-regression",
     NULL, 0},
    {"make_pipeline(RobustScaler(), MaxAbsScaler(), SGDClassifier(loss='log_loss')).fit(X, y)",
     NULL, "logistic-regression", NULL, 0},
    {"ExtraTreesRegressor(5, n_jobs=2).fit(X, y)", NULL, "random-forest", NULL, 0},
    {"HistGradientBoostingClassifier(max_iter=9).fit(X, y)", NULL, "gradient-boosting", NULL, 0},
    {"GradientBoostingRegressor(n_estimators=9, init='zero').fit(X, y)", NULL, "gradient-boosting",
     NULL, 0},
    {"LinearRegression(n_jobs=-1).fit(np.asfortranarray(X), y)", NULL, "linear-regression", NULL,
     0},
    {"LassoCV(cv=3).fit(X, y)", NULL, "linear-regression", NULL, 0},
    {"SVC(probability=True).fit(X, y)", NULL, NULL, "SVC (sklearn.svm._classes) cannot be", 10},
    {"LogisticRegression().fit(X, np.arange(40) % 3)", NULL, NULL, "3 classes", 10},
    {"LogisticRegression()", NULL, NULL, "is it fitted?", 1},
    {"make_pipeline(PolynomialFeatures(), LogisticRegression()).fit(X, y)", NULL, NULL,
     "the pipeline step PolynomialFeatures", 10},
    {"{'a': 1}", NULL, NULL, "type dict, which has no predict()", 1},
    {NULL, "", NULL, "cannot be loaded", 1},
    {NULL, "a model, honestly\n", NULL, "cannot be loaded", 1},
    {NULL, "csys\nexit\n(I0\ntR.", NULL, "SystemExit", 1},
};

#define N_CASES (sizeof cases / sizeof cases[0])

static char export_path[PATH_MAX];

static const char preamble[] =
    "import joblib, numpy as np\n"
    "from sklearn.ensemble import *\nfrom sklearn.linear_model import *\n"
    "from sklearn.model_selection import *\nfrom sklearn.pipeline import make_pipeline\nfrom "
    "sklearn.preprocessing import *\n"
    "from sklearn.svm import SVC\nfrom sklearn.tree import *\n"
    "X = np.random.default_rng(0).random((40, 2)); y = (X.sum(1) > 1).astype(int)\n";

/* Runs argv with descriptors 3 to 3 + n - 1 being fds[n], in "/". Returns its exit status. */
static int run(const char *const argv[], const int *fds, int n)
{
    int status;
    char *copy[20] = {NULL}; /* execv wants strings that it could write to */
    for (size_t i = 0; i < 19 && argv[i] != NULL; i++)
        copy[i] = mem_strdup(argv[i]);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        for (int i = 0; i < n; i++)
            if (dup2(fds[i], 3 + i) < 0)
                _exit(126);
        if (chdir("/") == 0)
            execv(copy[0], copy);
        _exit(127);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    for (size_t i = 0; copy[i] != NULL; i++)
        free(copy[i]);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* A memfd above the descriptors that run() hands over. */
static int new_memfd(void)
{
    int low = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    int fd = fcntl(low, F_DUPFD_CLOEXEC, 100);
    assert_true(fd >= 0);
    close(low);
    return fd;
}

/* Fills models[] with sealed memfds. One Python makes all that are expressions:
 * it takes a second to start. */
static void make_models(int models[N_CASES])
{
    char *script = mem_strdup(preamble);
    for (size_t i = 0; i < N_CASES; i++) {
        models[i] = new_memfd();
        if (cases[i].expression == NULL) {
            assert_int_equal(fd_write_all(models[i], cases[i].bytes, strlen(cases[i].bytes)), 0);
            continue;
        }
        char *longer =
            mem_printf("%sjoblib.dump(%s, open(%zu, 'wb'))\n", script, cases[i].expression, 3 + i);
        free(script);
        script = longer;
    }
    const char *const argv[] = {PYTHON, "-W", "ignore", "-c", script, NULL};
    assert_int_equal(run(argv, models, N_CASES), 0);
    free(script);
    for (size_t i = 0; i < N_CASES; i++)
        assert_int_equal(
            fcntl(models[i], F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE),
            0);
}

static void check_document(size_t i, const char *text, size_t n)
{
    struct err e = {0};
    struct model *m = model_read(text, n, &e);
    if (m == NULL)
        fail_msg("%s: %s", cases[i].expression, e.text);
    assert_string_equal(model_kind(m), cases[i].kind);
    assert_int_equal(model_n_features(m), 2);
    assert_non_null(strstr(text, "\"probes\""));
    model_free(&m);
}

static void check_reason(size_t i, const char *reason, size_t n)
{
    assert_true(n > 1 && n <= 400);
    assert_ptr_equal(strchr(reason, '\n'), reason + n - 1);
    if (strstr(reason, cases[i].says) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", reason, cases[i].says);
}

static void check_case(size_t i, int model)
{
    const char *const argv[] = {
        PYTHON,        "-I", export_path,     "--from-fd",  "4",         "--to-fd", "5",
        "--reason-fd", "3",  "--source-name", "own.joblib", "--cage-fd", "6",       NULL};
    int fds[4] = {new_memfd(), model, new_memfd(), new_memfd()};
    assert_int_equal(cage_write_filter(CAGE_PYTHON, fds[3], NULL), 0);
    char *reason = NULL;
    char *document = NULL;
    size_t n_reason;
    size_t n_document;
    int status = run(argv, fds, 4);
    assert_int_equal(fd_read_file(fds[0], "reason", 4096, &reason, &n_reason, NULL), 0);
    assert_int_equal(fd_read_file(fds[2], "document", MAX_DOCUMENT, &document, &n_document, NULL),
                     0);
    assert_int_equal(status, cases[i].status);
    if (cases[i].kind != NULL) {
        assert_int_equal(n_reason, 0);
        check_document(i, document, n_document);
    } else {
        assert_int_equal(n_document, 0);
        check_reason(i, reason, n_reason);
    }
    free(reason);
    free(document);
    for (size_t k = 0; k < 4; k++)
        fd_close(&fds[k]);
}

static bool have_sklearn(void)
{
    const char *const argv[] = {PYTHON, "-c", "import sklearn, joblib", NULL};
    return access(PYTHON, X_OK) == 0 && run(argv, NULL, 0) == 0;
}

static void test_models(void **state)
{
    (void)state;
    if (!have_sklearn()) {
        printf("SKIP " PYTHON " has no scikit-learn\n");
        skip();
    }
    int models[N_CASES];
    assert_non_null(realpath("models/export.py", export_path));
    make_models(models);
    for (size_t i = 0; i < N_CASES; i++)
        check_case(i, models[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_models),
    };
    return cmocka_run_group_tests_name("export", tests, NULL, NULL);
}
