/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A pickle is a program. Whatever it does when it is read, it does alone in its
 * cage: the deployment is refused with the reason, nothing was written, no
 * process is left, and those who predict meanwhile notice nothing.
 */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <seccomp.h>

#include "common/cage.h"
#include "common/mem.h"
#include "tests/support/answer.h"
#include "tests/support/python.h"
#include "tests/support/server.h"
#include "tests/support/status.h"
#include "tests/support/traffic.h"
#include "tests/support/workdir.h"

#define NOBODY      65534
#define MEMORY      "--worker-memory-bytes=1073741824"
#define SIGSYS_SAYS "the model file tried to do what no model needs to (killed by SIGSYS)"

/* What is run when the file is read; DIR is the server's directory. */
static const struct {
    const char *name; /* of the file */
    const char *code; /* Python statements, in which no double quote */
    int status;
    const char *says[2];
} cases[] = {
    {"open.pkl", "open('/etc/passwd').read()", 422, {SIGSYS_SAYS, "tried open('/etc/passwd'"}},
    {"write.pkl", "open('DIR/evil', 'w').write('x')", 422, {SIGSYS_SAYS, "evil"}},
    {"rmtree.pkl", "import shutil; shutil.rmtree('DIR/models')", 422, {SIGSYS_SAYS, "rmtree"}},
    {"remove.pkl", "import os; os.remove('DIR/models/model_v1.json')", 422, {SIGSYS_SAYS}},
    {"system.pkl", "import os; os.system('touch DIR/evil')", 422, {SIGSYS_SAYS, "os.system"}},
    {"exec.pkl", "import os; os.execv('/bin/touch', ['touch', 'DIR/evil'])", 422, {SIGSYS_SAYS}},
    {"popen.pkl", "import subprocess; subprocess.run(['touch', 'DIR/evil'])", 422, {SIGSYS_SAYS}},
    {"fork.pkl", "import os; os.fork() or os.setsid()", 422, {SIGSYS_SAYS, "os.fork"}},
    {"thread.pkl", "import _thread; _thread.start_new_thread(print, ())", 422, {SIGSYS_SAYS}},
    {"socket.pkl", "import socket; socket.socket()", 422, {SIGSYS_SAYS}},
    {"unix.pkl", "import socket; socket.socket(socket.AF_UNIX)", 422, {SIGSYS_SAYS, "socket"}},
    {"kill.pkl", "import os; os.kill(os.getppid(), 9)", 422, {SIGSYS_SAYS}},
    {"ctypes.pkl", "import ctypes; ctypes.CDLL(None).fork()", 422, {SIGSYS_SAYS}},
    {"quiet.pkl",
     "import ctypes, sys; ctypes.CDLL(None).creat(b'DIR/evil', 511)",
     422,
     {SIGSYS_SAYS}},
    {"caught.pkl",
     "import os\nwhile 1:\n try: os.mkdir('DIR/evil')\n except BaseException: pass",
     422,
     {SIGSYS_SAYS, "os.mkdir"}},
    {"limits.pkl",
     "import resource; resource.setrlimit(resource.RLIMIT_AS, (-1, -1))",
     422,
     {SIGSYS_SAYS}},
    {"memory.pkl", "bytearray(8 << 30)", 422, {"it ran out of memory (limit 1073741824 bytes)"}},
    {"hoard.pkl", "x = []\nwhile 1: x.append(bytearray(1 << 20))", 422, {"it ran out of memory"}},
    {"flood.pkl", "import os\nwhile 1: os.write(5, b'x' * (1 << 20))", 422, {"File too large"}},
    {"exit0.pkl", "import os; os._exit(0)", 422, {"the export produced nothing"}},
    {"exit.pkl", "import os; os._exit(7)", 422, {"exit status 7"}},
    {"crash.pkl", "import ctypes; ctypes.string_at(0)", 422, {"signal 11"}},
    {"forged.pkl", "import os; os.write(5, b'{}'); os._exit(0)", 422, {"is not a canaryd model"}},
    {"module.pkl",
     "import antigravity",
     422,
     {"ModuleNotFoundError: it needs the module antigravity, which models cannot import here"}},
    {"raise.pkl", "raise SystemExit(0)", 422, {"SystemExit"}},
    {"interrupt.pkl", "raise KeyboardInterrupt", 422, {"KeyboardInterrupt"}},
};
#define N_CASES (sizeof cases / sizeof cases[0])

/* Each case's code becomes what exec() is called with when the file is loaded. */
static const char preamble[] =
    "import pickle, sys\n"
    "dir = sys.argv[1]\n"
    "class Evil:\n"
    "    def __init__(self, code): self.code = code\n"
    "    def __reduce__(self): return exec, (self.code,)\n"
    "def make(name, code):\n"
    "    with open(dir + '/models/' + name, 'wb') as f:\n"
    "        f.write(pickle.dumps(Evil(code.replace('DIR', dir))))\n"
    "def raw(name, data):\n"
    "    with open(dir + '/models/' + name, 'wb') as f: f.write(data)\n"
    "make('spin.pkl', 'while 1: pass')\n"
    "make('sleep.pkl', 'import time; time.sleep(1e6)')\n"
    "raw('builtins.pkl', "
    "b'\\x80\\x04coperator\\ngetitem\\n(cnumpy\\n__builtins__\\nX\\x04\\0\\0\\0evaltR'\n"
    "    b'(X\\x1d\\0\\0\\0__import__(\\'os\\').system(\\'id\\')tR.')\n"
    "raw('deep.pkl', b'\\x80\\x04' + b'(' * 200000 + b't' * 200000 + b'.')\n"
    "raw('huge.pkl', b'\\x80\\x04\\x8e' + b'\\xff' * 7 + b'\\x7f.')\n"
    "raw('dict.pkl', pickle.dumps({'a': 1}))\n"
    "raw('memo.pkl', b'\\x80\\x04Nr\\xff\\xff\\xff\\x7f.')\n";

static const struct {
    const char *name;
    const char *says;
} raw_cases[] = {
    {"builtins.pkl", SIGSYS_SAYS},
    {"deep.pkl", "not a fitted model"},
    {"huge.pkl", ""},
    {"dict.pkl", "no predict()"},
    {"memo.pkl", ""},
};

static const char *cage_of(struct server *s, const char *role)
{
    char path[32];
    const cJSON *processes;
    snprintf(path, sizeof path, "%s.processes", role);
    processes = answer_member(status_get(s), path);
    const cJSON *cage = cJSON_GetObjectItemCaseSensitive(cJSON_GetArrayItem(processes, 0), "cage");
    assert_true(cJSON_IsString(cage));
    return cage->valuestring;
}

static void write_pickles(struct server *s)
{
    char *script = mem_strdup(preamble);
    for (size_t i = 0; i < N_CASES; i++) {
        char *longer =
            mem_printf("%smake('%s', \"\"\"%s\"\"\")\n", script, cases[i].name, cases[i].code);
        free(script);
        script = longer;
    }
    assert_int_equal(python_run(script, s->dir), 0);
    free(script);
}

static const struct http_answer *deploy(struct server *s, const char *name)
{
    char body[128];
    snprintf(body, sizeof body, "{\"model_path\":\"%s\"}", name);
    return server_post(s, "/admin/deploy-canary", body);
}

static void check_says(const char *name, const char *detail, const char *says)
{
    if (says != NULL && strstr(detail, says) == NULL)
        fail_msg("%s: \"%s\" does not say \"%s\"", name, detail, says);
}

/* The children that canaryd has, as the kernel lists them: the stable worker alone. */
static bool only_stable_is_left(struct server *s, void *arg)
{
    const pid_t *stable = arg;
    char path[64], children[200] = "";
    snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)s->pid, (int)s->pid);
    FILE *f = fopen(path, "re");
    assert_non_null(f);
    size_t n = fread(children, 1, sizeof children - 1, f);
    fclose(f);
    children[n] = '\0';
    char *end;
    return strtol(children, &end, 10) == *stable && end[strspn(end, " \n")] == '\0';
}

static struct server *start(const char *timeout)
{
    struct server *s = server_prepare();
    write_pickles(s);
    /* A cage that does not hold would show: whoever is in it may write here. */
    assert_int_equal(chmod(s->dir, 0777), 0);
    if (geteuid() == 0)
        assert_int_equal(chown(server_path(s, "models"), NOBODY, NOBODY), 0);
    server_launch(s, (const char *const[]){MEMORY, timeout, NULL});
    server_wait_ready(s);
    return s;
}

static void check_untouched(struct server *s, const char *name, pid_t stable)
{
    if (workdir_exists(server_path(s, "evil")) ||
        !workdir_exists(server_path(s, "models/model_v1.json")))
        fail_msg("%s has written or removed a file", name);
    if (status_pid(s, "stable") != stable)
        fail_msg("%s: stable is another process", name);
    answer_is_null(status_get(s), "canary");
    server_wait_until(s, only_stable_is_left, &stable, "the export's end", 5000);
}

static void test_each_dies_alone(void **state)
{
    (void)state;
    SKIP_WITHOUT_SKLEARN();
    struct server *s = start("--start-timeout-ms=30000");
    pid_t stable = status_pid(s, "stable");
    struct traffic *t = traffic_start(s->port, 1);
    for (size_t i = 0; i < N_CASES; i++) {
        const struct http_answer *a = deploy(s, cases[i].name);
        if (a->status != cases[i].status)
            fail_msg("%s: %d, %s", cases[i].name, a->status, a->body);
        const char *detail = answer_is_problem(a, cases[i].status, NULL);
        check_says(cases[i].name, detail, cases[i].says[0]);
        check_says(cases[i].name, detail, cases[i].says[1]);
        check_untouched(s, cases[i].name, stable);
    }
    for (size_t i = 0; i < sizeof raw_cases / sizeof raw_cases[0]; i++) {
        const char *detail = answer_is_problem(deploy(s, raw_cases[i].name), 422, NULL);
        check_says(raw_cases[i].name, detail, raw_cases[i].says);
        check_untouched(s, raw_cases[i].name, stable);
    }
    struct traffic_report r = traffic_stop(&t);
    traffic_expect_clean(&r);
    answer_is(deploy(s, "model_v2.joblib"), 200); /* the honest are served as before */
    server_stop(s);
}

static void test_time_runs_out(void **state)
{
    static const char *const names[] = {"spin.pkl", "sleep.pkl"};
    (void)state;
    SKIP_WITHOUT_SKLEARN();
    struct server *s = start("--start-timeout-ms=3000");
    pid_t stable = status_pid(s, "stable");
    for (size_t i = 0; i < 2; i++) {
        const char *detail = answer_is_problem(deploy(s, names[i]), 504, "worker-start-timeout");
        check_says(names[i], detail, "the export was not done within 3000 ms");
        check_untouched(s, names[i], stable);
    }
    server_stop(s);
}

/* An estimator that the exporter has no words for is served by Python: in the same
 * cage. The honest one answers; the other is harmless until it is asked. */
static void test_served_by_python(void **state)
{
    static const char script[] =
        "import sys, joblib, pickle, numpy\n"
        "from sklearn.neighbors import KNeighborsClassifier\n"
        "x = numpy.arange(50.).reshape(10, 5)\n"
        "near = KNeighborsClassifier(3).fit(x, numpy.arange(10) % 2)\n"
        "joblib.dump(near, sys.argv[1] + '/models/near.joblib')\n"
        "from sklearn.cluster import KMeans\n"
        "clusters = KMeans(2, n_init=1).fit(x)\n" /* looks for the libraries' threads */
        "joblib.dump(clusters, sys.argv[1] + '/models/clusters.joblib')\n"
        "class Evil:\n"
        "    def __reduce__(self):\n"
        "        return eval, ('type(\"Evil\", (), {\"__module__\": \"sklearn.evil\", '\n"
        "                      '\"n_features_in_\": 5, \"predict\": lambda self, rows: '\n"
        "                      'open(\"' + sys.argv[1] + '/evil\", \"w\")})()',)\n"
        "pickle.dump(Evil(), open(sys.argv[1] + '/models/asked.pkl', 'wb'))\n";
    (void)state;
    SKIP_WITHOUT_SKLEARN();
    struct server *s = start("--start-timeout-ms=30000");
    pid_t stable = status_pid(s, "stable");
    assert_int_equal(python_run(script, s->dir), 0);
    const char *detail = answer_is_problem(deploy(s, "asked.pkl"), 422, "model-invalid");
    check_says("asked.pkl", detail, "the worker ended before it took calls: signal 31");
    check_says("asked.pkl", detail, "the model file tried open('");
    check_untouched(s, "asked.pkl", stable);
    answer_is(deploy(s, "near.joblib"), 200);
    assert_string_equal(cage_of(s, "canary"), "full");
    for (int i = 0; i < 30; i++)
        server_predict(s);
    answer_is(server_post(s, "/admin/rollback-canary", NULL), 200);
    answer_is(deploy(s, "clusters.joblib"), 200);
    server_stop(s);
}

/* --- Where the kernel cannot cage ----------------------------------------------*/

static void without_landlock(void *arg)
{
    (void)arg;
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
    seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(landlock_create_ruleset), 0);
    if (seccomp_load(filter) != 0)
        _exit(125);
    seccomp_release(filter);
}

static void test_without_landlock(void **state)
{
    (void)state;
    SKIP_WITHOUT_SKLEARN();
    struct server *s = server_prepare();
    server_set_before(s, without_landlock, NULL);
    server_launch(s, NULL);
    server_wait_ready(s);
    const struct http_answer *a = deploy(s, "model_v2.joblib");
    const char *detail = answer_is_problem(a, 422, "cage-missing");
    check_says("model_v2.joblib", detail, "Landlock (Function not implemented) is missing");
    check_says("model_v2.joblib", detail, "set allow_uncaged_pickles");
    answer_is(deploy(s, "model_v2.json"), 200); /* is no program */
    answer_is(server_post(s, "/admin/rollback-canary", NULL), 200);
    server_stop(s);
    server_launch(s, (const char *const[]){"--allow-uncaged-pickles=true", NULL});
    server_wait_ready(s);
    answer_is(deploy(s, "model_v2.joblib"), 200);
    server_stop(s);
}

static void test_status_tells_the_level(void **state)
{
    (void)state;
    struct server *s = server_start(NULL);
    assert_string_equal(cage_of(s, "stable"), cage_exempt() != NULL ? cage_exempt() : "full");
    server_stop(s);
    if (cage_exempt() != NULL)
        return;
    s = server_prepare();
    server_set_before(s, without_landlock, NULL);
    server_launch(s, NULL);
    server_wait_ready(s);
    assert_string_equal(cage_of(s, "stable"), "no landlock");
    assert_true(server_log_says(s, "its cage is not whole: no landlock"));
    server_stop(s);
}

/* As root canaryd makes its workers somebody else; otherwise they are who it is. */
static void test_the_user(void **state)
{
    static const struct {
        const char *setting;
        unsigned uid;
    } users[] = {{"--worker-user=nobody", 65534}, {"--worker-user=61184", 61184}};
    (void)state;
    if (geteuid() != 0) {
        print_message("SKIP test_the_user: only root can be somebody else\n");
        skip();
    }
    for (size_t i = 0; i < sizeof users / sizeof users[0]; i++) {
        char path[32];
        struct stat st;
        struct server *s = server_start((const char *const[]){users[i].setting, NULL});
        snprintf(path, sizeof path, "/proc/%d", (int)status_pid(s, "stable"));
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_uid, users[i].uid);
        server_predict(s);
        server_stop(s);
    }
    struct server *s = server_prepare();
    server_launch(s, (const char *const[]){"--worker-user=no-such-user", NULL});
    assert_int_equal(server_wait_exit(s, SERVER_START_MS), 78);
    assert_true(server_log_says(s, "there is no user \"no-such-user\""));
    server_forget(s);
}

static int teardown(void **state)
{
    traffic_abandon();
    return server_teardown(state);
}
#define CASE(test) cmocka_unit_test_teardown(test, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_status_tells_the_level), CASE(test_the_user),         CASE(test_each_dies_alone),
        CASE(test_time_runs_out),          CASE(test_served_by_python), CASE(test_without_landlock),
    };
    return cmocka_run_group_tests_name("pickles", tests, NULL, NULL);
}
