# SPDX-License-Identifier: GPL-2.0-or-later
"""What a Python process gives up before it looks into a model.

Unpickling runs whatever code the file holds. So the exporter and the worker first import all that
models may name, then enter the cage, and only then unpickle: another user, no file, no connection,
no process, and no system call but those of a filter that canaryd hands over (common/cage.c).
"""
import codecs
import ctypes
import importlib
import io
import os
import resource
import signal
import struct
import sys

# Before the libraries are there: they would start threads, which the cage forbids.
os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")

PR_SET_PDEATHSIG, PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS, SECCOMP_MODE_FILTER = 1, 22, 38, 2
# landlock(7): the same numbers on every architecture.
LANDLOCK_CREATE_RULESET, LANDLOCK_RESTRICT_SELF, LANDLOCK_GET_VERSION = 444, 446, 1
# From which version on how many rights to files and to the network, and how many scopes.
LANDLOCK_RIGHTS = [(1, 13, 0, 0), (2, 14, 0, 0), (3, 15, 0, 0), (4, 15, 2, 0), (5, 16, 2, 0),
                   (6, 16, 2, 2)]
# Whatever a model or a refusal may name; nothing can be imported once the cage is shut.
PACKAGES = (
    "calibration", "cluster", "compose", "covariance", "cross_decomposition", "decomposition",
    "discriminant_analysis", "dummy", "ensemble", "feature_extraction", "feature_selection",
    "gaussian_process", "impute", "isotonic", "kernel_approximation", "kernel_ridge",
    "linear_model", "manifold", "mixture", "model_selection", "multiclass", "multioutput",
    "naive_bayes", "neighbors", "neural_network", "pipeline", "preprocessing",
    "random_projection", "semi_supervised", "svm", "tree",
)
# What the interpreter says of (sys.audit) and the cage does not allow.
WATCHED = ("open", "os.", "subprocess.", "socket.", "shutil.", "pty.", "signal.", "ctypes.dlopen",
           "glob.", "tempfile.", "mmap.", "resource.", "webbrowser.", "urllib.", "fcntl.")


class NoCage(Exception):
    """The kernel, or this system, does not have what the cage is made of."""


class NoImports:
    """The last finder: says that a model needs what is not there, without looking for it."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        raise ModuleNotFoundError(f"it needs the module {name}, which models cannot import here")


def import_all():
    """Also what the libraries do at their first use: open files, ask for processors."""
    for encoding in ("ascii", "latin1", "utf-8"):
        codecs.lookup(encoding)  # they are modules, too
    for package in PACKAGES:
        importlib.import_module(f"sklearn.{package}")
    import joblib
    import numpy
    from sklearn.cluster import KMeans  # asks ldconfig for the libraries that have threads
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.svm import SVC
    rows, classes = numpy.random.default_rng(0).random((16, 2)), numpy.arange(16) % 2
    for estimator in (LogisticRegression(), HistGradientBoostingClassifier(max_iter=1),
                      KNeighborsClassifier(3), SVC(), KMeans(2, n_init=1)):
        estimator.fit(rows, classes).predict(rows)
    stream = io.BytesIO()
    joblib.dump(rows, stream, compress=1)
    joblib.load(io.BytesIO(stream.getvalue()))


def os_call(function, *args):
    """A C function's non-negative result; OSError otherwise."""
    function.restype = ctypes.c_long
    result = function(*(ctypes.c_long(a) if isinstance(a, int) else a for a in args))
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def change_user(libc, user):
    """The supervisor's death kills us: a change of user clears that, so it is set again."""
    uid, gid = (int(x) for x in user.split(":"))
    if uid == 0:
        return
    parent = os.getppid()
    os.setgroups([])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    os_call(libc.prctl, PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def shut_files(libc):
    """Landlock with no rule: everything that this kernel can forbid is forbidden."""
    version = os_call(libc.syscall, LANDLOCK_CREATE_RULESET, None, 0, LANDLOCK_GET_VERSION)
    _, n_fs, n_net, n_scoped = [r for r in LANDLOCK_RIGHTS if r[0] <= version][-1]
    words = [(1 << n) - 1 for n in (n_fs, n_net, n_scoped) if n > 0]
    ruleset = struct.pack(f"{len(words)}Q", *words)
    fd = os_call(libc.syscall, LANDLOCK_CREATE_RULESET, ruleset, len(ruleset), 0)
    os_call(libc.syscall, LANDLOCK_RESTRICT_SELF, fd, 0)
    os.close(fd)


def shut_calls(libc, filter_fd):
    code = os.pread(filter_fd, 65536, 0)
    if not code:
        raise OSError("there is no filter for this machine")
    buffer = ctypes.create_string_buffer(code)  # must live until the kernel has copied it
    program = struct.pack("@HP", len(code) // 8, ctypes.addressof(buffer))
    os_call(libc.prctl, PR_SET_SECCOMP, SECCOMP_MODE_FILTER, program, 0, 0)


def tell_tries():
    """The kernel only kills: what was tried stands in the log, and so in the refusal."""
    left = [3]

    def hook(event, args):
        is_own = event == "open" and args and isinstance(args[0], int)  # a descriptor it has
        if left[0] > 0 and event.startswith(WATCHED) and not is_own:
            left[0] -= 1
            what = ", ".join(repr(a) for a in args if a is not None)
            what = "".join(c if c.isprintable() else " " for c in what)[:120]
            os.write(2, f"the model file tried {event}({what})\n".encode("utf-8", "replace"))

    sys.addaudithook(hook)


def lift_cpu_limit():
    """Processor time was limited for the start (supervisor/spawn.h); that is over."""
    libc = ctypes.CDLL(None, use_errno=True)
    limits = (ctypes.c_ulong * 2)()
    if libc.getrlimit(resource.RLIMIT_CPU, limits) == 0:
        limits[0] = limits[1]
        libc.setrlimit(resource.RLIMIT_CPU, limits)


def enter_cage(filter_fd=None, user="0:0", allow_uncaged=False):
    """For the rest of this process's life, threads and children to come included. Call it after
    the imports and before the first byte of a model is interpreted. Returns its level: "full", or
    what is missing. Raises NoCage where something is that allow_uncaged does not excuse, OSError.
    Without a filter (by hand) it only forgoes new privileges."""
    libc = ctypes.CDLL(None, use_errno=True)
    if filter_fd is None:
        os_call(libc.prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        return "started by hand"
    import_all()
    change_user(libc, user)
    os_call(libc.prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
    level = ["runs as root"] if os.geteuid() == 0 else []
    if resource.getrlimit(resource.RLIMIT_AS)[0] == resource.RLIM_INFINITY:
        level.append("no memory limit")
    sys.meta_path[:] = [NoImports]
    tell_tries()
    missing = []
    for name, shut in (("Landlock", lambda: shut_files(libc)),
                       ("seccomp", lambda: shut_calls(libc, filter_fd))):
        try:
            shut()
        except OSError as e:
            missing.append(f"{name} ({e.strerror or e})")
            level.append(f"no {name.lower()}")
    if missing and not allow_uncaged:
        raise NoCage("a pickle is a program, and there is nothing to cage it with here: "
                     f"{' and '.join(missing)} is missing; deploy the model's .json, or set "
                     "allow_uncaged_pickles")
    return "; ".join(level) or "full"
