/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Between fork and exec only async-signal-safe calls are made: the helper
 * thread may hold any lock at that moment.
 */
#include "supervisor/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/fdio.h"

#define FIRST_FD    3
#define EXEC_FAILED 127
#define MAX_FDS     256 /* of a child: a worker needs five, the exporter some dozens */

/* waitid's id type for a pidfd; newer than glibc 2.35's headers in some places. */
#ifndef P_PIDFD
#define P_PIDFD 3
#endif

static const char *const child_environment[] = {
    "PATH=/usr/local/bin:/usr/bin:/bin",
    "LANG=C.UTF-8",
    "OMP_NUM_THREADS=1",
    "OPENBLAS_NUM_THREADS=1",
    NULL,
};

/* Signals back to what a program expects at its start. All are blocked here; what
 * came meanwhile was for the supervisor, who has it too: to ignore it drops it. */
static void reset_signals(void)
{
    sigset_t none;
    for (int i = 1; i < NSIG; i++) {
        signal(i, SIG_IGN);
        signal(i, SIG_DFL);
    }
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Copies all to free numbers first, out of each other's way. */
static bool place_fds(const struct spawn_request *r)
{
    const int behind = FIRST_FD + (int)r->n_fds;
    int copies[SPAWN_MAX_FDS];
    for (size_t i = 0; i < r->n_fds; i++) {
        copies[i] = fcntl(r->fds[i], F_DUPFD_CLOEXEC, behind);
        if (copies[i] < 0)
            return false;
    }
    for (size_t i = 0; i < r->n_fds; i++)
        if (dup2(copies[i], FIRST_FD + (int)i) < 0)
            return false;
    return syscall(SYS_close_range, (unsigned)behind, UINT_MAX, 0) == 0;
}

static bool place_standard_fds(int output_fd)
{
    int null = open("/dev/null", O_RDWR);
    if (output_fd > 0 && dup2(output_fd, STDERR_FILENO) < 0)
        return false;
    return null >= 0 && dup2(null, STDIN_FILENO) == STDIN_FILENO &&
           dup2(STDERR_FILENO, STDOUT_FILENO) == STDOUT_FILENO;
}

/* Where our own limit is lower already, that stays. */
static bool limit(int resource, int64_t value)
{
    struct rlimit l;
    if (value <= 0)
        return true;
    if (getrlimit((__rlimit_resource_t)resource, &l) < 0)
        return false;
    if ((rlim_t)value < l.rlim_max)
        l.rlim_max = (rlim_t)value;
    l.rlim_cur = l.rlim_max;
    return setrlimit((__rlimit_resource_t)resource, &l) == 0;
}

/* The hard limit stays, so that it can be lifted. */
static bool limit_cpu(int64_t ms)
{
    struct rlimit l;
    if (ms <= 0)
        return true;
    if (getrlimit(RLIMIT_CPU, &l) < 0)
        return false;
    rlim_t seconds = (rlim_t)(ms + 999) / 1000;
    if (seconds < l.rlim_max)
        l.rlim_cur = seconds;
    return setrlimit(RLIMIT_CPU, &l) == 0;
}

static bool set_limits(const struct spawn_limits *l)
{
    const struct rlimit no_core = {0, 0};
    return setrlimit(RLIMIT_CORE, &no_core) == 0 && limit(RLIMIT_AS, l->memory_bytes) &&
           limit(RLIMIT_FSIZE, l->file_bytes) &&
           limit(RLIMIT_NOFILE, l->n_files > 0 ? l->n_files : MAX_FDS) && limit_cpu(l->cpu_ms);
}

/* The system calls themselves: glibc's functions would signal the threads that
 * only our parent has. */
static bool change_user(uid_t uid, gid_t gid)
{
    if (uid == 0)
        return true;
    return syscall(SYS_setgroups, 0, NULL) == 0 && syscall(SYS_setresgid, gid, gid, gid) == 0 &&
           syscall(SYS_setresuid, uid, uid, uid) == 0;
}

/* The death signal last: a change of user clears it. */
static bool confine(const struct spawn_limits *limits, pid_t supervisor)
{
    if (!set_limits(limits) || !change_user(limits->uid, limits->gid) ||
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
        return false;
    return getppid() == supervisor; /* it may have died before the prctl */
}

static void become(const struct spawn_request *r, pid_t supervisor)
{
    /* execve's prototype is older than const. */
    union {
        const char *const *in;
        char *const *out;
    } argv = {.in = r->argv}, environment = {.in = child_environment};
    /* A terminal's Ctrl-C, or whoever signals our group, means us alone: we drain
     * while workers still answer. */
    setpgid(0, 0);
    reset_signals();
    if (!place_standard_fds(r->output_fd) || !place_fds(r))
        _exit(EXEC_FAILED);
    int program = open(r->argv[0], O_PATH | O_CLOEXEC);
    if (!confine(&r->limits, supervisor))
        _exit(EXEC_FAILED);
    if (r->limits.uid != 0)
        syscall(SYS_execveat, program, "", argv.out, environment.out, AT_EMPTY_PATH);
    /* A script is not found by a descriptor that its interpreter does not get. */
    execve(r->argv[0], argv.out, environment.out);
    _exit(EXEC_FAILED);
}

/* The child takes no signals until it has none of our handlers any more: they would
 * write into sockets that it shares with us, and a Ctrl-C would count twice. */
static pid_t fork_without_signals(sigset_t *ours)
{
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, ours);
    return fork();
}

int spawn(const struct spawn_request *request, struct spawned *child, struct err *e)
{
    sigset_t ours;
    pid_t supervisor = getpid();
    pid_t pid = fork_without_signals(&ours);
    int error = errno;
    if (pid == 0)
        become(request, supervisor);
    pthread_sigmask(SIG_SETMASK, &ours, NULL);
    errno = error;
    if (pid < 0)
        return err_set_errno(e, "spawn-failed", "fork");
    /* Only we reap it, so the pid is still its own. */
    int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (pidfd < 0) {
        err_set_errno(e, "spawn-failed", "pidfd_open");
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        return -1;
    }
    *child = (struct spawned){.pid = pid, .pidfd = pidfd};
    return 0;
}

void spawn_lift_cpu_limit(const struct spawned *child)
{
    struct rlimit l;
    if (prlimit(child->pid, RLIMIT_CPU, NULL, &l) < 0)
        return;
    l.rlim_cur = l.rlim_max;
    prlimit(child->pid, RLIMIT_CPU, &l, NULL);
}

void spawn_kill(const struct spawned *child)
{
    syscall(SYS_pidfd_send_signal, child->pidfd, SIGKILL, NULL, 0);
    kill(-child->pid, SIGKILL); /* not yet reaped: the group's number is still its own */
}

/* The pid of a child that has ended, or 0. */
static pid_t ended(int pidfd)
{
    siginfo_t info = {0};
    int rc = waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED | WNOHANG | WNOWAIT);
    return rc == 0 ? info.si_pid : 0;
}

bool spawn_has_ended(int pidfd)
{
    return ended(pidfd) > 0;
}

int spawn_reap(int pidfd, char *how, size_t size)
{
    siginfo_t info = {0};
    pid_t pid = ended(pidfd);
    if (pid == 0)
        return -1;
    kill(-pid, SIGKILL); /* what it leaves behind; after the wait the number is free */
    if (waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED | WNOHANG) < 0)
        return -1;
    if (info.si_code == CLD_EXITED)
        snprintf(how, size, "exit status %d%s", info.si_status,
                 info.si_status == EXEC_FAILED ? " (the program could not be executed)" : "");
    else
        snprintf(how, size, "signal %d (%s)", info.si_status, strsignal(info.si_status));
    return 0;
}

int program_dir(char *dir, size_t size)
{
    ssize_t n = readlink("/proc/self/exe", dir, size - 1);
    if (n <= 0 || (size_t)n == size - 1) /* it may have been cut */
        return -1;
    dir[n] = '\0';
    char *slash = strrchr(dir, '/');
    if (slash == NULL)
        return -1;
    *slash = '\0';
    return 0;
}
