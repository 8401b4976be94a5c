#!/usr/bin/env python3
"""Writes untrained networks for the built-in glyphs: make_glyphs_networks.py FOLDER. Needs numpy and onnx.

FOLDER/glyphs_attention.onnx    an image as 28 tokens of 28 pixels; one block of attention with two heads, ten classes
FOLDER/glyphs_autoencoder.onnx  784-24-784, for anomalies
FOLDER/glyphs_dscnn.onnx        a convolution and four depthwise-separable blocks with batch normalization, ten classes

scripts/train_glyphs_networks trains them with `tessera train` and puts them into configs/models.
"""
import pathlib
import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

TOKENS, WIDTH, HEADS, CLASSES, PIXELS, CODE, CHANNELS = 28, 32, 2, 10, 784, 24, 32


class Builder:
    def __init__(self):
        self.nodes, self.weights, self.rng = [], [], np.random.default_rng(1)

    def node(self, op, inputs, name, **attributes):
        self.nodes.append(helper.make_node(op, inputs, [name], name=name, **attributes))
        return name

    def constant(self, name, value):
        self.weights.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def linear(self, x, inputs, outputs, name):
        weight = self.rng.normal(0, inputs ** -0.5, (inputs, outputs)).astype("f4")
        product = self.node("MatMul", [x, self.constant(name + ".weight", weight)], name)
        return self.node("Add", [product, self.constant(name + ".bias", np.zeros(outputs, "f4"))], name + "_bias")

    def convolution(self, x, inputs, outputs, kernel, name, stride=1, groups=1):
        """Without bias, in front of a batch normalization and a ReLU."""
        fan_in = inputs // groups * kernel * kernel
        weight = self.rng.normal(0, (2 / fan_in) ** 0.5, (outputs, inputs // groups, kernel, kernel)).astype("f4")
        x = self.node("Conv", [x, self.constant(name + ".weight", weight)], name, kernel_shape=[kernel, kernel],
                      strides=[stride, stride], pads=[kernel // 2] * 4, group=groups)
        parameters = [self.constant(f"{name}.{key}", np.full(outputs, value, "f4"))
                      for key, value in (("scale", 1), ("shift", 0), ("mean", 0), ("variance", 1))]
        return self.node("Relu", [self.node("BatchNormalization", [x, *parameters], name + "_norm")], name + "_relu")

    def reshape(self, x, shape, name):
        return self.node("Reshape", [x, self.constant(name + ".shape", np.array(shape, "i8"))], name)

    def save(self, path, name, outputs, output_shape):
        graph = helper.make_graph(self.nodes, name,
                                  [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 1, 28, 28])],
                                  [helper.make_tensor_value_info(outputs, TensorProto.FLOAT, output_shape)], self.weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        onnx.checker.check_model(model)
        onnx.save(model, path)


def attention(path):
    b = Builder()
    depth = WIDTH // HEADS
    x = b.linear(b.reshape("image", [0, TOKENS, TOKENS], "rows"), TOKENS, WIDTH, "embed")
    x = b.node("Add", [x, b.constant("position", b.rng.normal(0, 0.1, (TOKENS, WIDTH)).astype("f4"))], "placed")

    def heads(name, order):
        y = b.reshape(b.linear(x, WIDTH, WIDTH, name), [0, TOKENS, HEADS, depth], name + "_heads")
        return b.node("Transpose", [y], name + "_turned", perm=order)

    query, key, value = heads("query", [0, 2, 1, 3]), heads("key", [0, 2, 3, 1]), heads("value", [0, 2, 1, 3])
    scores = b.node("MatMul", [query, key], "scores")
    scaled = b.node("Mul", [scores, b.constant("scale", np.float32(depth ** -0.5))], "scaled")
    mixed = b.node("MatMul", [b.node("Softmax", [scaled], "weights", axis=-1), value], "mix")
    joined = b.reshape(b.node("Transpose", [mixed], "joined", perm=[0, 2, 1, 3]), [0, TOKENS, WIDTH], "tokens")
    x = b.node("Add", [x, b.linear(joined, WIDTH, WIDTH, "out")], "attended")
    x = b.node("Relu", [b.linear(b.reshape(x, [0, TOKENS * WIDTH], "flat"), TOKENS * WIDTH, WIDTH, "hidden")], "relu")
    b.save(path, "glyphs_attention", b.linear(x, WIDTH, CLASSES, "classes"), ["N", CLASSES])


def autoencoder(path):
    b = Builder()
    x = b.reshape("image", [0, PIXELS], "pixels")
    x = b.node("Tanh", [b.linear(x, PIXELS, CODE, "encoder")], "code")
    b.save(path, "glyphs_autoencoder", b.linear(x, CODE, PIXELS, "decoder"), ["N", PIXELS])


def dscnn(path):
    b = Builder()
    x = b.convolution("image", 1, CHANNELS, 3, "first", stride=2)
    for block in range(1, 5):
        x = b.convolution(x, CHANNELS, CHANNELS, 3, f"depthwise{block}", stride=2 if block == 2 else 1, groups=CHANNELS)
        x = b.convolution(x, CHANNELS, CHANNELS, 1, f"pointwise{block}")
    x = b.reshape(b.node("GlobalAveragePool", [x], "average"), [0, CHANNELS], "flat")
    b.save(path, "glyphs_dscnn", b.linear(x, CHANNELS, CLASSES, "classes"), ["N", CLASSES])


def main():
    folder = pathlib.Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    attention(folder / "glyphs_attention.onnx")
    autoencoder(folder / "glyphs_autoencoder.onnx")
    dscnn(folder / "glyphs_dscnn.onnx")


if __name__ == "__main__":
    main()
