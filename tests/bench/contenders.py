# SPDX-License-Identifier: GPL-2.0-or-later
"""Who takes part in `make bench`: how each server is started, and what it needs.

A contender serves POST /predict on a loopback port of its own. Those whose programs
are not installed are left out, with the reason; `make bench-deps` installs them.
"""
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request

import onnx_model as onnx

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
STABLE, CANARY = ROOT / "models/model_v1.json", ROOT / "models/model_v2.json"
START_SECONDS = 60
BODY = b'{"features":[0.5,1.2,0.8,0.3,1.1]}'


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def progress(text=""):
    """What is being done, on a terminal; nothing takes it away."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


class Missing(Exception):
    """A contender can't take part; the text says why."""


def need(program):
    found = shutil.which(program) or shutil.which(program, path="/usr/sbin:/sbin")
    if found is None:
        raise Missing(f"{program} is not installed")
    return found


def python_with(*modules):
    """A Python that has the modules: ours, or the distribution's."""
    for python in sys.executable, "/usr/bin/python3":
        if subprocess.run([python, "-c", f"import {','.join(modules)}"], check=False,
                          capture_output=True).returncode == 0:
            return python
    raise Missing(f"no Python here has {', '.join(modules)}")


def load(port, connections, seconds, **words):
    """One run of wrk on POST /predict: requests, duration in us, p50, p99, p99.9 in us. All
    requests must have been answered 200. words: what post.lua reads from its environment."""
    out = subprocess.run(
        [need("wrk"), "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "-s",
         HERE / "post.lua", f"http://127.0.0.1:{port}/predict"],
        capture_output=True, text=True, check=True,
        env={**os.environ, **{name: str(value) for name, value in words.items()}}).stdout
    figures = [line for line in out.splitlines() if line.startswith("figures ")][0].split()[1:]
    requests, duration, p50, p99, p999, errors = map(float, figures)
    if errors > 0 or requests == 0:
        raise RuntimeError(f"port {port}: {errors:.0f} of {requests:.0f} requests failed")
    return requests, duration, p50, p99, p999


class Contender:
    """Started servers of one kind. processes[0] is in front of the others."""

    name = ""
    body = BODY

    def __init__(self, build, folder):
        self.build, self.folder = build, folder / self.name.replace(" ", "-")
        self.folder.mkdir()
        self.processes, self.port = [], free_port()
        self.start()
        self.wait()

    def spawn(self, *command, **options):
        with open(self.folder / "log", "ab") as log:
            self.processes.append(subprocess.Popen(
                [str(word) for word in command], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                cwd=self.folder, **options))

    def tool(self, name):
        return self.build / "tests/bench" / name

    def predict(self):
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/predict", self.body,
                                         {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=5) as answer:
            return answer.read()

    def wait(self):
        """Until it answers. A server that does not start is an error, not a gap."""
        end = time.monotonic() + START_SECONDS
        while True:
            try:
                self.predict()
                return
            except OSError as error:
                if time.monotonic() > end or self.processes[0].poll() is not None:
                    self.stop()
                    log = (self.folder / "log").read_text(errors="replace")[-2000:]
                    raise RuntimeError(f"{self.name} does not answer: {error}\n{log}") from error
                time.sleep(0.05)

    def stop(self):
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in self.processes:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def start(self):
        raise NotImplementedError


class Canaryd(Contender):
    """Everything on that a user has on, and a canary out. auto_rollback is off: the two
    models differ, and the bench must not lose its canary to that."""

    name = "canaryd"
    canary = CANARY

    def start(self):
        self.spawn(self.build / "canaryd", f"--listen=127.0.0.1:{self.port}",
                   f"--model-dir={ROOT / 'models'}", "--stable-model=model_v1.json",
                   f"--canary-model={self.canary.name}", "--auto-rollback=false",
                   f"--state-dir={self.folder / 'state'}", f"--runtime-dir={self.folder / 'run'}")

    def wait(self):
        super().wait()
        end = time.monotonic() + START_SECONDS
        url = f"http://127.0.0.1:{self.port}/admin/check-canary-health"
        while b'"canary_active":true' not in urllib.request.urlopen(url, timeout=5).read():
            if time.monotonic() > end:
                raise RuntimeError("canaryd's canary does not come")
            time.sleep(0.05)


class BareEvhttp(Contender):
    name = "bare evhttp"

    def start(self):
        self.spawn(self.tool("bare_evhttp"), self.port)


class RawEpoll(Contender):
    name = "raw epoll"

    def start(self):
        self.spawn(self.tool("raw_epoll"), self.port)


class Proxy(Contender):
    """A proxy that splits 90 / 10 between two model servers."""

    def start(self):
        program = need(self.program)
        stable, canary = free_port(), free_port()
        (self.folder / "conf").write_text(
            self.configuration.format(port=self.port, stable=stable, canary=canary,
                                      folder=self.folder))
        self.spawn(program, *self.arguments)
        self.spawn(self.tool("model_server"), stable, STABLE)
        self.spawn(self.tool("model_server"), canary, CANARY)


class Nginx(Proxy):
    name = program = "nginx"
    arguments = ["-c", "conf", "-p", ".", "-g", "daemon off;"]
    configuration = """\
worker_processes 1;
error_log stderr;
pid {folder}/pid;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    keepalive_requests 1000000000;
    client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};
    uwsgi_temp_path {folder}; scgi_temp_path {folder};
    split_clients "$request_id" $model {{ 10% canary; * stable; }}
    upstream stable {{ server 127.0.0.1:{stable}; keepalive 256; keepalive_requests 1000000000; }}
    upstream canary {{ server 127.0.0.1:{canary}; keepalive 256; keepalive_requests 1000000000; }}
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location / {{
            proxy_pass http://$model;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
        }}
    }}
}}
"""


class HAProxy(Proxy):
    name = "HAProxy"
    program = "haproxy"
    arguments = ["-f", "conf", "-db"]
    configuration = """\
global
    nbthread 1
    maxconn 4096
defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s
    http-reuse always
frontend all
    bind 127.0.0.1:{port} backlog 4096
    default_backend models
backend models
    balance random
    server stable 127.0.0.1:{stable} weight 90
    server canary 127.0.0.1:{canary} weight 10
"""


class FastAPI(Contender):
    """The specification's own stack: both models in one process."""

    name = "FastAPI"

    def start(self):
        self.spawn(python_with("fastapi", "uvicorn", "joblib", "sklearn"), "-m", "uvicorn", "fastapi_app:app", "--port", self.port,
                   "--log-level", "warning", "--no-access-log", "--app-dir", HERE,
                   env={**os.environ, "MODELS": str(ROOT / "models")})


class Fastify(Contender):
    """Node with onnxruntime. Both versions are the logistic model, the cheaper of the two."""

    name = "Fastify"

    def start(self):
        modules = self.build / "bench/node_modules"
        if not (modules / "fastify").is_dir() or not (modules / "onnxruntime-node").is_dir():
            raise Missing("fastify and onnxruntime-node are not installed")
        for arm in "stable", "canary":
            (self.folder / f"{arm}.onnx").write_bytes(onnx.logistic(json.loads(STABLE.read_text())))
        shutil.copy(HERE / "fastify_app.js", modules.parent / "fastify_app.js")
        self.spawn(need("node"), modules.parent / "fastify_app.js", self.port, self.folder)


ALL = [Canaryd, BareEvhttp, RawEpoll, Nginx, HAProxy, FastAPI, Fastify]
