/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * canary-worker-python alone, with the test as its supervisor: what it says of
 * models, whether it answers as scikit-learn does, and what it makes of a
 * supervisor that does not keep to the protocol.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/clock.h"
#include "common/fdio.h"
#include "common/mem.h"
#include "proto/codec.h"
#include "tests/support/python.h"
#include "tests/support/workdir.h"

#define WORKER      "worker/python/canary_worker.py"
#define WIDTH       5
#define PATIENCE_MS 30000
#define FREE_FD     100 /* above those that the worker finds */

/* --- A worker ---------------------------------------------------------------*/

struct talk {
    pid_t pid;
    int fd;
    struct codec *codec;
    struct frame_reader in;
    struct frame_writer out;
};

static _Noreturn void become_worker(pid_t parent, int socket_fd, int model_fd)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() == parent && dup2(socket_fd, WIRE_SOCKET_FD) >= 0 &&
        dup2(model_fd, WIRE_MODEL_FD) >= 0)
        execl(PYTHON, PYTHON, "-I", "-B", WORKER, "name", (char *)NULL);
    _exit(127);
}

static int move_up(int fd)
{
    int up = fcntl(fd, F_DUPFD_CLOEXEC, FREE_FD);
    assert_true(up >= 0);
    close(fd);
    return up;
}

static void begin(struct talk *t, const char *model)
{
    char *name = mem_printf("%s.joblib", model);
    char *path = workdir_path(python_models(), name);
    pid_t parent = getpid();
    int ends[2];
    *t = (struct talk){.codec = codec_new()};
    frame_reader_init(&t->in, WIRE_MAX_ANSWER_BYTES);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    t->fd = move_up(ends[0]);
    int theirs = move_up(ends[1]);
    int model_fd = move_up(open(path, O_RDONLY | O_CLOEXEC));
    t->pid = fork();
    assert_true(t->pid >= 0);
    if (t->pid == 0)
        become_worker(parent, theirs, model_fd);
    fd_close(&theirs);
    fd_close(&model_fd);
    free(path);
    free(name);
}

/* The next message, or false at the end of the stream. */
static bool hear(struct talk *t, struct msg *m)
{
    const uint8_t *payload;
    size_t n;
    struct err e = {0};
    while (frame_reader_next(&t->in, &payload, &n) == 0) {
        struct pollfd p = {.fd = t->fd, .events = POLLIN};
        if (poll(&p, 1, PATIENCE_MS) != 1)
            fail_msg("the worker says nothing");
        ssize_t got = frame_reader_fill(&t->in, t->fd);
        if (got == 0 || (got < 0 && errno == ECONNRESET)) /* it left something unread */
            return false;
        assert_true(got > 0);
    }
    if (codec_decode(t->codec, payload, n, m, &e) < 0)
        fail_msg("the worker sent: %s", e.text);
    return true;
}

static void hear_type(struct talk *t, enum wire_type type, struct msg *m)
{
    if (!hear(t, m))
        fail_msg("the worker ended; expected message %d", (int)type);
    if (m->type != type)
        fail_msg("message %d (%s) instead of %d", (int)m->type,
                 m->type == WIRE_FAULT || m->type == WIRE_REFUSE ? m->text : "", (int)type);
}

static void send_all(struct talk *t)
{
    while (frame_writer_pending(&t->out) > 0)
        assert_int_equal(frame_writer_flush(&t->out, t->fd), 0);
}

/* Reads what there still is and returns the exit status. */
static int end(struct talk *t)
{
    struct msg m;
    int status;
    while (hear(t, &m))
        continue;
    assert_int_equal(waitpid(t->pid, &status, 0), t->pid);
    fd_close(&t->fd);
    codec_free(&t->codec);
    frame_reader_clear(&t->in);
    frame_writer_clear(&t->out);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static int quit(struct talk *t)
{
    codec_put_quit(&t->out);
    send_all(t);
    return end(t);
}

static void begin_ready(struct talk *t, const char *model)
{
    struct msg m;
    begin(t, model);
    hear_type(t, WIRE_READY, &m);
}

/* --- Tests ------------------------------------------------------------------*/

static void check_same(const char *model, size_t row, double got, double wanted)
{
    if (memcmp(&got, &wanted, sizeof got) != 0)
        fail_msg("%s, row %zu: %.17g, but scikit-learn says %.17g", model, row, got, wanted);
}

struct expected {
    const char *model, *kind, *output;
};

static void begin_expected(struct talk *t, const struct expected *x)
{
    struct msg m;
    begin(t, x->model);
    hear_type(t, WIRE_READY, &m);
    assert_int_equal(m.version, WIRE_VERSION);
    assert_int_equal(m.n_features, WIDTH);
    assert_string_equal(m.kind, x->kind);
    assert_string_equal(m.output, x->output);
}

/* Row by row as arrays, written at once; then all rows as one bin. */
static void check_answers(const struct expected *x)
{
    size_t n_numbers, n;
    char *file = mem_printf("%s.single", x->model);
    char *batch_file = mem_printf("%s.batch", x->model);
    double *rows = python_read_numbers("rows.bin", &n_numbers);
    double *single = python_read_numbers(file, &n);
    double *batch = python_read_numbers(batch_file, &n);
    struct talk t;
    struct msg m;
    assert_true(n > 1 && n * WIDTH == n_numbers);
    begin_expected(&t, x);
    for (size_t i = 0; i < n; i++)
        codec_put_predict(&t.out, 1000 + i, 1, rows + i * WIDTH, WIDTH);
    codec_put_predict(&t.out, UINT64_MAX, (uint32_t)n, rows, n_numbers);
    send_all(&t);
    for (size_t i = 0; i < n; i++) {
        hear_type(&t, WIRE_RESULT, &m);
        assert_true(m.id == 1000 + i && m.n_numbers == 1 && m.service_ns > 0);
        check_same(x->model, i, m.numbers[0], single[i]);
    }
    hear_type(&t, WIRE_RESULT, &m);
    assert_true(m.id == UINT64_MAX && m.n_numbers == n);
    for (size_t i = 0; i < n; i++)
        check_same(x->model, i, m.numbers[i], batch[i]);
    assert_int_equal(quit(&t), 0);
    free(rows);
    free(single);
    free(batch);
    free(file);
    free(batch_file);
}

static void test_answers_are_scikit_learns(void **state)
{
    static const struct expected models[] = {
        {"near", "sklearn:KNeighborsClassifier", "churn_probability"},
        {"margin", "sklearn:SVC", "churn_probability"},
        {"poly", "sklearn:Pipeline(PolynomialFeatures, StandardScaler, Logistic...",
         "churn_probability"},
        {"vote", "sklearn:VotingClassifier", "churn_probability"},
        {"labels", "sklearn:SVC", "prediction"}, /* says 0 or 1, and no probabilities */
        {"three", "sklearn:KNeighborsClassifier", "prediction"},
        {"curve", "sklearn:SVR", "prediction"},
    };
    (void)state;
    SKIP_WITHOUT_SKLEARN();
    for (size_t i = 0; i < sizeof models / sizeof models[0]; i++)
        check_answers(&models[i]);
}

static void test_refusals(void **state)
{
    static const struct {
        const char *model, *says;
    } cases[] = {
        {"words", "SVC (sklearn.svm._classes) answers with 'no', which is no number"},
        {"two", "answers a row with 2 numbers; one can be served"},
        {"never", "Pipeline (sklearn.pipeline) cannot answer: LinAlgError: "},
        {"unfitted", "is it fitted?"},
        {"dict", "an object of type dict, which has no predict()"},
        {"raises", "cannot be loaded as a joblib or pickle file: ZeroDivisionError"},
        {"exits", "cannot be loaded as a joblib or pickle file: SystemExit"},
    };
    (void)state;
    SKIP_WITHOUT_SKLEARN();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct talk t;
        struct msg m;
        begin(&t, cases[i].model);
        hear_type(&t, WIRE_REFUSE, &m);
        if (strstr(m.text, cases[i].says) == NULL)
            fail_msg("\"%s\" does not say \"%s\"", m.text, cases[i].says);
        assert_int_equal(end(&t), EX_DATAERR);
    }
}

/* One question that can't be answered says nothing about the next. */
static void test_faults(void **state)
{
    static const struct {
        const char *model;
        double value;
        size_t n;
        const char *says; /* NULL: it is answered */
    } cases[] = {
        {"log", 1, WIDTH, NULL},
        {"log", -1, WIDTH, "ValueError: Input X contains NaN"},
        {"log", 1, WIDTH - 1, "expected 5 numbers in 1 rows, got 4"},
        {"log", 2, WIDTH, NULL},
        {"huge", 1, WIDTH, NULL},
        {"huge", 10, WIDTH, "not a finite number"},
        {"huge", 1, WIDTH, NULL},
    };
    struct talk t = {0};
    struct msg m;
    (void)state;
    SKIP_WITHOUT_SKLEARN();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const double v = cases[i].value;
        const double row[WIDTH] = {v, v, v, v, v};
        if (i == 0 || strcmp(cases[i].model, cases[i - 1].model) != 0) {
            if (i > 0)
                assert_int_equal(quit(&t), 0);
            begin_ready(&t, cases[i].model);
        }
        codec_put_predict(&t.out, i, 1, row, cases[i].n);
        send_all(&t);
        hear_type(&t, cases[i].says != NULL ? WIRE_FAULT : WIRE_RESULT, &m);
        assert_int_equal(m.id, i);
        if (cases[i].says != NULL && strstr(m.text, cases[i].says) == NULL)
            fail_msg("\"%s\" does not say \"%s\"", m.text, cases[i].says);
    }
    assert_int_equal(quit(&t), 0);
}

static void test_delay_ping_and_quit(void **state)
{
    const double row[WIDTH] = {1, 1, 1, 1, 1};
    struct talk t;
    struct msg m;
    (void)state;
    SKIP_WITHOUT_SKLEARN();
    begin_ready(&t, "curve");
    codec_put_ping(&t.out, 7);
    codec_put_delay(&t.out, 30.5);
    codec_put_predict(&t.out, 8, 1, row, WIDTH);
    codec_put_delay(&t.out, 0);
    codec_put_predict(&t.out, 9, 1, row, WIDTH);
    codec_put_quit(&t.out);
    codec_put_ping(&t.out, 10); /* after a QUIT nobody listens */
    send_all(&t);
    hear_type(&t, WIRE_PONG, &m);
    assert_int_equal(m.id, 7);
    hear_type(&t, WIRE_RESULT, &m);
    assert_true(m.id == 8 && m.service_ns >= 30500000);
    hear_type(&t, WIRE_RESULT, &m);
    assert_int_equal(m.id, 9);
    assert_false(hear(&t, &m));
    assert_int_equal(end(&t), 0);
}

static void test_end_of_the_stream(void **state)
{
    struct talk t;
    (void)state;
    SKIP_WITHOUT_SKLEARN();
    begin_ready(&t, "curve");
    assert_int_equal(shutdown(t.fd, SHUT_WR), 0);
    assert_int_equal(end(&t), 0);
}

/* What was asked before the breach is answered. */
static void test_a_breach_is_the_end(void **state)
{
    static const struct {
        const char *bytes;
        size_t n;
    } cases[] = {
        {"\0\0\0\0", 4},                    /* a frame of nothing */
        {"\0\x20\0\1", 4},                  /* one above the limit */
        {"\0\0\0\3\x92\x10\0", 7},          /* READY, which only workers send */
        {"\0\0\0\5\xdd\xff\xff\xff\xff", 9} /* an array of four milliards */
    };
    (void)state;
    SKIP_WITHOUT_SKLEARN();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct talk t;
        struct msg m;
        begin_ready(&t, "curve");
        codec_put_ping(&t.out, i); /* in one write, so that it is read at once */
        uint8_t bytes[64];
        size_t n = frame_writer_pending(&t.out);
        assert_true(n + cases[i].n <= sizeof bytes);
        memcpy(bytes, t.out.bytes + t.out.start, n);
        memcpy(bytes + n, cases[i].bytes, cases[i].n);
        assert_int_equal(fd_write_all(t.fd, bytes, n + cases[i].n), 0);
        hear_type(&t, WIRE_PONG, &m);
        assert_int_equal(m.id, i);
        assert_false(hear(&t, &m));
        assert_int_equal(end(&t), EX_PROTOCOL);
    }
}

/* Every payload here is a breach, and the good ones are none; one Python tries all. */
static const char payloads_script[] =
    "import sys\n"
    "sys.dont_write_bytecode = True\n"
    "sys.path.insert(0, sys.argv[1])\n"
    "import msgpack, canary_worker as w\n"
    "class Yes:\n"
    "    n_features = 2\n"
    "    def answer(self, rows): return rows[:, 0]\n"
    "nan, inf, bin2 = float('nan'), float('inf'), bytes(16)\n"
    "good = [[1, 2, 1, [0.5, 1.0]], [1, 2**64 - 1, 1, bin2], [1, 0, 2, [1, 2, 3, 4]],\n"
    "        [1, 2, 1, [0.5]], [2, 0, 0], [2, 0, 0.25], [3, 5], [4, 0]]\n"
    "bad = [[], [1], 1, None, 'x', b'x', {}, {1: 2}, [True, 1], [-1, 0], [256, 0], [3, -1],\n"
    "       [3, 0.0], [3, None], ['3', 0], [3, [0]], [0, 0], [5, 0], [16, 0, 1, 'k', 2, 'o'],\n"
    "       [18, 0, [1.0], 5], [255, 0], [3, 0, 0], [4, 0, None], [2, 0], [2, 0, -1],\n"
    "       [2, 0, 60001], [2, 0, nan], [2, 0, inf], [2, 0, '1'], [2, 0, True], [2, 0, [1]],\n"
    "       [1, 0], [1, 0, 1], [1, 0, 1, []], [1, 0, 1, b''], [1, 0, 1, bytes(15)],\n"
    "       [1, 0, 0, bin2], [1, 0, -1, bin2], [1, 0, 1.0, bin2], [1, 0, True, bin2],\n"
    "       [1, 0, 3, bin2], [1, 0, 4097, bytes(8 * 4097)], [1, 0, 1, [1.0, nan]],\n"
    "       [1, 0, 1, [1.0, inf]], [1, 0, 1, ['1', 2.0]], [1, 0, 1, [True, 2.0]],\n"
    "       [1, 0, 1, [[1.0], [2.0]]], [1, 0, 1, [None, 1.0]], [1, 0, 1, {}], [1, 0, 1, 'ab'],\n"
    "       [1, 0, 1, msgpack.packb(nan)[:0:-1]], [1, 0, 1, bytes(8 * 131073)],\n"
    "       [1, 0, 1, bin2, 0], [1, 0, 1, msgpack.ExtType(1, bin2)], msgpack.Timestamp(1)]\n"
    "raw = [b'', b'\\xc1', b'\\x92\\x03', b'\\x92\\x03\\x00\\x00', b'\\x92\\x03\\xa1\\xff',\n"
    "       b'\\xdd\\xff\\xff\\xff\\xff', b'\\x91' * 2000, "
    "b'\\x92\\x03\\xc6\\xff\\xff\\xff\\xff']\n"
    "def is_breach(payload):\n"
    "    try: w.Server(None, Yes(), 'full').on_payload(payload)\n"
    "    except w.Breach: return True\n"
    "wrong = [m for m in good if is_breach(msgpack.packb(m))]\n"
    "wrong += [m for m in bad if not is_breach(msgpack.packb(m))]\n"
    "wrong += [p for p in raw if not is_breach(p)]\n"
    "for m in wrong: print('taken wrongly:', repr(m)[:200])\n"
    "sys.exit(1 if wrong else 0)\n";

static void test_payloads(void **state)
{
    (void)state;
    SKIP_WITHOUT_SKLEARN();
    assert_int_equal(python_run(payloads_script, "worker/python"), 0);
}

static void test_by_hand_it_says_what_it_is(void **state)
{
    (void)state;
    SKIP_WITHOUT_SKLEARN();
    assert_int_equal(python_run("import subprocess, sys\n"
                                "r = subprocess.run([sys.executable, sys.argv[1]], "
                                "capture_output=True, close_fds=True)\n"
                                "sys.exit(r.returncode if b'docs/protocol.md' in r.stderr else 1)",
                                WORKER),
                     EX_USAGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_payloads),
        cmocka_unit_test(test_by_hand_it_says_what_it_is),
        cmocka_unit_test(test_answers_are_scikit_learns),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_faults),
        cmocka_unit_test(test_delay_ping_and_quit),
        cmocka_unit_test(test_end_of_the_stream),
        cmocka_unit_test(test_a_breach_is_the_end),
    };
    return cmocka_run_group_tests_name("worker_python", tests, python_group_setup,
                                       python_group_teardown);
}
