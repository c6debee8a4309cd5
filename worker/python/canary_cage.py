# SPDX-License-Identifier: GPL-2.0-or-later
"""What a Python process gives up before it looks into a model.

Unpickling runs whatever code the file holds. So the exporter and the worker
first import what they need, then enter the cage, and only then unpickle.
"""
import ctypes
import os

PR_SET_NO_NEW_PRIVS = 38  # linux/prctl.h


def enter_cage():
    """For the rest of this process's life, threads and children to come included. Call it after
    the imports and before the first byte of a model is interpreted. Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_NO_NEW_PRIVS, *map(ctypes.c_ulong, (1, 0, 0, 0))) < 0:
        error = ctypes.get_errno()
        raise OSError(error, f"no_new_privs: {os.strerror(error)}")
