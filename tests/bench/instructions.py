#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Counts the supervisor's instructions per request, and compares with the committed figures.

Time varies with the machine's mood; instructions don't. canaryd runs under callgrind, its
workers outside of it; each figure may exceed its committed one by 5 %. What a request takes
depends on the compiler and the libraries too: where these are others the figures are printed
and not compared. Loopback only.
"""
import argparse
import json
import os
import pathlib
import platform
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

from callgrind import read_rooms, read_total
from contenders import BODY, HERE, ROOT, Contender, progress

COMMITTED = HERE / "instructions.json"
MAX_GROWTH = 1.05
MIN_PART = 0.02
N_WIDE = 1000
WIDE_BODY = b'{"features":[%s]}' % b",".join([b"0.5", b"1.25"] * (N_WIDE // 2))
DUMP_SECONDS = 60
# The library's choice among its copies of memcpy and the like must not depend on the processor.
SAME_EVERYWHERE = ("glibc.cpu.hwcaps=-AVX2,-AVX512F,-AVX512VL,-AVX_Fast_Unaligned_Load,-ERMS,-FSRM,"
                   "-SSE4_2,-SSSE3,-FMA,-FMA4")


def post(body, fields=""):
    return (f"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n{fields}"
            f"Content-Length: {len(body)}\r\n\r\n").encode() + body


class Counted(Contender):
    """canaryd under callgrind. It never hears of a worker's death, so it is not asked to stop:
    its workers go when it is killed."""

    name = "canaryd"
    # Blocks that don't end: weighing one is done by the clock, and not once for each request.
    settings = ("--auto-rollback=false", "--block-ms=3600000", "--service-block-ms=3600000")

    def __init__(self, build, folder, model, body):
        self.model, self.body, self.n_dumps = model, body, 0
        folder = folder / model.stem
        folder.mkdir()
        super().__init__(build, folder)

    def start(self):
        self.spawn("valgrind", "--tool=callgrind", f"--callgrind-out-file={self.folder / 'out'}",
                   self.build / "canaryd", f"--listen=127.0.0.1:{self.port}",
                   f"--model-dir={self.model.parent}", f"--stable-model={self.model.name}",
                   *self.settings, f"--state-dir={self.folder / 'state'}",
                   f"--runtime-dir={self.folder / 'run'}",
                   env={**os.environ, "GLIBC_TUNABLES": SAME_EVERYWHERE,
                        "LD_PRELOAD": str(self.build / "tests/support/for_valgrind.so")})

    def connect(self):
        return socket.create_connection(("127.0.0.1", self.port), 30)

    def predict(self):
        with self.connect() as s:
            ask([s], post(self.body))

    def deploy(self, model):
        url = f"http://127.0.0.1:{self.port}/admin/deploy-canary"
        body = json.dumps({"model_path": model}).encode()
        request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            answer.read()

    def dump(self):
        """The file with what was counted since the last dump."""
        self.n_dumps += 1
        path = self.folder / f"out.{self.n_dumps}"
        os.kill(self.processes[0].pid, signal.SIGUSR1)
        end = time.monotonic() + DUMP_SECONDS
        while not path.exists() or read_total(path) is None:
            if time.monotonic() > end:
                raise RuntimeError("callgrind does not write what it has counted")
            time.sleep(0.01)
        return path

    def stop(self):
        for process in self.processes:
            process.kill()
            process.wait()


def read_answer(s):
    answer = s.recv(4096)
    while b"\r\n\r\n" not in answer or not answer.endswith(b"}"):
        more = s.recv(4096)
        if not more:
            break
        answer += more
    if not answer.startswith(b"HTTP/1.1 200 "):
        raise RuntimeError(f"unexpected answer: {answer[:200]!r}")


def ask(connections, request, pid=None):
    """One request on each connection. With pid that process stands still until all are there."""
    if pid is not None:
        os.kill(pid, signal.SIGSTOP)
        os.waitpid(pid, os.WUNTRACED)
    for s in connections:
        s.sendall(request)
    if pid is not None:
        os.kill(pid, signal.SIGCONT)
    for s in connections:
        read_answer(s)


def count(server, request, n, n_connections=1):
    """Instructions of one of n requests, and the file that says where they went. Each connection
    waits for its answer before it asks again."""
    pid = server.processes[0].pid if n_connections > 1 else None
    connections = [server.connect() for _ in range(n_connections)]
    try:
        for i in range(2 * n // n_connections):
            if i == n // n_connections:
                server.dump()  # what came before was the warming-up
            ask(connections, request, pid)
        path = server.dump()
        return read_total(path) / n, path
    finally:
        for s in connections:
            s.close()


def wide_model(folder):
    """A logistic model of N_WIDE features."""
    path = folder / "wide.json"
    path.write_text(json.dumps({
        "format": "canaryd-model", "version": 1, "kind": "logistic-regression",
        "n_features": N_WIDE, "link": "logistic",
        "linear": {"coefficients": [0.001] * N_WIDE, "intercept": 0.0, "sum": "sequential"}}))
    return path


def measure(build, folder):
    """[(what is asked, instructions of one, {room: instructions of one})]"""
    found = []

    def note(what, server, request, n, *more):
        each, path = count(server, request, n, *more)
        found.append((what, each, {room: i / n for room, i in read_rooms(path).items()}))
        progress(what)

    server = Counted(build, folder, ROOT / "models/model_v1.json", BODY)
    try:
        note("5 features", server, post(BODY), 1000)
        note("5 features, 64 at once", server, post(BODY), 1024, 64)
        note("5 features beside another member", server, post(b'{"id":7,' + BODY[1:]), 1000)
        note("5 features, past the express lane", server, post(BODY, "Cookie: a=b\r\n"), 500)
        server.deploy("model_v2.json")
        note("5 features, a canary out", server, post(BODY), 2000)
    finally:
        server.stop()
    server = Counted(build, folder, wide_model(folder), WIDE_BODY)
    try:
        note(f"{N_WIDE:,} features", server, post(WIDE_BODY), 300)
    finally:
        server.stop()
    progress()
    return found


def toolchain(build):
    """What the figures depend on beside our sources: the compiler's major version, libraries."""
    comment = subprocess.run(["readelf", "-p", ".comment", build / "canaryd"],
                             capture_output=True, text=True, check=True).stdout
    libraries = subprocess.run(["ldd", build / "canaryd"], capture_output=True, text=True,
                               check=True).stdout
    compilers = re.findall(r"(GCC|clang)\b.*?\b(\d+)\.\d+\.\d+$", comment, re.M)
    paths = [pathlib.Path(path).resolve().name for path in re.findall(r"=> (/\S+)", libraries)]
    return {"machine": platform.machine(),
            "compiler": ", ".join(sorted({f"{name} {major}" for name, major in compilers})),
            "libraries": ", ".join([" ".join(platform.libc_ver())] + sorted(
                name for name in paths if re.match("libevent_core|libmsgpack|libcjson", name)))}


def print_figures(found, committed):
    print("| request | instructions | committed | ratio |\n|---|---:|---:|---:|")
    for what, each, _ in found:
        before = committed.get(what)
        print(f"| {what} | {each:,.0f} | " + (
            f"{before:,} | {each / before:.3f} |" if before else "- | - |"))


def print_rooms(found):
    """Where they go: the rooms that take a part of any request that is worth a line."""
    rooms = sorted({room for _, each, by_room in found for room in by_room
                    if room and by_room[room] > each * MIN_PART}, key=lambda room: -found[0][2].get(room, 0))
    print("\n| room | " + " | ".join(what for what, _, _ in found) + " |\n|---|"
          + "---:|" * len(found))
    for room in rooms:
        print(f"| {room} | " + " | ".join(f"{by_room.get(room, 0):,.0f}" for _, _, by_room in found)
              + " |")
    rest = (each - sum(by_room.get(room, 0) for room in rooms) for _, each, by_room in found)
    print("| the rest | " + " | ".join(f"{n:,.0f}" for n in rest) + " |")


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("build", type=pathlib.Path, help="the build's folder")
    parser.add_argument("--rooms", action="store_true", help="also where the instructions go")
    parser.add_argument("--update", action="store_true", help="write down what was counted")
    options = parser.parse_args()
    options.build = options.build.resolve()
    return options


def main():
    options = parse_arguments()
    if shutil.which("valgrind") is None:
        print("SKIP instructions: valgrind is not installed")
        return
    with tempfile.TemporaryDirectory(prefix="canaryd-bench-") as folder:
        found = measure(options.build, pathlib.Path(folder))
    here = toolchain(options.build)
    committed = json.loads(COMMITTED.read_text()) if COMMITTED.exists() else {}
    there = committed.get("toolchain", here)
    before = committed.get("instructions", {}) if there == here else {}
    print_figures(found, before)
    if options.rooms:
        print_rooms(found)
    if options.update:
        figures = {what: round(each) for what, each, _ in found}
        COMMITTED.write_text(json.dumps({"toolchain": here, "instructions": figures}, indent=1) + "\n")
        return
    if there != here:
        print(f"SKIP the comparison: the committed figures are of {', '.join(there.values())}; "
              f"this is {', '.join(here.values())}")
        return
    grown = [what for what, each, _ in found
             if each > before.get(what, 0) * MAX_GROWTH]
    if grown:
        sys.exit(f"instructions: more than {MAX_GROWTH - 1:.0%} above what is committed: "
                 f"{'; '.join(grown)}\nSpare them, or commit what `make instructions UPDATE=1` "
                 "writes down, and say why")


if __name__ == "__main__":
    main()
