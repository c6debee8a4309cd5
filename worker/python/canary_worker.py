#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""canary-worker-python: serves one scikit-learn model, of those that the native format has no
words for, and speaks the protocol of canary-worker (docs/protocol.md).

canaryd starts it with a socket on descriptor 3 and the model's bytes on 4. It is a blocking loop:
read what is there, answer every complete frame, write once. By hand it does nothing.
"""
import errno
import gc
import math
import os
import signal
import socket
import stat
import struct
import sys
import time
import warnings

# Beside this file in the source tree and where it is installed. At the end of the path, so that
# nothing there can take a library's place.
sys.path.append(os.path.dirname(os.path.realpath(__file__)))
try:
    from canary_cage import NoCage, enter_cage, lift_cpu_limit  # first: it minds threads
    import joblib
    import msgpack
    import numpy as np
    import sklearn  # noqa: F401  (most of what a model needs, before the cage is entered)
    from canary_estimator import (
        Refusal, check_estimator, failure, load, n_features_of, one_line, out_of_memory, outline,
        read_all, title)
    missing = None
except ImportError as e:
    missing = e

SOCKET_FD = 3
MODEL_FD = 4
PROTOCOL_VERSION = 2
PREDICT, DELAY, PING, QUIT = 1, 2, 3, 4
READY, REFUSE, RESULT, FAULT, PONG = 16, 17, 18, 19, 20
MAX_FRAME_BYTES = 2097152
MAX_NUMBERS = 131072
MAX_ROWS = 4096
MAX_TEXT = 480
MAX_NAME = 64
MAX_DELAY_MS = 60000
FLUSH_NS = 200_000  # a batch is written at once unless it takes longer: silence is taken for hanging
MAX_ID = 2**64 - 1
READ_BYTES = 262144

EX_OK, EX_USAGE, EX_DATAERR, EX_IOERR, EX_PROTOCOL = 0, 64, 65, 74, 76


class Breach(Exception):
    """The supervisor did not keep to the protocol."""


# --- frames --------------------------------------------------------------------------------


def frame(payload):
    return struct.pack(">I", len(payload)) + payload


def text_frame(kind, ident, text):
    """REFUSE or FAULT, packed by hand: msgpack may be what is missing."""
    data = text.encode("utf-8", "replace")[:MAX_TEXT]
    return frame(struct.pack(">BBBQBH", 0x93, kind, 0xCF, ident, 0xDA, len(data)) + data)


class FrameReader:
    """Bytes in, whole payloads out."""

    def __init__(self, sock):
        self.sock = sock
        self.data = bytearray()

    def fill(self):
        """Waits for bytes; False at the end of the stream."""
        part = self.sock.recv(READ_BYTES)
        self.data += part
        return len(part) > 0

    def take_complete(self):
        at = 0
        while len(self.data) - at >= 4:
            n = int.from_bytes(self.data[at:at + 4], "big")
            if not 1 <= n <= MAX_FRAME_BYTES:
                raise Breach(f"a frame of {n} bytes; 1 to {MAX_FRAME_BYTES} are accepted")
            if len(self.data) - at - 4 < n:
                break
            yield bytes(self.data[at + 4:at + 4 + n])
            at += 4 + n
        del self.data[:at]


# --- fields: msgpack's Python types are checked as strictly as the C worker checks its own ---


def is_whole(value, low, high):
    return type(value) is int and low <= value <= high  # a bool is no number


def is_finite(value):
    return type(value) in (int, float) and math.isfinite(value)


def unpack_numbers(field):
    """Features as a writable array of float64; some estimators refuse one that is not."""
    if type(field) is bytes and len(field) % 8 == 0:
        numbers = np.array(np.frombuffer(field, dtype="<f8"), dtype=np.float64)
        is_right = bool(np.isfinite(numbers).all())
    else:
        is_right = type(field) is list and all(map(is_finite, field))
        numbers = np.array(field if is_right else [], dtype=np.float64)
    if not is_right or not 1 <= len(numbers) <= MAX_NUMBERS:
        raise Breach("the features of a PREDICT are wrong")
    return numbers


def unpack_message(payload):
    """Type, id and the other fields."""
    try:
        message = msgpack.unpackb(payload, raw=False, max_map_len=0, max_ext_len=0)
    except ValueError as e:
        raise Breach(f"not one msgpack array: {failure(e)}")
    if type(message) is not list or len(message) < 2 or not is_whole(message[0], 0, 255) \
            or not is_whole(message[1], 0, MAX_ID):
        raise Breach("it does not begin with [type, id]")
    return message[0], message[1], message[2:]


# --- the model -----------------------------------------------------------------------------


def probabilities(estimator, rows):
    return estimator.predict_proba(rows)[:, 1]


def predictions(estimator, rows):
    return estimator.predict(rows)


class Model:
    """An estimator with one number to say about a row."""

    def __init__(self, estimator):
        check_estimator(estimator)
        self.estimator = estimator
        self.n_features = n_features_of(estimator)
        classes = getattr(estimator, "classes_", None)
        is_binary = isinstance(classes, np.ndarray) and classes.shape == (2,)
        if is_binary and hasattr(estimator, "predict_proba"):
            self.ask, self.output = probabilities, "churn_probability"
        else:
            self.ask, self.output = predictions, "prediction"
        self.try_out()

    def kind(self):
        """'sklearn:Pipeline(StandardScaler, SVC)'"""
        package = type(self.estimator).__module__.split(".")[0]
        text = f"{package}:{outline(self.estimator)}"
        text = "".join(c if " " <= c <= "~" and c not in '"\\' else "?" for c in text)
        return text if len(text) <= MAX_NAME else text[:MAX_NAME - 3] + "..."

    def answer(self, rows):
        """One float64 per row. Raises Refusal for what can be none, and whatever the model does."""
        n = len(rows)
        said = np.asarray(self.ask(self.estimator, rows))
        if said.shape not in ((n,), (n, 1)):
            raise Refusal(f"{title(self.estimator)} answers a row with {said.size // n} numbers; "
                          "one can be served")
        if said.dtype.kind not in "biuf":
            raise Refusal(f"{title(self.estimator)} answers with {said.flat[0]!r}, which is no "
                          "number")
        return said.astype(np.float64).ravel()

    def try_out(self):
        """Some row must have an answer. It also imports what the model only needs when asked."""
        problem = None
        for value in (0.0, 1.0, 0.5):
            try:
                self.answer(np.full((1, self.n_features), value))
                return
            except Refusal:
                raise
            except Exception as e:
                problem = problem or e
        raise Refusal(f"{title(self.estimator)} cannot answer: {failure(problem)}")


def load_model():
    data = read_all(MODEL_FD)
    os.close(MODEL_FD)
    try:
        return Model(load(data))
    except (Refusal, MemoryError):
        raise
    except Exception as e:  # an object that only looks like an estimator
        raise Refusal(f"it cannot be served: {failure(e)}")


# --- service -------------------------------------------------------------------------------


class Server:
    def __init__(self, sock, model, cage):
        self.sock = sock
        self.cage = cage
        self.reader = FrameReader(sock)
        self.model = model
        self.out = bytearray()
        self.delay_ms = 0
        self.quitting = False

    def put(self, *message):
        self.out += frame(msgpack.packb(message))

    def put_fault(self, ident, text):
        self.out += text_frame(FAULT, ident, one_line(text, MAX_TEXT))

    def flush(self):
        self.sock.sendall(self.out)
        self.out.clear()

    def on_predict(self, ident, n_rows, features):
        began = time.monotonic_ns()
        numbers = unpack_numbers(features)
        if not is_whole(n_rows, 1, MAX_ROWS) or len(numbers) % n_rows != 0:
            raise Breach("the number of rows of a PREDICT is wrong")
        if self.delay_ms > 0:
            time.sleep(self.delay_ms / 1000)
        expected = n_rows * self.model.n_features
        if len(numbers) != expected:
            self.put_fault(ident, f"expected {expected} numbers in {n_rows} rows, "
                                  f"got {len(numbers)}")
            return
        try:
            outputs = self.model.answer(numbers.reshape(n_rows, -1))
        except Exception as e:
            self.put_fault(ident, str(e) if isinstance(e, Refusal) else failure(e))
            return
        if np.isfinite(outputs).all():
            self.put(RESULT, ident, outputs.tolist(), time.monotonic_ns() - began)
        else:
            self.put_fault(ident, "the model's answer is not a finite number")

    def on_delay(self, _ident, ms):
        if not is_finite(ms) or not 0 <= ms <= MAX_DELAY_MS:
            raise Breach("the time of a DELAY is wrong")
        self.delay_ms = ms

    def on_ping(self, ident):
        self.put(PONG, ident)

    def on_quit(self, _ident):
        self.quitting = True

    HANDLERS = {  # and how many fields there are behind the id
        PREDICT: (on_predict, 2),
        DELAY: (on_delay, 1),
        PING: (on_ping, 0),
        QUIT: (on_quit, 0),
    }

    def on_payload(self, payload):
        kind, ident, fields = unpack_message(payload)
        handler, n_fields = self.HANDLERS.get(kind, (None, 0))
        if handler is None:
            raise Breach(f"a message of type {kind}, which no supervisor sends")
        if len(fields) != n_fields:
            raise Breach(f"a message of type {kind} with {len(fields)} fields, not {n_fields}")
        handler(self, ident, *fields)

    def answer_complete_frames(self):
        flushed = time.monotonic_ns()
        for payload in self.reader.take_complete():
            self.on_payload(payload)
            if self.quitting:
                return
            now = time.monotonic_ns()
            if now - flushed >= FLUSH_NS:
                self.flush()
                flushed = now

    def serve(self):
        """Until QUIT or the end of the stream."""
        self.put(READY, 0, PROTOCOL_VERSION, self.model.kind(), self.model.n_features,
                 self.model.output, self.cage)
        self.flush()
        while not self.quitting and self.reader.fill():
            try:
                self.answer_complete_frames()
            finally:  # a breach takes nothing away from the questions before it
                self.flush()


# --- the program ---------------------------------------------------------------------------


def say(text):
    print(f"canary-worker-python: {text}", file=sys.stderr, flush=True)


def refuse(sock, text):
    sock.sendall(text_frame(REFUSE, 0, text))
    return EX_DATAERR


def prepare():
    """The model and the cage's level, or Refusal. What the model's code does, it does inside."""
    joblib.parallel_backend("sequential")  # one process, one thread, sums always in one order
    if len(sys.argv) > 3:  # as canaryd calls it: NAME FILTER-FD UID:GID [allow-uncaged]
        level = enter_cage(int(sys.argv[2]), sys.argv[3], sys.argv[4:] == ["allow-uncaged"])
    else:
        level = enter_cage()
    warnings.showwarning = lambda message, *rest: say(f"warning: {one_line(message)}")
    model = load_model()
    warnings.simplefilter("ignore")  # not one at every question
    gc.collect()
    gc.freeze()  # what is there now stays: no use in looking through it again
    lift_cpu_limit()
    return model, level


def run(sock):
    if missing is not None:
        return refuse(sock, f"the Python worker needs {missing.name or missing}, which this Python "
                            "does not have (Debian: apt install python3-sklearn python3-msgpack)")
    try:
        model, level = prepare()
    except MemoryError:
        return refuse(sock, out_of_memory())
    except (Refusal, NoCage, OSError) as e:
        return refuse(sock, one_line(failure(e) if isinstance(e, OSError) else e, MAX_TEXT))
    try:
        Server(sock, model, level).serve()
    except Breach as e:
        say(f"the supervisor sent a bad frame: {e}")
        return EX_PROTOCOL
    return EX_OK


def main():
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        started_by_canaryd = stat.S_ISSOCK(os.fstat(SOCKET_FD).st_mode)
    except OSError:
        started_by_canaryd = False
    if not started_by_canaryd:
        print(__doc__, file=sys.stderr)
        return EX_USAGE
    try:
        return run(socket.socket(fileno=SOCKET_FD))
    except OSError as e:
        lost = e.errno in (errno.EPIPE, errno.ECONNRESET)  # the supervisor's end, not ours
        return EX_OK if lost else EX_IOERR


if __name__ == "__main__":
    # Threads and exit handlers of the model's own are not waited for.
    status = main()
    sys.stdout.flush()
    os._exit(status)
