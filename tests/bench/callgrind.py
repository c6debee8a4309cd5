# SPDX-License-Identifier: GPL-2.0-or-later
"""Reads what callgrind has written: the sum, and each room's share of it.

The format is the one of "Callgrind Format Specification" in valgrind's manual: names are
written out once and are numbers from then on; the line behind a calls= line is what the
callee took, which is counted where the callee is.
"""
import collections
import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
LIBRARIES = {"libc.so": "libc", "libm.so": "libc", "ld-linux": "libc", "libevent": "libevent",
             "libmsgpack": "msgpack", "libcjson": "cJSON"}


def read_total(path):
    """The instructions in a file; None while callgrind is still writing it."""
    found = re.search(r"^totals: (\d+)", path.read_text(), re.M)
    return int(found.group(1)) if found else None


def room_of(library, source):
    """A library is a room; a file without a header is of the room that its name begins with.
    None: what libraries' headers have brought in."""
    for beginning, name in LIBRARIES.items():
        if pathlib.Path(library).name.startswith(beginning):
            return name
    path = pathlib.Path(source)
    if path.is_absolute():
        path = path.relative_to(ROOT) if path.is_relative_to(ROOT) else None
    if path is None or not (ROOT / path).exists():
        return None
    if (ROOT / path).with_suffix(".h").exists():
        return str(path.with_suffix(""))
    return str(path.with_name(path.stem.split("_")[0]))


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
