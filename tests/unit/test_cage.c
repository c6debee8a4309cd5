/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The cage from inside, in children that lock themselves in and then try what a
 * hostile model would: each dies of it; what serving needs goes on. Where the
 * kernel lacks a part (a filter of the test's own plays that), the level says so.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <seccomp.h>

#include "common/cage.h"
#include "common/fdio.h"
#include "tests/support/child.h"

#define NOBODY 65534
#define MEMORY (INT64_C(1) << 32)

static int pair[2]; /* a socket pair that the child has */

static void limit_memory(void)
{
    const struct rlimit memory = {MEMORY, MEMORY};
    setrlimit(RLIMIT_AS, &memory);
}

/* As spawn leaves a worker: no root, a limit of memory. */
static void be_worker(void)
{
    limit_memory();
    if (geteuid() == 0 && (setgid(NOBODY) != 0 || setuid(NOBODY) != 0))
        _exit(90);
}

/* --- What is tried, inside ------------------------------------------------------*/

static int try_open(void)
{
    return open("/etc/passwd", O_RDONLY | O_CLOEXEC);
}

static int try_create(void)
{
    return open("/tmp/canaryd-cage", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
}

static int try_stat(void)
{
    struct stat st;
    return stat("/etc/passwd", &st);
}

static int try_unlink(void)
{
    return unlink("/tmp/canaryd-cage");
}

static int try_socket(void)
{
    return socket(AF_INET, SOCK_STREAM, 0);
}

static int try_unix_socket(void)
{
    return socket(AF_UNIX, SOCK_STREAM, 0);
}

static int try_fork(void)
{
    return fork();
}

static int try_exec(void)
{
    return execl("/bin/true", "true", NULL);
}

static int try_kill(void)
{
    return kill(getppid(), 0);
}

static int try_signal_a_thread_of_another(void)
{
    return (int)syscall(SYS_tgkill, 1, 1, 0);
}

static int try_code(void)
{
    return mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != NULL;
}

static int try_memory_to_code(void)
{
    void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return mprotect(p, 4096, PROT_READ | PROT_EXEC);
}

static int try_ptrace(void)
{
    return (int)ptrace(PTRACE_TRACEME, 0, NULL, NULL);
}

static int try_memfd(void)
{
    return memfd_create("x", 0);
}

static int try_prctl(void)
{
    return prctl(PR_SET_PDEATHSIG, 0);
}

static int try_raising_a_limit(void)
{
    const struct rlimit all = {RLIM_INFINITY, RLIM_INFINITY};
    return setrlimit(RLIMIT_AS, &all);
}

static int try_other_limits(void)
{
    const struct rlimit none = {0, 0};
    return prlimit(getppid(), RLIMIT_NOFILE, &none, NULL);
}

static int try_fewer_files(void)
{
    const struct rlimit none = {0, 0};
    return setrlimit(RLIMIT_NOFILE, &none);
}

static int try_setuid(void)
{
    return setuid(0);
}

static int try_io_uring(void)
{
    return (int)syscall(425, 4, NULL); /* io_uring_setup */
}

static int try_thread(void)
{
    return (int)syscall(SYS_clone3, NULL, 0);
}

static int try_passing_a_descriptor(void)
{
    struct msghdr nothing = {0};
    return (int)sendmsg(pair[0], &nothing, 0);
}

static int (*const forbidden[])(void) = {
    try_open,         try_create,
    try_stat,         try_unlink,
    try_socket,       try_unix_socket,
    try_fork,         try_exec,
    try_kill,         try_signal_a_thread_of_another,
    try_code,         try_memory_to_code,
    try_ptrace,       try_memfd,
    try_prctl,        try_raising_a_limit,
    try_other_limits, try_fewer_files,
    try_setuid,       try_io_uring,
    try_thread,       try_passing_a_descriptor,
};
#define N_FORBIDDEN (sizeof forbidden / sizeof forbidden[0])

/* --- Children ------------------------------------------------------------------*/

/* 1 when it came back from what it tried; it must not. */
static int enter_and_try(void *arg)
{
    int (*const *attempt)(void) = arg;
    char level[CAGE_LEVEL_SIZE];
    be_worker();
    cage_enter(CAGE_WORKER, level);
    (*attempt)();
    return 1;
}

static int enter_and_work(void *arg)
{
    char level[CAGE_LEVEL_SIZE];
    char byte = 'x';
    struct timespec t = {.tv_nsec = 1000};
    struct rlimit memory;
    struct stat st;
    (void)arg;
    be_worker();
    cage_enter(CAGE_WORKER, level);
    bool works = send(pair[0], &byte, 1, MSG_NOSIGNAL) == 1 && recv(pair[1], &byte, 1, 0) == 1 &&
                 nanosleep(&t, NULL) == 0 && clock_gettime(CLOCK_MONOTONIC, &t) == 0 &&
                 fstat(pair[0], &st) == 0 && getrlimit(RLIMIT_AS, &memory) == 0;
    void *large = malloc(1 << 24); /* a map of its own */
    works = works && large != NULL;
    free(large);
    return works && memory.rlim_cur == MEMORY ? 0 : 1;
}

static int enter_and_abort(void *arg)
{
    char level[CAGE_LEVEL_SIZE];
    (void)arg;
    be_worker();
    cage_enter(CAGE_WORKER, level);
    abort();
}

/* Says its level on standard error. */
static int say_level(void *arg)
{
    char level[CAGE_LEVEL_SIZE];
    void (*const *before)(void) = arg;
    (*before)();
    cage_enter(CAGE_WORKER, level);
    return fd_write_all(STDERR_FILENO, level, strlen(level));
}

/* A kernel without these calls. */
static void refuse_calls(const int *calls, size_t n)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
    for (size_t i = 0; i < n; i++)
        seccomp_rule_add_array(filter, SCMP_ACT_ERRNO(ENOSYS), calls[i], 0, NULL);
    if (seccomp_load(filter) != 0)
        _exit(91);
    seccomp_release(filter);
}

static void have_no_landlock(void)
{
    static const int calls[] = {SCMP_SYS(landlock_create_ruleset)};
    be_worker();
    refuse_calls(calls, 1);
}

static void have_no_seccomp(void)
{
    be_worker();
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    /* What it refuses to others it refuses to itself: so by hand. */
    struct sock_filter code[] = {
        {BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(struct seccomp_data, nr)},
        {BPF_JMP | BPF_JEQ | BPF_K, 3, 0, SYS_seccomp},
        {BPF_JMP | BPF_JEQ | BPF_K, 0, 3, SYS_prctl},
        {BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(struct seccomp_data, args)},
        {BPF_JMP | BPF_JEQ | BPF_K, 0, 1, PR_SET_SECCOMP},
        {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ERRNO | EINVAL},
        {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW},
    };
    const struct sock_fprog program = {.len = sizeof code / sizeof code[0], .filter = code};
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) != 0)
        _exit(92);
}

static void have_neither(void)
{
    have_no_landlock();
    have_no_seccomp();
}

static void be_root(void)
{
    limit_memory();
}

static void have_no_memory_limit(void)
{
    if (geteuid() == 0 && (setgid(NOBODY) != 0 || setuid(NOBODY) != 0))
        _exit(90);
}

/* Landlock alone: the calls are made, and refused. */
static int open_behind_landlock(void *arg)
{
    char level[CAGE_LEVEL_SIZE];
    (void)arg;
    have_no_seccomp();
    cage_enter(CAGE_WORKER, level);
    struct {
        unsigned short family, port;
        unsigned address;
        char rest[8];
    } loopback = {AF_INET, 0x901f, 0x0100007f, {0}};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    bool shut = open("/etc/passwd", O_RDONLY | O_CLOEXEC) < 0 && errno == EACCES &&
                open("/tmp/canaryd-cage", O_WRONLY | O_CREAT | O_CLOEXEC, 0600) < 0 &&
                errno == EACCES && open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC) < 0 &&
                errno == EACCES;
    connect(fd, (const struct sockaddr *)&loopback, sizeof loopback);
    return shut && errno == EACCES ? 0 : 1;
}

/* --- Tests ----------------------------------------------------------------------*/

static void skip_where_exempt(void)
{
    if (cage_exempt() == NULL)
        return;
    print_message("SKIP test_cage: a %s is not caged\n", cage_exempt());
    skip();
}

static void test_what_is_tried_is_the_end(void **state)
{
    (void)state;
    skip_where_exempt();
    for (size_t i = 0; i < N_FORBIDDEN; i++) {
        int (*attempt)(void) = forbidden[i];
        int rc = child_run(enter_and_try, &attempt, NULL, 0);
        if (rc != -SIGSYS)
            fail_msg("attempt %zu: %d instead of SIGSYS", i, rc);
    }
    assert_int_equal(access("/tmp/canaryd-cage", F_OK), -1);
}

static void test_work_goes_on(void **state)
{
    (void)state;
    skip_where_exempt();
    assert_int_equal(child_run(enter_and_work, NULL, NULL, 0), 0);
    assert_int_equal(child_run(enter_and_abort, NULL, NULL, 0), -SIGABRT);
}

static void check_level(void (*before)(void), const char *level)
{
    char said[200];
    assert_int_equal(child_run(say_level, &before, said, sizeof said), 0);
    assert_string_equal(said, level);
}

static void test_levels(void **state)
{
    (void)state;
    skip_where_exempt();
    check_level(be_worker, "full");
    check_level(have_no_landlock, "no landlock");
    check_level(have_no_seccomp, "no seccomp");
    check_level(have_neither, "no landlock; no seccomp");
    check_level(have_no_memory_limit, "no memory limit");
    if (geteuid() == 0)
        check_level(be_root, "runs as root");
}

static void test_an_exempt_build_says_so(void **state)
{
    (void)state;
    if (cage_exempt() != NULL)
        check_level(be_worker, cage_exempt());
}

static void test_landlock_alone(void **state)
{
    (void)state;
    skip_where_exempt();
    assert_int_equal(child_run(open_behind_landlock, NULL, NULL, 0), 0);
}

/* What the exporter gets: a program of the kernel's, and another one than ours. */
static void test_filters(void **state)
{
    struct sock_filter *code[N_CAGE_POLICIES];
    size_t n[N_CAGE_POLICIES];
    (void)state;
    for (int i = 0; i < N_CAGE_POLICIES; i++) {
        struct err e = {0};
        int fd = memfd_create("filter", MFD_CLOEXEC);
        if (cage_write_filter((enum cage_policy)i, fd, &e) < 0)
            fail_msg("%s", e.text);
        assert_int_equal(fd_read_file(fd, "filter", 65536, (char **)&code[i], &n[i], &e), 0);
        fd_close(&fd);
        assert_true(n[i] > 0 && n[i] % sizeof(struct sock_filter) == 0);
        assert_true(n[i] / sizeof(struct sock_filter) <= BPF_MAXINSNS);
        /* It ends with a return, as the kernel wants it. */
        assert_int_equal(code[i][n[i] / sizeof(struct sock_filter) - 1].code & 7, BPF_RET);
    }
    assert_true(n[0] != n[1] || memcmp(code[0], code[1], n[0]) != 0);
    free(code[0]);
    free(code[1]);
}

static void test_a_filter_that_cannot_be_written(void **state)
{
    struct err e = {0};
    (void)state;
    assert_int_equal(cage_write_filter(CAGE_PYTHON, -1, &e), -1);
    assert_string_equal(e.code, "cage-missing");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_work_goes_on),
        cmocka_unit_test(test_what_is_tried_is_the_end),
        cmocka_unit_test(test_levels),
        cmocka_unit_test(test_an_exempt_build_says_so),
        cmocka_unit_test(test_landlock_alone),
        cmocka_unit_test(test_filters),
        cmocka_unit_test(test_a_filter_that_cannot_be_written),
    };
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
        return 1;
    return cmocka_run_group_tests_name("cage", tests, NULL, NULL);
}
