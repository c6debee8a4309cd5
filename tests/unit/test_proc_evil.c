/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Every way of misbehaving in service that evil.h lists, one row each: what
 * becomes of the calls, of the process, and what its obituary says.
 */
#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <event2/event.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "supervisor/modelref.h"
#include "tests/support/evil.h"
#include "tests/support/life.h"
#include "tests/support/loop.h"
#include "tests/support/workdir.h"

#define MAX_CALLS 4

/* Limits of a row. A short one is met on purpose, for a long one never. */
#define SHORT_HANG_MS 240
#define SHORT_TRY_MS  40
#define PATIENT                                                                                    \
    {                                                                                              \
        0                                                                                          \
    }
#define IMPATIENT                                                                                  \
    {                                                                                              \
        .hang_ms = SHORT_HANG_MS                                                                   \
    }

/* What is expected of a process that must go on. */
#define LIVES NULL

/* Whys. A child that holds the socket is killed with it: the end may show or not. */
#define EITHER     NULL
#define NO_FRAME   "not a frame of the protocol"
#define NOT_BYTES  "the bytes are not one msgpack array"
#define BAD_RESULT "a field of RESULT is wrong"
#define NOBODY     "it answered a call that nobody made"
#define LENGTH     "it announced a frame of"
#define CLOSED     "it closed its socket"
#define UNASKED    "a PONG that nobody asked for"
#define OTHER_PONG "its PONG has not the id of our PING"
#define OUTPUTS    "fewer or more outputs than rows"
#define HANGS      "it answered nothing within hang_ms"
#define UNENDED    "it began a message and did not end it within hang_ms"

static const struct row {
    const char *script;
    const char *calls; /* one letter for each: Ok, Fault, Timeout, Lost */
    const char *how;   /* LIVES: nothing becomes of it */
    const char *why;
    struct life_limits limits;
    const char *last_words;
} rows[] = {
    /* No message at all. */
    {"ready then random", "L", KILLED_BY_US, LENGTH, PATIENT, ""},
    {"ready then zero", "L", KILLED_BY_US, LENGTH, PATIENT, ""},
    {"ready then huge", "L", KILLED_BY_US, LENGTH, PATIENT, ""},
    {"ready then negative", "L", KILLED_BY_US, LENGTH, PATIENT, ""},
    {"ready then oversize", "L", KILLED_BY_US, LENGTH, PATIENT, ""},
    {"ready then oob answer", "L", KILLED_BY_US, LENGTH, PATIENT, ""},
    {"ready then garbage", "L", KILLED_BY_US, NOT_BYTES, PATIENT, ""},
    {"ready then array32", "L", KILLED_BY_US, NOT_BYTES, PATIENT, ""},
    {"ready then array16m", "L", KILLED_BY_US, NOT_BYTES, PATIENT, ""},
    {"ready then bin4g", "L", KILLED_BY_US, NOT_BYTES, PATIENT, ""},
    {"ready then str4g", "L", KILLED_BY_US, NOT_BYTES, PATIENT, ""},
    {"ready then deep", "L", KILLED_BY_US, NOT_BYTES, PATIENT, ""},
    {"ready then ext", "L", KILLED_BY_US, NOT_BYTES, PATIENT, ""},
    {"ready then map", "L", KILLED_BY_US, NOT_BYTES, PATIENT, ""},
    {"ready then nil", "L", KILLED_BY_US, NOT_BYTES, PATIENT, ""},
    {"ready then leftover", "L", KILLED_BY_US, NOT_BYTES, PATIENT, ""},
    {"ready then empty", "L", KILLED_BY_US, NO_FRAME, PATIENT, ""},
    {"ready then unknown", "L", KILLED_BY_US, "unknown message type", PATIENT, ""},
    {"ready then negid", "L", KILLED_BY_US, NO_FRAME, PATIENT, ""},
    {"ready then arity", "L", KILLED_BY_US, BAD_RESULT, PATIENT, ""},
    /* Messages that are not its to say, or not now. */
    {"ready then quit", "L", KILLED_BY_US, "that only the supervisor sends", PATIENT, ""},
    {"ready then ready", "L", KILLED_BY_US, "READY or REFUSE in mid-service", PATIENT, ""},
    {"ready then refuse", "L", KILLED_BY_US, "READY or REFUSE in mid-service", PATIENT, ""},
    {"ready then pong", "L", KILLED_BY_US, UNASKED, PATIENT, ""},
    {"ready then pong=-1", "L", KILLED_BY_US, UNASKED, PATIENT, ""},
    /* Answers that are none. */
    {"ready then nan", "L", KILLED_BY_US, BAD_RESULT, PATIENT, ""},
    {"ready then inf", "L", KILLED_BY_US, BAD_RESULT, PATIENT, ""},
    {"ready then inf=-1", "L", KILLED_BY_US, BAD_RESULT, PATIENT, ""},
    {"ready then string", "L", KILLED_BY_US, BAD_RESULT, PATIENT, ""},
    {"ready then text", "L", KILLED_BY_US, BAD_RESULT, PATIENT, ""},
    {"ready then null", "L", KILLED_BY_US, NOT_BYTES, PATIENT, ""},
    {"ready then true", "L", KILLED_BY_US, NOT_BYTES, PATIENT, ""},
    {"ready then nested", "L", KILLED_BY_US, NOT_BYTES, PATIENT, ""},
    {"ready then none", "L", KILLED_BY_US, BAD_RESULT, PATIENT, ""},
    {"ready then two", "L", KILLED_BY_US, OUTPUTS, PATIENT, ""},
    {"ready then wrongid", "L", KILLED_BY_US, NOBODY, PATIENT, ""},
    {"ready then stray", "L", KILLED_BY_US, NOBODY, PATIENT, ""},
    {"ready then maxid", "L", KILLED_BY_US, NOBODY, PATIENT, ""},
    {"ready then answer answer", "OL", KILLED_BY_US, NOBODY, PATIENT, ""},
    {"ready then answer faulty", "OL", KILLED_BY_US, NOBODY, PATIENT, ""},
    {"ready then otherid", "LO", KILLED_BY_US, HANGS, IMPATIENT, ""},
    {"ready then bigfault=64", "L", KILLED_BY_US, LENGTH, PATIENT, ""},
    /* Answers that are some. */
    {"ready then faulty", "FFFF", LIVES, "", PATIENT, ""},
    {"ready then bigfault=63", "FF", LIVES, "", PATIENT, ""},
    {"ready then wait=120 answer", "T", LIVES, "", PATIENT, ""}, /* late: no breach */
    {"ready then drip=1", "O", LIVES, "", PATIENT, ""},
    {"ready good=2 then nan", "OOLL", KILLED_BY_US, BAD_RESULT, PATIENT, ""},
    /* Nothing, or not enough. */
    {"ready then", "LL", KILLED_BY_US, HANGS, IMPATIENT, ""},
    {"ready then half sleep", "L", KILLED_BY_US, UNENDED, IMPATIENT, ""},
    {"ready then half", "L", KILLED_BY_US, UNENDED, IMPATIENT, ""},
    {"ready then half exit=1", "LL", "exit status 1", CLOSED, PATIENT, ""},
    {"ready then drip=20", "L", KILLED_BY_US, UNENDED, IMPATIENT, ""},
    {"ready then sleep", "LLL", KILLED_BY_US, HANGS, IMPATIENT, ""},
    {"ready sleep", "LLL", KILLED_BY_US, HANGS, IMPATIENT, ""},
    {"ready then spin", "L", KILLED_BY_US, HANGS, IMPATIENT, ""},
    {"ready then stop", "L", KILLED_BY_US, HANGS, IMPATIENT, ""},
    {"ready stop", "", KILLED_BY_US, HANGS, IMPATIENT, ""},
    {"ready nopong", "", KILLED_BY_US, HANGS, IMPATIENT, ""},
    {"ready badpong", "", KILLED_BY_US, OTHER_PONG, IMPATIENT, ""},
    {"ready twopongs", "", KILLED_BY_US, UNASKED, IMPATIENT, ""},
    /* Its end, in parts. */
    {"ready then shutwr", "L", KILLED_BY_US, CLOSED, PATIENT, ""},
    {"ready then eof", "L", KILLED_BY_US, CLOSED, PATIENT, ""},
    {"ready then close", "L", KILLED_BY_US, CLOSED, PATIENT, ""},
    {"ready then exit", "LL", "exit status 0", CLOSED, PATIENT, ""},
    {"ready then exit=7", "LL", "exit status 7", CLOSED, PATIENT, ""},
    {"ready then segv", "LL", "signal 11 (Segmentation fault)", CLOSED, PATIENT, ""},
    {"ready then abort", "LL", "signal 6 (Aborted)", CLOSED, PATIENT, ""},
    {"ready then signal=9", "LL", KILLED_BY_US, CLOSED, PATIENT, ""},
    {"ready then answer exit=1", "OL", "exit status 1", CLOSED, PATIENT, ""},
    /* A child that holds the socket: no end of file, but an end. */
    {"ready then fork exit=3", "LL", "exit status 3", EITHER, PATIENT, ""},
    {"ready then fork says exit=3", "LL", "exit status 3", EITHER, PATIENT, EVIL_LAST_WORDS},
    /* Words. */
    {"ready then says exit=1", "L", "exit status 1", CLOSED, PATIENT, EVIL_LAST_WORDS},
    {"ready then mumble abort", "L", "signal 6 (Aborted)", CLOSED, PATIENT, "red? ??"},
    {"ready then longline=400 answer", "OO", LIVES, "", PATIENT, ""},
    {"ready then chatty=300 answer", "OO", LIVES, "", PATIENT, ""},
    {"ready then chatty=300 says exit=1", "L", "exit status 1", CLOSED, PATIENT, EVIL_LAST_WORDS},
    /* Before it is ready. */
    {"exit=2", "", "exit status 2", CLOSED, PATIENT, ""},
    {"says exit=2", "", "exit status 2", CLOSED, PATIENT, EVIL_LAST_WORDS},
    {"hugename", "", KILLED_BY_US, LENGTH, PATIENT, ""},
    {"longname", "", KILLED_BY_US, "a field of READY is wrong", PATIENT, ""},
    {"pong", "", KILLED_BY_US, UNASKED, PATIENT, ""},
    {"random=1", "", KILLED_BY_US, LENGTH, PATIENT, ""},
    {"shutwr", "", KILLED_BY_US, CLOSED, PATIENT, ""},
    {"fork=300 segv", "", "signal 11 (Segmentation fault)", EITHER, PATIENT, ""},
};

static bool contains(const char *text, const char *part)
{
    if (part == EITHER)
        return true;
    return part[0] == '\0' ? text[0] == '\0' : strstr(text, part) != NULL;
}

static char letter(const struct question *q)
{
    static const char letters[N_CALL_OUTCOMES] = {
        [CALL_OK] = 'O', [CALL_FAULT] = 'F', [CALL_TIMEOUT] = 'T', [CALL_LOST] = 'L'};
    return q->n_done == 1 ? letters[q->outcome] : (char)('0' + q->n_done);
}

static void ask_row(struct life *l, const struct row *r, struct question *q)
{
    for (size_t i = 0; r->calls[i] != '\0'; i++)
        life_ask(l, &q[i], r->calls[i] == 'T' ? SHORT_TRY_MS : LIFE_LONG_MS);
}

static bool all_ended(const struct question *q, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (q[i].n_done == 0)
            return false;
    return true;
}

/* Asks it once more, so that what it said late is read too, and lets it go. */
static void check_that_it_lives(struct life *l, const struct row *r)
{
    struct question q;
    life_ask(l, &q, LIFE_LONG_MS);
    loop_until(l->base, q.n_done > 0);
    if (q.outcome == CALL_LOST || proc_state(l->p) != PROC_READY)
        fail_msg("\"%s\": it did not go on", r->script);
    proc_kill(l->p, "the test is over");
    life_end(l);
    assert_string_equal(l->why, "the test is over");
}

static void check_its_end(struct life *l, const struct row *r)
{
    life_end(l);
    if (strcmp(l->how, r->how) != 0 || !contains(l->why, r->why) ||
        !contains(l->last_words, r->last_words) || l->o.wanted)
        fail_msg("\"%s\": how \"%s\", why \"%s\", last words \"%s\", wanted %d", r->script, l->how,
                 l->why, l->last_words, l->o.wanted);
}

static void play(const struct row *r)
{
    struct question q[MAX_CALLS] = {0};
    char became[MAX_CALLS + 1] = "";
    size_t n = strlen(r->calls);
    struct life l;
    if (n > 0)
        life_begin_ready(&l, r->script, &r->limits);
    else
        life_begin(&l, r->script, &r->limits);
    ask_row(&l, r, q);
    if (r->how == LIVES) {
        loop_until(l.base, all_ended(q, n));
        check_that_it_lives(&l, r);
    } else {
        check_its_end(&l, r);
    }
    for (size_t i = 0; i < n; i++)
        became[i] = letter(&q[i]);
    if (strcmp(became, r->calls) != 0)
        fail_msg("\"%s\": its calls became %s, not %s", r->script, became, r->calls);
}

static void test_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        play(&rows[i]);
    print_message("%zu ways of misbehaving\n", sizeof rows / sizeof rows[0]);
}

/* Its reason goes to clients: as text, whatever it is. */
static void test_refusal_is_utf8(void **state)
{
    const struct life_limits limits = PATIENT;
    struct life l;
    (void)state;
    life_begin(&l, "badrefuse exit=65", &limits);
    life_end(&l);
    assert_string_equal(l.refusal, "no??\x1bno");
}

/* More than 8 MiB wait for it and it reads none: hang_ms is not waited for. */
static void test_a_queue_that_is_not_read(void **state)
{
    const struct life_limits limits = {.hang_ms = 4000};
    struct question q[12] = {0};
    double *features = mem_array(WIRE_MAX_FEATURES, sizeof *features);
    struct life l;
    (void)state;
    life_begin_ready(&l, "ready=131072 sleep", &limits);
    int64_t began_ns = clock_mono_ns();
    for (int i = 0; i < 12; i++)
        life_ask_wide(&l, &q[i], features, WIRE_MAX_FEATURES);
    life_end(&l);
    life_assert_all(q, 12, CALL_LOST);
    assert_string_equal(l.why, "it takes no bytes while more than 8 MiB wait for it");
    assert_true(clock_mono_ns() - began_ns < 4 * NS_PER_SEC);
    free(features);
}

/* --- What is open, and what is left ------------------------------------------*/

static void test_descriptors_of_a_worker(void **state)
{
    const struct life_limits limits = PATIENT;
    char dir[40];
    bool open_fds[5] = {false};
    struct life l;
    (void)state;
    life_begin_ready(&l, "ready", &limits);
    snprintf(dir, sizeof dir, "/proc/%d/fd", (int)l.pid);
    DIR *d = opendir(dir);
    assert_non_null(d);
    for (struct dirent *entry = readdir(d); entry != NULL; entry = readdir(d)) {
        long fd = strtol(entry->d_name, NULL, 10);
        if (entry->d_name[0] == '.')
            continue;
        if (fd > 4)
            fail_msg("the worker has descriptor %ld", fd);
        open_fds[fd] = true;
    }
    closedir(d);
    for (int fd = 0; fd <= 4; fd++)
        assert_true(open_fds[fd]);
    proc_kill(l.p, "the test is over");
    life_end(&l);
}

static void test_hoarded_descriptors(void **state)
{
    const struct life_limits limits = PATIENT;
    struct question q;
    struct life l;
    (void)state;
    life_begin_ready(&l, "ready then hoard", &limits);
    life_ask(&l, &q, LIFE_LONG_MS);
    loop_until(l.base, q.n_done > 0);
    assert_int_equal(q.outcome, CALL_OK);
    assert_true(q.output == 256);
    proc_kill(l.p, "the test is over");
    life_end(&l);
}

/* However it ends, its children end with it: killed for a breach, killed while it
 * is silent, dead of itself while they hold its socket. */
static void test_children_die_with_a_worker(void **state)
{
    static const char *const scripts[] = {"ready then bomb=100 garbage",
                                          "ready then bomb=100 sleep", "ready then bomb=100 exit=3",
                                          "bomb=100 segv"};
    const struct life_limits limits = {.hang_ms = SHORT_HANG_MS};
    (void)state;
    for (size_t i = 0; i < sizeof scripts / sizeof scripts[0]; i++) {
        struct question q;
        struct life l;
        bool is_ready = strncmp(scripts[i], "ready", 5) == 0;
        (is_ready ? life_begin_ready : life_begin)(&l, scripts[i], &limits);
        if (is_ready)
            life_ask(&l, &q, LIFE_LONG_MS);
        life_end(&l);
        for (int64_t end_ns = loop_deadline(); kill(-l.pid, 0) == 0; workdir_sleep_ms(1))
            if (clock_mono_ns() > end_ns)
                fail_msg("\"%s\": children live on", scripts[i]);
        assert_int_equal(errno, ESRCH);
    }
}

/* In libc's place for the whole of this program. */
static int n_kills_of_nobody;

int kill(pid_t pid, int signal)
{
    siginfo_t info;
    if (pid < 0 && signal == SIGKILL &&
        waitid(P_PID, (id_t)-pid, &info, WEXITED | WNOHANG | WNOWAIT) < 0)
        n_kills_of_nobody++;
    return (int)syscall(SYS_kill, pid, signal);
}

/* What is left in a dead worker's socket may have it killed. Its pid must still be
 * its own then: after the reaping the number may be another group's. */
static void test_nobody_is_killed_after_the_reaping(void **state)
{
    static const char *const scripts[] = {"exit=9",     "ready exit=4",   "ready garbage exit=4",
                                          "ready segv", "garbage exit=1", "ready then exit=3"};
    const struct life_limits limits = {0};
    (void)state;
    n_kills_of_nobody = 0;
    for (size_t i = 0; i < sizeof scripts / sizeof scripts[0]; i++) {
        struct question q;
        struct life l;
        bool is_asked = strstr(scripts[i], "then") != NULL;
        (is_asked ? life_begin_ready : life_begin)(&l, scripts[i], &limits);
        if (is_asked)
            life_ask(&l, &q, LIFE_LONG_MS);
        siginfo_t info; /* dead before the loop turns: its socket has not been read */
        if (!is_asked)
            assert_int_equal(waitid(P_PID, (id_t)l.pid, &info, WEXITED | WNOWAIT), 0);
        life_end(&l);
    }
    assert_int_equal(n_kills_of_nobody, 0);
}

enum { N_AT_ONCE = 50 };

static int n_ready, n_dead;

static void on_ready(void *arg, struct proc *p)
{
    (void)arg, (void)p;
    n_ready++;
}

static void on_dead(void *arg, struct proc *p, const struct obituary *o)
{
    (void)arg, (void)p;
    assert_string_equal(o->how, KILLED_BY_US);
    n_dead++;
}

/* Fifty workers die in one turn of the loop; not one of them stays a zombie. */
static void test_many_deaths_at_once(void **state)
{
    char program[EVIL_PATH_SIZE];
    pid_t pids[N_AT_ONCE];
    struct event_base *base = event_base_new();
    struct lines lines;
    lines_open(&lines, base);
    const struct proc_options options = {.base = base,
                                         .lines = &lines,
                                         .program = program,
                                         .role = "canary",
                                         .start_timeout_ms = LIFE_LONG_MS,
                                         .hang_ms = LIFE_LONG_MS,
                                         .drain_ms = LIFE_LONG_MS};
    const struct proc_listener listener = {.ready = on_ready, .dead = on_dead};
    struct modelref *model = evil_model("ready");
    (void)state;
    built_program(program, "tests/support/evil_worker");
    n_ready = n_dead = 0;
    for (int i = 0; i < N_AT_ONCE; i++) {
        struct err e = {0};
        struct proc *p = proc_start(&options, model, &listener, &e);
        if (p == NULL)
            fail_msg("%s", e.text);
        pids[i] = proc_pid(p);
    }
    loop_until(base, n_ready == N_AT_ONCE);
    for (int i = 0; i < N_AT_ONCE; i++)
        kill(pids[i], SIGKILL);
    loop_until(base, n_dead >= N_AT_ONCE);
    loop_settle(base);
    assert_int_equal(n_dead, N_AT_ONCE);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* neither child nor zombie */
    assert_int_equal(errno, ECHILD);
    modelref_free(&model);
    lines_close(&lines);
    event_base_free(base);
}

static int count_fds(void)
{
    int n = 0;
    DIR *d = opendir("/proc/self/fd");
    assert_non_null(d);
    while (readdir(d) != NULL)
        n++;
    closedir(d);
    return n;
}

/* However a life ends, and however it fails to begin. */
static void test_no_descriptor_is_left(void **state)
{
    static const char *const scripts[] = {"exit=1", "refuse exit=65", "ready garbage", "ready eof",
                                          "fork=200 exit=1"};
    const struct life_limits limits = PATIENT;
    int before = count_fds();
    struct life l;
    (void)state;
    for (size_t i = 0; i < sizeof scripts / sizeof scripts[0]; i++) {
        life_begin(&l, scripts[i], &limits);
        life_end(&l);
        assert_int_equal(count_fds(), before);
    }
    life_begin_program(&l, "/nowhere/canary-worker", "ready", &limits);
    life_end(&l);
    assert_int_equal(count_fds(), before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_descriptors_of_a_worker),
        cmocka_unit_test(test_no_descriptor_is_left),
        cmocka_unit_test(test_hoarded_descriptors),
        cmocka_unit_test(test_children_die_with_a_worker),
        cmocka_unit_test(test_nobody_is_killed_after_the_reaping),
        cmocka_unit_test(test_many_deaths_at_once),
        cmocka_unit_test(test_refusal_is_utf8),
        cmocka_unit_test(test_a_queue_that_is_not_read),
        cmocka_unit_test(test_rows),
    };
    log_init("test_proc_evil", LOG_LEVEL_ERROR);
    return cmocka_run_group_tests_name("proc_evil", tests, NULL, NULL);
}
