# SPDX-License-Identifier: GPL-2.0-or-later
"""A native logistic-regression model as ONNX, for the Node contender of `make bench`.

ONNX is a protobuf message; what is needed of it is few enough fields to be written here.
Field numbers: onnx.proto3 of the ONNX project.
"""
import struct

DOUBLE = 11  # TensorProto.DataType


def varint(n):
    out = bytearray()
    while n > 0x7F:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    return bytes(out + bytes([n]))


def number(field, n):
    return varint(field << 3) + varint(n)


def text(field, value):
    data = value.encode() if isinstance(value, str) else value
    return varint(field << 3 | 2) + varint(len(data)) + data


def tensor(name, shape, values):
    return text(5, b"".join(number(1, n) for n in shape) + number(2, DOUBLE) + text(8, name)
                + text(9, struct.pack(f"<{len(values)}d", *values)))


def node(kind, inputs, output):
    return text(1, b"".join(text(1, name) for name in inputs) + text(2, output) + text(4, kind))


def value_info(field, name, shape):
    dims = b"".join(text(1, number(1, n)) for n in shape)
    return text(field, text(1, name) + text(2, text(1, number(1, DOUBLE) + text(2, dims))))


def logistic(model):
    """Bytes of an ONNX model: features [1, n] -> probability [1, 1], both float 64."""
    n = model["n_features"]
    graph, last = [], "features"
    tensors = []
    for i, transform in enumerate(model["transforms"]):
        (kind, values), = transform.items()
        tensors.append(tensor(f"t{i}", [1, n], values))
        graph.append(node({"subtract": "Sub", "divide": "Div"}[kind], [last, f"t{i}"], f"x{i}"))
        last = f"x{i}"
    tensors.append(tensor("coefficients", [n, 1], model["linear"]["coefficients"]))
    tensors.append(tensor("intercept", [1, 1], [model["linear"]["intercept"]]))
    graph += [node("MatMul", [last, "coefficients"], "product"),
              node("Add", ["product", "intercept"], "score"),
              node("Sigmoid", ["score"], "probability")]
    body = (b"".join(graph) + text(2, "model") + b"".join(tensors)
            + value_info(11, "features", [1, n]) + value_info(12, "probability", [1, 1]))
    return number(1, 8) + text(7, body) + text(8, text(1, "") + number(2, 13))
