/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The lists are allow-lists: what is not there ends the process. They were found
 * with strace and are kept right by the tests, which run everything caged.
 */
#include "common/cage.h"

#include <asm/ioctls.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <seccomp.h>

#ifndef __has_feature
#define __has_feature(x) 0
#endif

const char *cage_exempt(void)
{
#if defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer)
    return "sanitizer build";
#elif defined(CANARYD_COVERAGE)
    return "coverage build";
#else
    return NULL;
#endif
}

/* --- seccomp ----------------------------------------------------------------*/

#define ALWAYS(name)                                                                               \
    {                                                                                              \
        SCMP_SYS(name), 0, 0, 0                                                                    \
    }
#define WHOLE UINT64_MAX

/* A call that is allowed where (argument & mask) == value. */
struct allowed {
    int number;
    unsigned argument;
    uint64_t mask, value;
};

/* clang-format off */
static const struct allowed for_all[] = {
    /* the descriptors that it was given */
    ALWAYS(read), ALWAYS(pread64), ALWAYS(write), ALWAYS(lseek), ALWAYS(close), ALWAYS(fstat),
    {SCMP_SYS(newfstatat), 3, WHOLE, AT_EMPTY_PATH},
    /* memory that never becomes code */
    ALWAYS(brk), ALWAYS(munmap), ALWAYS(mremap), ALWAYS(madvise),
    {SCMP_SYS(mmap), 2, PROT_EXEC, 0}, {SCMP_SYS(mprotect), 2, PROT_EXEC, 0},
    /* time and chance */
    ALWAYS(clock_gettime), ALWAYS(gettimeofday), ALWAYS(nanosleep), ALWAYS(clock_nanosleep),
    ALWAYS(restart_syscall), ALWAYS(getrandom),
    /* itself: limits can be read, for there is no new value */
    {SCMP_SYS(prlimit64), 2, WHOLE, 0},
    ALWAYS(getpid), ALWAYS(gettid), ALWAYS(futex), ALWAYS(rt_sigaction), ALWAYS(rt_sigprocmask),
    ALWAYS(rt_sigreturn), ALWAYS(exit), ALWAYS(exit_group),
};
static const struct allowed for_worker[] = {
    ALWAYS(recvfrom), ALWAYS(sendto),
    {SCMP_SYS(prlimit64), 1, WHOLE, RLIMIT_CPU}, /* which it had for its start only */
};
static const struct allowed for_python[] = {
    ALWAYS(recvfrom), ALWAYS(sendto), {SCMP_SYS(prlimit64), 1, WHOLE, RLIMIT_CPU},
    ALWAYS(readv), ALWAYS(writev), ALWAYS(dup), {SCMP_SYS(ioctl), 1, WHOLE, TCGETS}, /* isatty */
    {SCMP_SYS(fcntl), 1, WHOLE, F_GETFL}, {SCMP_SYS(fcntl), 1, WHOLE, F_GETFD},
    {SCMP_SYS(fcntl), 1, WHOLE, F_DUPFD_CLOEXEC},
    ALWAYS(getppid), ALWAYS(sched_getaffinity), ALWAYS(sched_yield), ALWAYS(getrusage),
    ALWAYS(sigaltstack),
};
/* clang-format on */

#define LIST(array)                                                                                \
    {                                                                                              \
        array, sizeof(array) / sizeof(array)[0]                                                    \
    }
static const struct list {
    const struct allowed *calls;
    size_t n;
} lists[N_CAGE_POLICIES] = {
    [CAGE_WORKER] = LIST(for_worker),
    [CAGE_PYTHON] = LIST(for_python),
};

static int allow(scmp_filter_ctx filter, const struct allowed *a)
{
    const struct scmp_arg_cmp test = {
        .arg = a->argument, .op = SCMP_CMP_MASKED_EQ, .datum_a = a->mask, .datum_b = a->value};
    return seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, a->number, a->mask != 0 ? 1 : 0, &test);
}

static int allow_list(scmp_filter_ctx filter, const struct list *list)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < list->n; i++)
        rc = allow(filter, &list->calls[i]);
    return rc;
}

/* abort() may end us, and nobody else. */
static int allow_own_end(scmp_filter_ctx filter)
{
    const struct scmp_arg_cmp ourselves = {
        .arg = 0, .op = SCMP_CMP_EQ, .datum_a = (scmp_datum_t)getpid()};
    return seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1, &ourselves);
}

static int fill(scmp_filter_ctx filter, enum cage_policy policy)
{
    static const struct list all = LIST(for_all);
    int rc = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
    if (rc == 0)
        rc = allow_list(filter, &all);
    if (rc == 0)
        rc = allow_list(filter, &lists[policy]);
    if (rc == 0 && policy == CAGE_WORKER)
        rc = allow_own_end(filter);
    return rc;
}

/* NULL when libseccomp can't. */
static scmp_filter_ctx new_filter(enum cage_policy policy)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
    if (filter != NULL && fill(filter, policy) < 0) {
        seccomp_release(filter);
        filter = NULL;
    }
    return filter;
}

static bool restrict_calls(enum cage_policy policy)
{
    scmp_filter_ctx filter = new_filter(policy);
    bool done = filter != NULL && seccomp_load(filter) == 0;
    if (filter != NULL)
        seccomp_release(filter);
    return done;
}

int cage_write_filter(enum cage_policy policy, int fd, struct err *e)
{
    scmp_filter_ctx filter = new_filter(policy);
    int rc = filter != NULL ? seccomp_export_bpf(filter, fd) : -ENOSYS;
    if (filter != NULL)
        seccomp_release(filter);
    errno = -rc;
    return rc < 0 ? err_set_errno(e, "cage-missing", "no seccomp filter can be made") : 0;
}

/* --- Landlock (landlock(7)), by its system calls: glibc has no names for them -*/

/* struct landlock_ruleset_attr as kernels know it whose headers are newer than ours. */
struct ruleset {
    uint64_t handled_access_fs, handled_access_net, scoped;
};

static int landlock_abi(void)
{
    return (int)syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
}

/* Everything that this kernel can forbid: rights were added from version to version. */
static size_t describe_ruleset(int abi, struct ruleset *r)
{
    static const struct {
        int abi;
        unsigned n_fs, n_net, n_scoped;
    } versions[] = {
        {1, 13, 0, 0}, {2, 14, 0, 0}, {3, 15, 0, 0}, {4, 15, 2, 0}, {5, 16, 2, 0}, {6, 16, 2, 2},
    };
    for (size_t i = 0; i < sizeof versions / sizeof versions[0]; i++) {
        if (versions[i].abi > abi)
            continue;
        r->handled_access_fs = (UINT64_C(1) << versions[i].n_fs) - 1;
        r->handled_access_net = (UINT64_C(1) << versions[i].n_net) - 1;
        r->scoped = (UINT64_C(1) << versions[i].n_scoped) - 1;
    }
    return abi >= 6 ? sizeof *r : abi >= 4 ? offsetof(struct ruleset, scoped) : sizeof(uint64_t);
}

static bool restrict_files(void)
{
    struct ruleset r = {0};
    size_t size = describe_ruleset(landlock_abi(), &r);
    int fd = (int)syscall(SYS_landlock_create_ruleset, &r, size, 0);
    bool done = fd >= 0 && syscall(SYS_landlock_restrict_self, fd, 0) == 0;
    if (fd >= 0)
        close(fd);
    return done;
}

/* --- The whole --------------------------------------------------------------*/

static void note(char level[CAGE_LEVEL_SIZE], const char *missing)
{
    size_t n = strlen(level);
    snprintf(level + n, CAGE_LEVEL_SIZE - n, "%s%s", n > 0 ? "; " : "", missing);
}

static bool has_memory_limit(void)
{
    struct rlimit memory;
    return getrlimit(RLIMIT_AS, &memory) == 0 && memory.rlim_cur != RLIM_INFINITY;
}

void cage_enter(enum cage_policy policy, char level[CAGE_LEVEL_SIZE])
{
    const struct rlimit none = {0, 0};
    const char *exempt = cage_exempt();
    level[0] = '\0';
    if (exempt != NULL) {
        note(level, exempt);
        return;
    }
    if (geteuid() == 0)
        note(level, "runs as root");
    if (!has_memory_limit())
        note(level, "no memory limit");
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || setrlimit(RLIMIT_NPROC, &none) < 0)
        note(level, "no limits");
    if (!restrict_files())
        note(level, "no landlock");
    if (!restrict_calls(policy))
        note(level, "no seccomp");
    if (level[0] == '\0')
        note(level, "full");
}
