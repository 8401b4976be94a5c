"""Trains the networks of configs/models on the built-in glyphs data set and writes them as ONNX.

Called by scripts/train_demo_models with two HDF5 files (train and test glyphs: `inputs` [n, 1, 28, 28] uint8, `labels` [n])
and the folder of the models. Plain NumPy: two small networks, Adam, minutes on any computer. The same input and the same
NumPy build give the same weights.
"""
import argparse
import os
import time

import h5py
import numpy as np
import onnx
from numpy.lib.stride_tricks import sliding_window_view
from onnx import TensorProto, helper, numpy_helper

BATCH = 100


class Parameter:
    """A weight with Adam's running moments."""

    def __init__(self, value):
        self.value = value.astype(np.float32)
        self.grad = None
        self.first = np.zeros_like(self.value)
        self.second = np.zeros_like(self.value)

    def step(self, rate, t, decay):
        self.first += 0.1 * (self.grad - self.first)
        self.second += 0.001 * (self.grad * self.grad - self.second)
        update = (self.first / (1 - 0.9**t)) / (np.sqrt(self.second / (1 - 0.999**t)) + 1e-8)
        if self.value.ndim > 1:
            update += decay * self.value
        self.value -= np.float32(rate) * update.astype(np.float32)


class Dense:
    """y = x W + b; W is [inputs, outputs]."""

    def __init__(self, rng, inputs, outputs):
        self.weight = Parameter(rng.normal(0, np.sqrt(2 / inputs), (inputs, outputs)))
        self.bias = Parameter(np.zeros(outputs))
        self.parameters = [self.weight, self.bias]

    def forward(self, x):
        self.x = x
        return x @ self.weight.value + self.bias.value

    def backward(self, dy):
        self.weight.grad = self.x.T @ dy
        self.bias.grad = dy.sum(0)
        return dy @ self.weight.value.T


class Conv:
    """A valid k x k convolution of [n, h, w, c] images; the weight is [k * k * c, outputs]."""

    def __init__(self, rng, channels, outputs, k):
        self.k, self.channels = k, channels
        self.dense = Dense(rng, k * k * channels, outputs)
        self.parameters = self.dense.parameters

    def forward(self, x):
        self.shape = x.shape
        windows = sliding_window_view(x, (self.k, self.k), axis=(1, 2)).transpose(0, 1, 2, 4, 5, 3)
        n, h, w = windows.shape[:3]
        y = self.dense.forward(np.ascontiguousarray(windows).reshape(n * h * w, -1))
        return y.reshape(n, h, w, -1)

    def backward(self, dy):
        n, h, w, outputs = dy.shape
        columns = self.dense.backward(dy.reshape(-1, outputs)).reshape(n, h, w, self.k, self.k, self.channels)
        dx = np.zeros(self.shape, np.float32)
        for i in range(self.k):
            for j in range(self.k):
                dx[:, i : i + h, j : j + w] += columns[:, :, :, i, j]
        return dx


class Relu:
    parameters = []

    def forward(self, x):
        self.positive = x > 0
        return x * self.positive

    def backward(self, dy):
        return dy * self.positive


class MaxPool:
    """2 x 2 with stride 2."""

    parameters = []

    def forward(self, x):
        n, h, w, c = x.shape
        blocks = x.reshape(n, h // 2, 2, w // 2, 2, c)
        y = blocks.max((2, 4))
        self.mask = blocks == y[:, :, None, :, None]
        return y

    def backward(self, dy):
        d = self.mask * dy[:, :, None, :, None]
        n, h, _, w, _, c = d.shape
        return d.reshape(n, 2 * h, 2 * w, c)


class Flatten:
    parameters = []

    def forward(self, x):
        self.shape = x.shape
        return x.reshape(len(x), -1)

    def backward(self, dy):
        return dy.reshape(self.shape)


def forward(layers, images):
    x = images.reshape(-1, 28, 28, 1).astype(np.float32) * np.float32(1 / 255)
    for layer in layers:
        x = layer.forward(x)
    return x


def accuracy(layers, images, labels):
    correct = 0
    for i in range(0, len(images), 1000):
        correct += int((forward(layers, images[i : i + 1000]).argmax(1) == labels[i : i + 1000]).sum())
    return correct / len(images)


def train(layers, images, labels, epochs, peak, decay, rng):
    parameters = [p for layer in layers for p in layer.parameters]
    steps = epochs * (len(images) // BATCH)
    t = 0
    start = time.time()
    for epoch in range(epochs):
        order = rng.permutation(len(images))
        loss = 0.0
        for begin in range(0, len(order) - BATCH + 1, BATCH):
            chosen = np.sort(order[begin : begin + BATCH])
            logits = forward(layers, images[chosen])
            p = np.exp(logits - logits.max(1, keepdims=True))
            p /= p.sum(1, keepdims=True)
            rows = np.arange(BATCH)
            loss -= np.log(p[rows, labels[chosen]] + 1e-12).mean()
            p[rows, labels[chosen]] -= 1
            d = p / BATCH
            for layer in reversed(layers):
                d = layer.backward(d)
            t += 1
            # A short rise of the learning rate, then half a cosine down to zero.
            progress = t / steps
            rate = peak * min(progress / 0.1, 0.5 * (1 + np.cos(np.pi * max(0.0, progress - 0.1) / 0.9)))
            for parameter in parameters:
                parameter.step(rate, t, decay)
        print(f"  epoch {epoch + 1}/{epochs}: loss {loss * BATCH / len(order):.4f}, {time.time() - start:.0f} s", flush=True)


def initializer(name, value):
    return numpy_helper.from_array(np.ascontiguousarray(value, np.float32), name)


def write_onnx(path, name, nodes, weights, notes):
    graph = helper.make_graph(
        nodes,
        name,
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["N", 1, 28, 28])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", 10])],
        [initializer(key, value) for key, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], producer_name="train_demo_models")
    model.ir_version = 7
    helper.set_model_props(model, notes)
    onnx.checker.check_model(model)
    onnx.save(model, path)


def gemm(name, x, y):
    return helper.make_node("Gemm", [x, f"{name}.weight", f"{name}.bias"], [y], name=name, transB=1)


def dense_weights(name, layer, value=None):
    weight = layer.weight.value if value is None else value
    return {f"{name}.weight": weight.T, f"{name}.bias": layer.bias.value}


def make_linear(rng):
    return [Flatten(), Dense(rng, 784, 10)]


def write_linear(path, layers, notes):
    nodes = [
        helper.make_node("Flatten", ["input"], ["pixels"], name="flatten", axis=1),
        gemm("fc", "pixels", "logits"),
    ]
    write_onnx(path, "glyphs_linear", nodes, dense_weights("fc", layers[1]), notes)


def make_mlp(rng):
    return [Flatten(), Dense(rng, 784, 128), Relu(), Dense(rng, 128, 64), Relu(), Dense(rng, 64, 10)]


def write_mlp(path, layers, notes):
    node = helper.make_node
    nodes = [
        node("Flatten", ["input"], ["pixels"], name="flatten", axis=1),
        gemm("fc1", "pixels", "h1"),
        node("Relu", ["h1"], ["a1"], name="relu1"),
        gemm("fc2", "a1", "h2"),
        node("Relu", ["h2"], ["a2"], name="relu2"),
        gemm("fc3", "a2", "logits"),
    ]
    weights = {**dense_weights("fc1", layers[1]), **dense_weights("fc2", layers[3]), **dense_weights("fc3", layers[5])}
    write_onnx(path, "glyphs_mlp", nodes, weights, notes)


def make_cnn(rng):
    return [
        Conv(rng, 1, 8, 5),
        Relu(),
        MaxPool(),
        Conv(rng, 8, 16, 5),
        Relu(),
        MaxPool(),
        Flatten(),
        Dense(rng, 256, 64),
        Relu(),
        Dense(rng, 64, 10),
    ]


def conv_weights(name, layer):
    weight = layer.dense.weight.value.reshape(layer.k, layer.k, layer.channels, -1)
    return {f"{name}.weight": weight.transpose(3, 2, 0, 1), f"{name}.bias": layer.dense.bias.value}


def write_cnn(path, layers, notes):
    node = helper.make_node

    def conv(name, x, y):
        return node("Conv", [x, f"{name}.weight", f"{name}.bias"], [y], name=name, kernel_shape=[5, 5])

    def pool(name, x, y):
        return node("MaxPool", [x], [y], name=name, kernel_shape=[2, 2], strides=[2, 2])

    nodes = [
        conv("conv1", "input", "c1"),
        node("Relu", ["c1"], ["r1"], name="relu1"),
        pool("pool1", "r1", "p1"),
        conv("conv2", "p1", "c2"),
        node("Relu", ["c2"], ["r2"], name="relu2"),
        pool("pool2", "r2", "p2"),
        node("Flatten", ["p2"], ["features"], name="flatten", axis=1),
        gemm("fc1", "features", "h1"),
        node("Relu", ["h1"], ["a1"], name="relu3"),
        gemm("fc2", "a1", "logits"),
    ]
    # Images here are [h, w, c], in ONNX [c, h, w]: so is the order of fc1's inputs.
    fc1 = layers[7].weight.value.reshape(4, 4, 16, 64).transpose(2, 0, 1, 3).reshape(256, 64)
    weights = {
        **conv_weights("conv1", layers[0]),
        **conv_weights("conv2", layers[3]),
        **dense_weights("fc1", layers[7], fc1),
        **dense_weights("fc2", layers[9]),
    }
    write_onnx(path, "glyphs_cnn", nodes, weights, notes)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("train")
    parser.add_argument("test")
    parser.add_argument("output", help="folder of the models")
    parser.add_argument("--only", choices=["linear", "mlp", "cnn"])
    options = parser.parse_args()
    os.makedirs(options.output, exist_ok=True)

    def load(path):
        with h5py.File(path) as file:
            return file["inputs"][...].reshape(-1, 784), file["labels"][...].astype(np.int64)

    images, labels = load(options.train)
    test_images, test_labels = load(options.test)
    recipes = {
        "linear": (make_linear, write_linear, 4, 2e-3, 1e-2),
        "mlp": (make_mlp, write_mlp, 12, 2e-3, 1e-2),
        "cnn": (make_cnn, write_cnn, 8, 4e-3, 1e-3),
    }
    for kind, (make, write, epochs, peak, decay) in recipes.items():
        if options.only not in (None, kind):
            continue
        print(f"glyphs_{kind}: {len(images)} training images")
        rng = np.random.default_rng(1)
        layers = make(rng)
        train(layers, images, labels, epochs, peak, decay, rng)
        scores = {
            "train_accuracy": f"{accuracy(layers, images, labels):.4f}",
            "test_accuracy": f"{accuracy(layers, test_images, test_labels):.4f}",
        }
        path = os.path.join(options.output, f"glyphs_{kind}.onnx")
        write(path, layers, {"data": "glyphs, seed 1, split train; input = pixel / 255", **scores})
        print(f"  {path}: {os.path.getsize(path)} bytes, {scores}")


if __name__ == "__main__":
    main()
