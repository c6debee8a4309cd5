/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A child as it finds itself: exactly its descriptors, exactly its environment,
 * no privileges to gain; how it ends, and that it ends with us. The child is
 * this program again, which writes what it sees to its descriptor 3.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
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
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/fdio.h"
#include "supervisor/spawn.h"

#define PATIENCE_MS 20000
#define PROBE       "--probe"
#define REPORT_FD   3

/* --- In the child -----------------------------------------------------------*/

static void tell_fds(FILE *out)
{
    bool open_fds[1024] = {false};
    DIR *d = opendir("/proc/self/fd");
    for (struct dirent *entry = readdir(d); entry != NULL; entry = readdir(d)) {
        int fd = (int)strtol(entry->d_name, NULL, 10);
        if (entry->d_name[0] != '.' && fd != dirfd(d) && fd < 1024)
            open_fds[fd] = true;
    }
    closedir(d);
    fprintf(out, "fds");
    for (int fd = 0; fd < 1024; fd++)
        if (open_fds[fd])
            fprintf(out, " %d", fd);
    fprintf(out, "\n");
}

/* One byte of each descriptor behind the report's: which file it is. */
static void tell_bytes(FILE *out)
{
    fprintf(out, "bytes ");
    for (int fd = REPORT_FD + 1; fd < REPORT_FD + SPAWN_MAX_FDS; fd++) {
        char byte = '-';
        if (pread(fd, &byte, 1, 0) < 0)
            byte = errno == EBADF ? '!' : '?';
        fprintf(out, "%c", byte);
    }
    fprintf(out, "\n");
}

static void tell_signals(FILE *out)
{
    int n_odd = 0;
    sigset_t mask;
    sigprocmask(SIG_SETMASK, NULL, &mask);
    for (int i = 1; i < SIGRTMIN; i++) {
        struct sigaction action;
        if (sigaction(i, NULL, &action) < 0)
            continue;
        /* A sanitizer in the child has handlers of its own. */
        n_odd += action.sa_handler == SIG_IGN || sigismember(&mask, i) == 1;
    }
    fprintf(out, "signals %d\n", n_odd);
}

static void tell_limits(FILE *out)
{
    static const int resources[] = {RLIMIT_AS, RLIMIT_FSIZE, RLIMIT_NOFILE, RLIMIT_CPU};
    fprintf(out, "limits");
    for (size_t i = 0; i < sizeof resources / sizeof resources[0]; i++) {
        struct rlimit l;
        getrlimit((__rlimit_resource_t)resources[i], &l);
        fprintf(out, " %lld", (long long)l.rlim_cur);
    }
    fprintf(out, "\nuser %d %d %d groups %d\n", (int)getuid(), (int)geteuid(), (int)getegid(),
            getgroups(0, NULL));
}

static int probe(int argc, char **argv)
{
    extern char **environ;
    int death = 0;
    struct rlimit core;
    char target[64] = "";
    FILE *out = fdopen(REPORT_FD, "w");
    tell_fds(out);
    tell_bytes(out);
    tell_signals(out);
    for (char **variable = environ; *variable != NULL; variable++)
        fprintf(out, "env %s\n", *variable);
    for (int i = 2; i < argc; i++)
        fprintf(out, "arg %s\n", argv[i]);
    prctl(PR_GET_PDEATHSIG, &death);
    getrlimit(RLIMIT_CORE, &core);
    if (readlink("/proc/self/fd/0", target, sizeof target - 1) < 0)
        return 1;
    tell_limits(out);
    fprintf(out, "no_new_privs %d\n", prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
    fprintf(out, "death signal %d\n", death);
    fprintf(out, "core %d %d\n", (int)core.rlim_cur, (int)core.rlim_max);
    fprintf(out, "stdin %s\n", target);
    return fclose(out) == 0 ? 0 : 1;
}

/* --- Here -------------------------------------------------------------------*/

static int new_file(const char *content)
{
    int fd = memfd_create("test", MFD_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(fd_write_all(fd, content, strlen(content)), 0);
    return fd;
}

/* Moves *fd to a number of our choice. */
static void move_fd(int *fd, int number)
{
    assert_int_equal(dup3(*fd, number, O_CLOEXEC), number);
    close(*fd);
    *fd = number;
}

static void wait_for(int pidfd, char *how, size_t size)
{
    struct pollfd p = {.fd = pidfd, .events = POLLIN};
    assert_int_equal(poll(&p, 1, PATIENCE_MS), 1);
    assert_int_equal(spawn_reap(pidfd, how, size), 0);
}

static struct spawned start(const char *const *argv, const int *fds, size_t n_fds)
{
    struct spawn_request request = {.argv = argv, .n_fds = n_fds};
    struct spawned child;
    struct err e = {0};
    for (size_t i = 0; i < n_fds; i++)
        request.fds[i] = fds[i];
    if (spawn(&request, &child, &e) < 0)
        fail_msg("%s", e.text);
    return child;
}

#define NOBODY 65534

/* The probe within limits; what it saw, to be freed. */
static char *run_limited(const struct spawn_limits *limits)
{
    static const char *const argv[] = {"/proc/self/exe", PROBE, NULL};
    struct spawn_request request = {
        .argv = argv, .fds = {new_file("")}, .n_fds = 1, .limits = *limits};
    struct spawned child;
    struct err e = {0};
    char how[80], *report;
    size_t n;
    if (spawn(&request, &child, &e) < 0)
        fail_msg("%s", e.text);
    wait_for(child.pidfd, how, sizeof how);
    fd_close(&child.pidfd);
    assert_string_equal(how, "exit status 0");
    assert_int_equal(fd_read_file(request.fds[0], "report", 65536, &report, &n, NULL), 0);
    fd_close(&request.fds[0]);
    return report;
}

/* Runs argv to its end and writes how it ended. */
static void run(const char *const *argv, const int *fds, size_t n_fds, char *how, size_t size)
{
    struct spawned child = start(argv, fds, n_fds);
    wait_for(child.pidfd, how, size);
    fd_close(&child.pidfd);
}

/* What the probe saw; to be freed. fds[0] takes the report. */
static char *run_probe(const int *fds, size_t n_fds)
{
    static const char *const argv[] = {"/proc/self/exe", PROBE, "one", "two words", "", NULL};
    char how[80];
    char *report;
    size_t n;
    run(argv, fds, n_fds, how, sizeof how);
    assert_string_equal(how, "exit status 0");
    assert_int_equal(fd_read_file(fds[0], "report", 65536, &report, &n, NULL), 0);
    return report;
}

static void assert_says(const char *report, const char *line)
{
    if (strstr(report, line) == NULL)
        fail_msg("the child did not see \"%s\" but:\n%s", line, report);
}

static void test_descriptors(void **state)
{
    static const struct {
        size_t n;
        const char *fds, *bytes;
    } cases[] = {
        {1, "fds 0 1 2 3\n", "bytes !!!\n"},
        {2, "fds 0 1 2 3 4\n", "bytes a!!\n"},
        {4, "fds 0 1 2 3 4 5 6\n", "bytes abc\n"},
    };
    (void)state;
    int loose = open("/dev/null", O_RDONLY); /* inheritable: a mistake elsewhere */
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int fds[] = {new_file(""), new_file("a"), new_file("b"), new_file("c")};
        char *report = run_probe(fds, cases[i].n);
        assert_says(report, cases[i].fds);
        assert_says(report, cases[i].bytes);
        free(report);
        for (size_t k = 0; k < 4; k++)
            fd_close(&fds[k]);
    }
    close(loose);
}

/* Whatever numbers the descriptors have here: the target's own, in another's
 * way, far up. Those from 64 on were overwritten while they were moved. */
static void test_descriptors_in_each_others_way(void **state)
{
    static const int numbers[][SPAWN_MAX_FDS] = {
        {70, 100, 71, 64}, {67, 66, 65, 64},   {66, 64, 65, 67}, {64, 65, 66, 67},
        {65, 64, 67, 66},  {200, 67, 201, 65}, {68, 69, 70, 71},
    };
    (void)state;
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        int fds[] = {new_file(""), new_file("a"), new_file("b"), new_file("c")};
        for (size_t k = 0; k < SPAWN_MAX_FDS; k++)
            move_fd(&fds[k], numbers[i][k]);
        char *report = run_probe(fds, 4);
        assert_says(report, "fds 0 1 2 3 4 5 6\n");
        assert_says(report, "bytes abc\n");
        free(report);
        for (size_t k = 0; k < SPAWN_MAX_FDS; k++)
            fd_close(&fds[k]);
    }
}

static void test_surroundings(void **state)
{
    static const char all_variables[] =
        "env PATH=/usr/local/bin:/usr/bin:/bin\nenv LANG=C.UTF-8\nenv OMP_NUM_THREADS=1\n"
        "env OPENBLAS_NUM_THREADS=1\narg one\narg two words\narg \n";
    static const char *const lines[] = {
        all_variables, "no_new_privs 1\n",  "death signal 9\n",
        "core 0 0\n",  "stdin /dev/null\n", "signals 0\n",
    };
    sigset_t mask, before;
    int fds[] = {new_file("")};
    (void)state;
    setenv("SECRET", "x", 1);
    sigfillset(&mask);
    sigprocmask(SIG_BLOCK, &mask, &before);
    void (*pipe_before)(int) = signal(SIGPIPE, SIG_IGN);
    char *report = run_probe(fds, 1);
    signal(SIGPIPE, pipe_before);
    sigprocmask(SIG_SETMASK, &before, NULL);
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++)
        assert_says(report, lines[i]);
    assert_null(strstr(report, "SECRET"));
    free(report);
    fd_close(&fds[0]);
}

#ifdef __SANITIZE_ADDRESS__
#define MEMORY INT64_C(0) /* it reserves the whole address space */
#define LIMITS " 1000000 33 3\n"
#else
#define MEMORY (INT64_C(1) << 30)
#define LIMITS "limits 1073741824 1000000 33 3\n"
#endif

static void test_limits(void **state)
{
    (void)state;
    char *report = run_limited(&(struct spawn_limits){
        .memory_bytes = MEMORY, .file_bytes = 1000000, .n_files = 33, .cpu_ms = 2001});
    assert_says(report, LIMITS);
    free(report);
}

/* Another user for good, with no group of ours; and still it dies with us. */
static void test_another_user(void **state)
{
    (void)state;
    if (geteuid() != 0) {
        print_message("SKIP test_another_user: only root can become somebody else\n");
        skip();
    }
    char *report = run_limited(&(struct spawn_limits){.uid = NOBODY, .gid = NOBODY + 1});
    assert_says(report, "user 65534 65534 65535 groups 0\n");
    assert_says(report, "death signal 9\n");
    assert_says(report, "no_new_privs 1\n");
    free(report);
}

/* Both outputs go where the caller says, or to our own standard error. */
static void test_output(void **state)
{
    static const char *const argv[] = {"/bin/sh", "-c", "echo out; echo err >&2", NULL};
    struct spawn_request request = {.argv = argv, .output_fd = new_file("")};
    struct spawned child;
    char how[80];
    char *text;
    size_t n;
    (void)state;
    assert_int_equal(spawn(&request, &child, NULL), 0);
    wait_for(child.pidfd, how, sizeof how);
    fd_close(&child.pidfd);
    assert_string_equal(how, "exit status 0");
    assert_int_equal(fd_read_file(request.output_fd, "output", 100, &text, &n, NULL), 0);
    assert_string_equal(text, "out\nerr\n");
    free(text);
    fd_close(&request.output_fd);
}

static void test_ends(void **state)
{
    static const struct {
        const char *program, *script;
        const char *how;
    } cases[] = {
        {"/bin/sh", "exit 0", "exit status 0"},
        {"/bin/sh", "exit 3", "exit status 3"},
        {"/bin/sh", "kill -KILL $$", "signal 9 (Killed)"},
        {"/bin/sh", "kill -SEGV $$", "signal 11 (Segmentation fault)"},
        {"/bin/sh", "kill -TERM $$", "signal 15 (Terminated)"},
        {"/nonexistent", "", "exit status 127 (the program could not be executed)"},
        {"/", "", "exit status 127 (the program could not be executed)"},
        {"/dev/null", "", "exit status 127 (the program could not be executed)"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *const argv[] = {cases[i].program, "-c", cases[i].script, NULL};
        char how[80];
        run(argv, NULL, 0, how, sizeof how);
        assert_string_equal(how, cases[i].how);
    }
}

static const char *const sleeper[] = {"/bin/sleep", "1000", NULL};

static void test_kill(void **state)
{
    char how[80] = "untouched";
    struct spawned child = start(sleeper, NULL, 0);
    (void)state;
    assert_true(fcntl(child.pidfd, F_GETFD) & FD_CLOEXEC);
    assert_int_equal(spawn_reap(child.pidfd, how, sizeof how), -1);
    assert_string_equal(how, "untouched");
    assert_int_equal(kill(child.pid, 0), 0);
    spawn_kill(&child);
    wait_for(child.pidfd, how, sizeof how);
    assert_string_equal(how, "signal 9 (Killed)");
    assert_int_equal(spawn_reap(child.pidfd, how, sizeof how), -1); /* once only */
    fd_close(&child.pidfd);
}

/* A supervisor of its own, which starts a worker, says its pid and hangs. */
static pid_t start_supervisor(int tell_fd)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid > 0)
        return pid;
    struct spawn_request request = {.argv = sleeper};
    struct spawned child;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (spawn(&request, &child, NULL) == 0)
        fd_write_all(tell_fd, &child.pid, sizeof child.pid);
    pause();
    _exit(1);
}

static void test_the_child_dies_with_us(void **state)
{
    int fds[2];
    pid_t worker;
    (void)state;
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    pid_t supervisor = start_supervisor(fds[1]);
    assert_int_equal(read(fds[0], &worker, sizeof worker), sizeof worker);
    int pidfd = (int)syscall(SYS_pidfd_open, worker, 0);
    assert_true(pidfd >= 0);
    struct pollfd p = {.fd = pidfd, .events = POLLIN};
    assert_int_equal(poll(&p, 1, 0), 0);
    kill(supervisor, SIGKILL);
    assert_int_equal(waitpid(supervisor, NULL, 0), supervisor);
    assert_int_equal(poll(&p, 1, PATIENCE_MS), 1);
    close(pidfd);
    close(fds[0]);
    close(fds[1]);
}

/* The supervisor is killed at any moment of its starting workers: between fork,
 * prctl and exec too. Its orphans become ours, and must all end by themselves. */
static void test_no_orphan_survives(void **state)
{
    enum { N_SUPERVISORS = 60 };
    int n_orphans = 0;
    (void)state;
    assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), 0);
    for (int i = 0; i < N_SUPERVISORS; i++) {
        pid_t supervisor = fork();
        assert_true(supervisor >= 0);
        if (supervisor == 0) {
            const struct spawn_request request = {.argv = sleeper};
            struct spawned child;
            for (int k = 0; k < 200; k++)
                spawn(&request, &child, NULL);
            pause();
        }
        usleep((useconds_t)(i * 97 % 3000));
        kill(supervisor, SIGKILL);
        assert_int_equal(waitpid(supervisor, NULL, 0), supervisor);
        alarm(PATIENCE_MS / 1000); /* ends the test if one lives on: it would for ever */
        while (waitpid(-1, NULL, 0) > 0)
            n_orphans++;
        alarm(0);
        assert_int_equal(errno, ECHILD);
    }
    print_message("%d orphans of %d supervisors, all gone\n", n_orphans, (int)N_SUPERVISORS);
    assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0), 0);
}

static void test_no_process_to_be_had(void **state)
{
    struct spawn_request request = {.argv = sleeper};
    struct spawned child = {.pidfd = -7};
    struct rlimit all;
    struct err e = {0};
    (void)state;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &all), 0);
    struct rlimit none = {.rlim_cur = 0, .rlim_max = all.rlim_max}; /* no pidfd */
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    int rc = spawn(&request, &child, &e);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &all), 0);
    assert_int_equal(rc, -1);
    assert_string_equal(e.code, "spawn-failed");
    assert_int_equal(child.pidfd, -7);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* no child was left behind */
    assert_int_equal(errno, ECHILD);
}

static void test_program_dir(void **state)
{
    char dir[4096];
    char small[8] = "";
    (void)state;
    assert_int_equal(program_dir(dir, sizeof dir), 0);
    assert_int_equal(dir[0], '/');
    size_t n = strlen(dir);
    assert_true(n > 11);
    assert_string_equal(dir + n - 11, "/tests/unit");
    assert_int_equal(program_dir(small, sizeof small), -1); /* not another directory */
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_descriptors),
        cmocka_unit_test(test_descriptors_in_each_others_way),
        cmocka_unit_test(test_surroundings),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_another_user),
        cmocka_unit_test(test_output),
        cmocka_unit_test(test_ends),
        cmocka_unit_test(test_kill),
        cmocka_unit_test(test_the_child_dies_with_us),
        cmocka_unit_test(test_no_orphan_survives),
        cmocka_unit_test(test_no_process_to_be_had),
        cmocka_unit_test(test_program_dir),
    };
    if (argc > 1 && strcmp(argv[1], PROBE) == 0)
        return probe(argc, argv);
    return cmocka_run_group_tests_name("spawn", tests, NULL, NULL);
}
