# SPDX-License-Identifier: GPL-2.0-or-later
"""Reads what callgrind has written: the sum, and each room's share of it.

The format is the one of "Callgrind Format Specification" in valgrind's manual: names are
written out once and are numbers from then on; the line behind a calls= line is what the
callee took, which is counted where the callee is.
"""
import collections
import pathlib
import re

LIBRARIES = {"libc.so": "libc", "libm.so": "libm", "ld-linux": "libc", "libevent": "libevent",
             "libmsgpack": "msgpack", "libcjson": "cJSON"}


def read_total(path):
    """The instructions in a file; None while callgrind is still writing it."""
    found = re.search(r"^totals: (\d+)", path.read_text(), re.M)
    return int(found.group(1)) if found else None


def room_of(library, source):
    """supervisor/router_wait.c is of supervisor/router; a library is a room."""
    for beginning, name in LIBRARIES.items():
        if pathlib.Path(library).name.startswith(beginning):
            return name
    part = re.search(r"((?:common|proto|judge|supervisor)/[a-z]+(?:_mono|_request)?)", source)
    return part.group(1) if part else "other"


def read_rooms(path):
    """{room: instructions}, what is inlined counted where it was written."""
    rooms, names = collections.Counter(), {}
    here = {"ob": "", "fl": ""}
    is_callee = False
    for line in path.read_text().splitlines():
        key = re.match(r"(c?)(ob|f[lie])=\((\d+)\)(?: (.*))?", line)
        if key is not None:
            kind = "ob" if key[2] == "ob" else "fl"
            if key[4] is not None:
                names[kind, key[3]] = key[4]
            if not key[1]:
                here[kind] = names[kind, key[3]]
        elif line.startswith("calls="):
            is_callee = True
        elif re.match(r"[+\-*\d]", line):
            if not is_callee:
                rooms[room_of(here["ob"], here["fl"])] += int(line.split()[1])
            is_callee = False
    return rooms
