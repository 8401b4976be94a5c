"""Writes small networks as ONNX files: MatMul, Gemm, Slice, Add, Concat, Relu. No package needed.

Field numbers are those of onnx.proto3; values are written as protobuf's wire format.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Union

import numpy as np

Attribute = Union[int, list[int]]


def _varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 0x7F:
        out.append(0x80 | (value & 0x7F))
        value >>= 7
    out.append(value)
    return bytes(out)


def _number(tag: int, value: int) -> bytes:
    return _varint(tag << 3) + _varint(value)


def _bytes(tag: int, value: bytes) -> bytes:
    return _varint(tag << 3 | 2) + _varint(len(value)) + value


def _text(tag: int, value: str) -> bytes:
    return _bytes(tag, value.encode())


def _attribute(name: str, value: Attribute) -> bytes:
    if isinstance(value, int):
        return _text(1, name) + _number(3, value) + _number(20, 2)
    return _text(1, name) + b"".join(_number(8, v) for v in value) + _number(20, 7)


def _tensor(name: str, array: np.ndarray) -> bytes:
    kinds = {np.dtype(np.float32): 1, np.dtype(np.int64): 7}
    head = b"".join(_number(1, n) for n in array.shape)
    return head + _number(2, kinds[array.dtype]) + _text(8, name) + _bytes(9, np.ascontiguousarray(array).tobytes())


def _value(name: str, features: list[int]) -> bytes:
    shape = _bytes(1, _text(2, "N")) + b"".join(_bytes(1, _number(1, n)) for n in features)
    return _text(1, name) + _bytes(2, _bytes(1, _number(1, 1) + _bytes(2, shape)))


@dataclass
class Network:
    """A graph under construction; every method returns the name of the value it makes."""

    inputs: list[int]
    name: str = "network"
    nodes: list[bytes] = field(default_factory=list)
    tensors: list[bytes] = field(default_factory=list)

    def constant(self, name: str, array: np.ndarray) -> str:
        """float32, or int64 for integers."""
        array = np.asarray(array)
        self.tensors.append(_tensor(name, array.astype(np.int64 if array.dtype.kind == "i" else np.float32)))
        return name

    def node(self, op: str, name: str, inputs: list[str], **attributes: Attribute) -> str:
        """A node whose output is called as the node is."""
        body = b"".join(_text(1, i) for i in inputs) + _text(2, name) + _text(3, name) + _text(4, op)
        self.nodes.append(body + b"".join(_bytes(5, _attribute(k, v)) for k, v in attributes.items()))
        return name

    def matmul(self, name: str, x: str, weight: np.ndarray) -> str:
        """x W with W [inputs, outputs]."""
        return self.node("MatMul", name, [x, self.constant(name + ".weight", weight)])

    def gemm(self, name: str, x: str, weight: np.ndarray, bias: np.ndarray) -> str:
        """x W + b with W [inputs, outputs]."""
        return self.node("Gemm", name, [x, self.constant(name + ".weight", weight), self.constant(name + ".bias", bias)])

    def slice(self, name: str, x: str, begin: int, end: int) -> str:
        """Features [begin, end)."""
        bounds = [self.constant(f"{name}.{k}", np.array([v])) for k, v in (("begin", begin), ("end", end), ("axis", 1))]
        return self.node("Slice", name, [x, *bounds])

    def save(self, file: Path, output: str, outputs: int) -> Path:
        """The graph with one input "x" and one output."""
        graph = b"".join(_bytes(1, n) for n in self.nodes) + _text(2, self.name) + b"".join(_bytes(5, t) for t in self.tensors)
        graph += _bytes(11, _value("x", self.inputs)) + _bytes(12, _value(output, [outputs]))
        opset = _text(1, "") + _number(2, 13)
        file.write_bytes(_number(1, 8) + _bytes(8, opset) + _bytes(7, graph))
        return file


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    """A number and the position behind it."""
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def fields(data: bytes) -> list[tuple[int, Any]]:
    """The fields of one message, in order: numbers and bytes."""
    found: list[tuple[int, Any]] = []
    at = 0
    while at < len(data):
        key, at = read_varint(data, at)
        if key & 7 == 0:
            value, at = read_varint(data, at)
            found.append((key >> 3, value))
        else:
            size = {1: 8, 5: 4}.get(key & 7, -1)
            if size < 0:
                size, at = read_varint(data, at)
            found.append((key >> 3, data[at : at + size]))
            at += size
    return found


def dense_layers(file: Path) -> list[tuple[np.ndarray, np.ndarray]]:
    """(W [inputs, outputs], b) of every Gemm of a perceptron in an ONNX file, in order; float64."""
    graph = dict(fields(file.read_bytes()))[7]
    assert isinstance(graph, bytes)
    tensors: dict[str, np.ndarray] = {}
    for tag, body in fields(graph):
        if tag == 5 and isinstance(body, bytes):
            parts = fields(body)
            shape: list[int] = []
            for k, v in parts:
                if k == 1:
                    shape += [v] if isinstance(v, int) else packed(v)
            named = dict(parts)
            raw = named.get(9)
            values = np.frombuffer(raw, np.float32) if raw is not None else np.frombuffer(named.get(4, b""), np.float32)
            if named.get(2) == 1:
                tensors[named[8].decode()] = values.reshape(shape).astype(np.float64)
    layers = []
    for tag, body in fields(graph):
        if tag != 1 or not isinstance(body, bytes):
            continue
        parts = fields(body)
        if dict(parts)[4] != b"Gemm":
            continue
        names = [v.decode() for k, v in parts if k == 1]
        transposed = any(k == 5 and b"transB" in v and dict(fields(v)).get(3) == 1 for k, v in parts)
        weight = tensors[names[1]]
        layers.append((weight.T if transposed else weight, tensors[names[2]] if len(names) > 2 else np.zeros(weight.shape[0])))
    return layers


def packed(data: bytes) -> list[int]:
    """Numbers one behind the other."""
    numbers, at = [], 0
    while at < len(data):
        value, at = read_varint(data, at)
        numbers.append(value)
    return numbers
