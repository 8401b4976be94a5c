#!/usr/bin/env python3
"""Writes networks of full size with random weights, as exporters leave them, with inputs, labels and configurations.

    make_full_size_networks.py FOLDER [--only resnet50 mobilenet_v2 vit_b16 gpt2] [--samples 2] [--seed 1]

FOLDER/<network> gets model.onnx (weights beside it from 100 MB on), inputs.npy, labels.npy, and what `tessera run` takes:
float32.yaml (no layer on tiles) and tiles.yaml (all layers, StandardHWATrainingPreset). Weights are scaled so that
values stay in range; the number of parameters is that of the published network. Needs onnx and numpy.
"""
import argparse
import pathlib
import typing

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


class Writer:
    """A graph that grows node by node; methods return the name of the value that they add."""

    def __init__(self, seed):
        self.random = np.random.default_rng(seed)
        self.nodes, self.weights, self.constants = [], [], {}

    def weight(self, name, values):
        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(values, np.float32), name))
        return name

    def normal(self, name, shape, deviation, mean=0.0):
        return self.weight(name, mean + deviation * self.random.standard_normal(shape, dtype=np.float32))

    def constant(self, values):
        """Equal small constants are one node."""
        array = np.asarray(values)
        if array.dtype == np.float64:
            array = array.astype(np.float32)
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self.constants:
            name = f"constant_{len(self.constants)}"
            self.nodes.append(helper.make_node("Constant", [], [name], name=name, value=numpy_helper.from_array(array)))
            self.constants[key] = name
        return self.constants[key]

    def add(self, op, inputs, name=None, outputs=1, **attributes):
        name = name or f"{op.lower()}_{len(self.nodes)}"
        names = [name + ".y"] if outputs == 1 else [f"{name}.y{i}" for i in range(outputs)]
        inputs = [x if isinstance(x, str) else self.constant(x) for x in inputs]
        self.nodes.append(helper.make_node(op, inputs, names, name=name, **attributes))
        return names[0] if outputs == 1 else names

    def convolution(self, name, x, inputs, outputs, kernel=1, stride=1, groups=1, bias=True):
        shape = (outputs, inputs // groups, kernel, kernel)
        operands = [x, self.normal(name + ".weight", shape, np.sqrt(2 / np.prod(shape[1:])))]
        if bias:
            operands.append(self.normal(name + ".bias", outputs, 0.05))
        return self.add("Conv", operands, name, kernel_shape=[kernel] * 2, strides=[stride] * 2,
                        pads=[kernel // 2] * 4, group=groups, dilations=[1, 1])

    def batch_norm(self, name, x, channels, gain=1.0):
        return self.add("BatchNormalization", [x, self.weight(name + ".weight", gain * self.random.uniform(0.8, 1.2, channels)),
                                               self.normal(name + ".bias", channels, 0.1),
                                               self.normal(name + ".running_mean", channels, 0.1),
                                               self.weight(name + ".running_var", self.random.uniform(0.5, 1.5, channels))],
                        name, epsilon=1e-5)

    def layer_norm(self, name, x, width, epsilon):
        return self.add("LayerNormalization", [x, self.normal(name + ".weight", width, 0.1, 1.0),
                                               self.normal(name + ".bias", width, 0.05)], name, axis=-1, epsilon=epsilon)

    def dense(self, name, x, inputs, outputs, gain=1.0):
        """MatMul and Add, as exporters write a linear layer behind more than one axis."""
        weight = self.normal(name + ".weight", (inputs, outputs), gain / np.sqrt(inputs))
        return self.add("Add", [self.normal(name + ".bias", outputs, 0.02), self.add("MatMul", [x, weight], name)])

    def gemm(self, name, x, inputs, outputs, gain=1.0, transposed=True):
        shape = (outputs, inputs) if transposed else (inputs, outputs)
        return self.add("Gemm", [x, self.normal(name + ".weight", shape, gain / np.sqrt(inputs)),
                                 self.normal(name + ".bias", outputs, 0.02)], name, transB=int(transposed))

    def model(self, name, kind, input_shape, output_shape):
        """Of the node that was added last, and all before."""
        self.nodes[-1].output[0] = "y"
        graph = helper.make_graph(self.nodes, name, [helper.make_tensor_value_info("x", kind, ["n", *input_shape])],
                                  [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", *output_shape])], self.weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
        model.ir_version = 8
        return model


def resnet50(seed):
    """Version 1.5 (the stride is the 3x3 convolution's), batch normalization left as it was trained."""
    w = Writer(seed)

    def normalized(name, x, inputs, outputs, kernel=1, stride=1, gain=1.0, relu=True):
        y = w.convolution(name, x, inputs, outputs, kernel, stride, bias=False)
        y = w.batch_norm(name + ".bn", y, outputs, gain)
        return w.add("Relu", [y]) if relu else y

    x = normalized("conv1", "x", 3, 64, 7, 2)
    x = w.add("MaxPool", [x], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    channels = 64
    for stage, (width, blocks) in enumerate([(64, 3), (128, 4), (256, 6), (512, 3)], 1):
        for block in range(blocks):
            name, stride = f"layer{stage}.{block}", 2 if stage > 1 and block == 0 else 1
            y = normalized(name + ".conv1", x, channels, width)
            y = normalized(name + ".conv2", y, width, width, 3, stride)
            y = normalized(name + ".conv3", y, width, 4 * width, gain=0.25, relu=False)
            if block == 0:
                x = normalized(name + ".downsample", x, channels, 4 * width, stride=stride, relu=False)
            x, channels = w.add("Relu", [w.add("Add", [y, x])]), 4 * width
    x = w.add("Flatten", [w.add("GlobalAveragePool", [x])])
    w.gemm("fc", x, 2048, 1000)
    return w.model("resnet50", TensorProto.FLOAT, [3, 224, 224], [1000])


def mobilenet_v2(seed):
    """Batch normalization folded, ReLU6 as Clip."""
    w = Writer(seed)

    def convolution(name, x, inputs, outputs, kernel=1, stride=1, groups=1, clipped=True):
        y = w.convolution(name, x, inputs, outputs, kernel, stride, groups)
        return w.add("Clip", [y, 0.0, 6.0]) if clipped else y

    x, channels = convolution("features.0", "x", 3, 32, 3, 2), 32
    number = 0
    # Expansion, channels, blocks, stride of the first.
    for expansion, outputs, blocks, stride in [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1),
                                               (6, 160, 3, 2), (6, 320, 1, 1)]:
        for block in range(blocks):
            number += 1
            name, hidden = f"features.{number}", expansion * channels
            y = convolution(name + ".expand", x, channels, hidden) if expansion > 1 else x
            y = convolution(name + ".depthwise", y, hidden, hidden, 3, stride if block == 0 else 1, hidden)
            y = convolution(name + ".project", y, hidden, outputs, clipped=False)
            x, channels = w.add("Add", [x, y]) if block > 0 else y, outputs
    x = convolution("features.18", x, channels, 1280)
    x = w.add("Flatten", [w.add("GlobalAveragePool", [x])])
    w.gemm("classifier", x, 1280, 1000)
    return w.model("mobilenet_v2", TensorProto.FLOAT, [3, 224, 224], [1000])


WIDTH, HEADS, BLOCKS = 768, 12, 12
# Of what is added to the residual stream, so that it does not grow with the number of blocks.
RESIDUAL = 1 / np.sqrt(2 * BLOCKS)


def vit_b16(seed):
    """Patches of 16x16 of images of 224x224, a class token, GELU by Erf; queries, keys and values apart."""
    w = Writer(seed)
    tokens = 14 * 14 + 1

    def heads(x, order):
        return w.add("Transpose", [w.add("Reshape", [x, [-1, tokens, HEADS, WIDTH // HEADS]])], perm=order)

    x = w.add("Conv", ["x", w.normal("patches.weight", (WIDTH, 3, 16, 16), 1 / np.sqrt(768)), w.normal("patches.bias", WIDTH, 0.02)],
              "patches", kernel_shape=[16, 16], strides=[16, 16], pads=[0] * 4, group=1, dilations=[1, 1])
    samples = w.add("Gather", [w.add("Shape", [x]), [0]], axis=0)
    x = w.add("Transpose", [w.add("Reshape", [x, [0, WIDTH, -1]])], perm=[0, 2, 1])
    shape = w.add("Concat", [samples, [1], [WIDTH]], axis=0)
    token = w.add("Expand", [w.normal("class_token", (1, 1, WIDTH), 0.5), shape])
    x = w.add("Concat", [token, x], axis=1)
    x = w.add("Add", [x, w.normal("positions", (1, tokens, WIDTH), 0.5)])
    for block in range(BLOCKS):
        name = f"blocks.{block}"
        y = w.layer_norm(name + ".norm1", x, WIDTH, 1e-6)
        q, k, v = (w.dense(f"{name}.{part}", y, WIDTH, WIDTH) for part in ("query", "key", "value"))
        scores = w.add("MatMul", [heads(q, [0, 2, 1, 3]), heads(k, [0, 2, 3, 1])], name + ".scores")
        weights = w.add("Softmax", [w.add("Div", [scores, np.sqrt(WIDTH / HEADS)])], axis=-1)
        y = w.add("MatMul", [weights, heads(v, [0, 2, 1, 3])], name + ".mix")
        y = w.add("Reshape", [w.add("Transpose", [y], perm=[0, 2, 1, 3]), [0, 0, WIDTH]])
        x = w.add("Add", [w.dense(name + ".output", y, WIDTH, WIDTH, RESIDUAL), x])
        y = w.dense(name + ".fc1", w.layer_norm(name + ".norm2", x, WIDTH, 1e-6), WIDTH, 4 * WIDTH)
        gate = w.add("Add", [w.add("Erf", [w.add("Div", [y, np.sqrt(2.0)])]), 1.0])
        y = w.add("Mul", [w.add("Mul", [y, gate]), 0.5])
        x = w.add("Add", [w.dense(name + ".fc2", y, 4 * WIDTH, WIDTH, RESIDUAL), x])
    x = w.add("Gather", [w.layer_norm("norm", x, WIDTH, 1e-6), 0], axis=1)
    w.gemm("head", x, WIDTH, 1000)
    return w.model("vit_b16", TensorProto.FLOAT, [3, 224, 224], [1000])


TOKENS, POSITIONS, VOCABULARY = 128, 1024, 50257


def gpt2(seed):
    """Small, 128 tokens: a causal mask, GELU by Tanh, dense layers as Gemm over all positions, the head's weight that of the
    embedding."""
    w = Writer(seed)
    size = WIDTH // HEADS
    causal = w.constant(np.tril(np.ones((1, 1, POSITIONS, POSITIONS), bool)))
    mask = w.add("Slice", [causal, [0, 0], [TOKENS, TOKENS], [2, 3]])

    def dense(name, x, inputs, outputs, gain=1.0):
        y = w.gemm(name, w.add("Reshape", [x, [-1, inputs]]), inputs, outputs, gain, transposed=False)
        return w.add("Reshape", [y, [-1, TOKENS, outputs]])

    embedding = w.normal("wte.weight", (VOCABULARY, WIDTH), 0.05)
    position = w.add("Gather", [w.normal("wpe.weight", (POSITIONS, WIDTH), 0.02), np.arange(TOKENS)[None]])
    x = w.add("Add", [w.add("Gather", [embedding, "x"]), position])
    for block in range(BLOCKS):
        name = f"h.{block}"
        y = dense(name + ".attn.c_attn", w.layer_norm(name + ".ln_1", x, WIDTH, 1e-5), WIDTH, 3 * WIDTH)
        parts = w.add("Split", [y, [WIDTH] * 3], name + ".split", 3, axis=2)
        q, k, v = (w.add("Transpose", [w.add("Reshape", [part, [-1, TOKENS, HEADS, size]])], perm=order)
                   for part, order in zip(parts, ([0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3])))
        scores = w.add("Div", [w.add("MatMul", [q, k], name + ".scores"), np.sqrt(size)])
        weights = w.add("Softmax", [w.add("Where", [mask, scores, np.finfo(np.float32).min])], axis=-1)
        y = w.add("Transpose", [w.add("MatMul", [weights, v], name + ".mix")], perm=[0, 2, 1, 3])
        y = dense(name + ".attn.c_proj", w.add("Reshape", [y, [0, 0, WIDTH]]), WIDTH, WIDTH, RESIDUAL)
        x = w.add("Add", [y, x])
        y = dense(name + ".mlp.c_fc", w.layer_norm(name + ".ln_2", x, WIDTH, 1e-5), WIDTH, 4 * WIDTH)
        inner = w.add("Add", [y, w.add("Mul", [w.add("Pow", [y, 3.0]), 0.044715])])
        gate = w.add("Add", [w.add("Tanh", [w.add("Mul", [inner, np.sqrt(2 / np.pi)])]), 1.0])
        y = w.add("Mul", [w.add("Mul", [y, 0.5]), gate])
        x = w.add("Add", [dense(name + ".mlp.c_proj", y, 4 * WIDTH, WIDTH, RESIDUAL), x])
    x = w.layer_norm("ln_f", x, WIDTH, 1e-5)
    w.add("MatMul", [x, w.add("Transpose", [embedding], perm=[1, 0])], "lm_head")
    return w.model("gpt2", TensorProto.INT64, [TOKENS], [TOKENS, VOCABULARY])


class Network(typing.NamedTuple):
    make: typing.Callable
    parameters: int  # as published: torchvision's tables, the GPT-2 small of its authors
    external: bool


NETWORKS = {
    "resnet50": Network(resnet50, 25_557_032, True),
    "mobilenet_v2": Network(mobilenet_v2, 3_504_872, False),
    "vit_b16": Network(vit_b16, 86_567_656, True),
    "gpt2": Network(gpt2, 124_439_808, True),
}


def parameters(model):
    """What training learns. A folded batch normalization counts as the scale and shift that it was."""
    folded = {node.input[2] for node in model.graph.node if node.op_type == "Conv" and len(node.input) > 2}
    if model.graph.name == "vit_b16":
        folded.clear()  # its one convolution has a bias of its own
    return sum(int(np.prod(weight.dims)) * (2 if weight.name in folded else 1)
               for weight in model.graph.initializer if not weight.name.endswith((".running_mean", ".running_var")))


def samples_of(name, count, seed):
    random = np.random.default_rng(seed)
    if name == "gpt2":
        text = random.integers(0, VOCABULARY, (count, TOKENS))
        return text, text  # a position's label is its token: what comes next is the task's own affair
    return random.standard_normal((count, 3, 224, 224), dtype=np.float32), random.integers(0, 1000, count)


COMMON = """\
model: {{file: model.onnx}}
data: {{format: npy, inputs: inputs.npy, labels: labels.npy}}
evaluation: {{task: {task}}}
output: {{record: {{statistics: false}}}}
"""
CONFIGURATIONS = {
    "float32.yaml": 'layers:\n  - {match: "*", analog: false}\n',
    "tiles.yaml": "rpu_config: {preset: StandardHWATrainingPreset, pre_post: {input_range: {init_value: 10.0}}}\n",
}


def write(folder, name, samples=2, seed=1):
    network = NETWORKS[name]
    folder = pathlib.Path(folder) / name
    folder.mkdir(parents=True, exist_ok=True)
    model = network.make(seed)
    if parameters(model) != network.parameters:
        raise ValueError(f"{name}: {parameters(model):,} parameters, {network.parameters:,} were published; mend its writer here")
    (folder / "model.onnx.data").unlink(missing_ok=True)  # onnx appends to it
    onnx.save(model, str(folder / "model.onnx"), save_as_external_data=network.external, location="model.onnx.data")
    onnx.checker.check_model(str(folder / "model.onnx"))
    inputs, labels = samples_of(name, samples, seed + 1)
    np.save(folder / "inputs.npy", inputs)
    np.save(folder / "labels.npy", labels)
    task = "language_model" if name == "gpt2" else "classification"
    for file, text in CONFIGURATIONS.items():
        (folder / file).write_text(COMMON.format(task=task) + text)
    return folder


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("--only", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--samples", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    for name in arguments.only:
        folder = write(arguments.folder, name, arguments.samples, arguments.seed)
        print(f"{folder}: {NETWORKS[name].parameters:,} parameters")


if __name__ == "__main__":
    main()
