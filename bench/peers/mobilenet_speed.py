"""MobileNetV2 on images of 224x224, its depthwise layers tiles of nine inputs: images per second of ONNX Runtime, of this
project in float32 and on tiles of StandardHWATrainingPreset, in turns.

    python bench/peers/mobilenet_speed.py build/default/bin/tessera [--threads 1 2] [--rounds 3] [--images 32] [--statistics]

Needs onnx, onnxruntime and numpy. The network is that of torchvision's mobilenet_v2 as it is exported for evaluation
(batch normalization folded, ReLU6 as Clip), with random weights. The best of the rounds of each side counts; what
`tessera run` does before and after its passes is left out.
"""
import argparse
import pathlib
import re
import subprocess
import tempfile
import time

import numpy
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

# expansion, channels, blocks, stride of the first
BLOCKS = [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)]


def network():
    random = numpy.random.default_rng(0)
    nodes, constants = [], []

    def constant(name, values):
        constants.append(numpy_helper.from_array(numpy.asarray(values, numpy.float32), name))
        return name

    low, high = constant("low", 0.0), constant("high", 6.0)

    def convolution(x, inputs, outputs, kernel=1, stride=1, groups=1, clipped=True):
        name = f"conv{len(constants)}"
        fan_in = inputs // groups * kernel * kernel
        shape = (outputs, inputs // groups, kernel, kernel)
        weight = constant(name + ".weight", random.standard_normal(shape) * numpy.sqrt(2 / fan_in))
        bias = constant(name + ".bias", random.standard_normal(outputs) * 0.05)
        nodes.append(helper.make_node("Conv", [x, weight, bias], [name + ".y"], name=name, kernel_shape=[kernel] * 2,
                                      strides=[stride] * 2, pads=[kernel // 2] * 4, group=groups, dilations=[1, 1]))
        if not clipped:
            return name + ".y"
        nodes.append(helper.make_node("Clip", [name + ".y", low, high], [name + ".z"], name=name + ".clip"))
        return name + ".z"

    x, channels = convolution("x", 3, 32, 3, 2), 32
    for expansion, outputs, blocks, stride in BLOCKS:
        for block in range(blocks):
            hidden = expansion * channels
            y = convolution(x, channels, hidden) if expansion > 1 else x
            y = convolution(y, hidden, hidden, 3, stride if block == 0 else 1, hidden)
            y = convolution(y, hidden, outputs, clipped=False)
            if block > 0:
                nodes.append(helper.make_node("Add", [x, y], [y + ".sum"], name=y + ".add"))
                y += ".sum"
            x, channels = y, outputs
    x = convolution(x, channels, 1280)
    nodes.append(helper.make_node("GlobalAveragePool", [x], ["pooled"], name="pool"))
    nodes.append(helper.make_node("Flatten", ["pooled"], ["flat"], name="flatten"))
    weight, bias = constant("fc.weight", random.standard_normal((1000, 1280)) * 0.03), constant("fc.bias", [0.0] * 1000)
    nodes.append(helper.make_node("Gemm", ["flat", weight, bias], ["y"], name="fc", transB=1))
    graph = helper.make_graph(nodes, "mobilenet_v2",
                              [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 224, 224])],
                              [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 1000])], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.checker.check_model(model)
    return model


def peer_rate(path, images, threads, batch=8, seconds=2.0):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    feed = {"x": images[:batch]}
    session.run(None, feed)
    best, end = 0.0, time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        session.run(None, feed)
        best = max(best, batch / (time.perf_counter() - start))
    return best


def own_rates(binary, configuration, threads):
    """On tiles, and in float32."""
    text = subprocess.run([binary, "run", configuration, "--threads", str(threads), "-o", configuration + ".h5"],
                          check=True, capture_output=True, text=True).stdout
    found = re.search(r"speed: analog ([\d,.]+)(k?) samples/s, float32 ([\d,.]+)(k?)", text)
    number = lambda text, kilo: float(text.replace(",", "")) * (1000 if kilo else 1)
    return number(found[1], found[2]), number(found[3], found[4])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary", nargs="+", help="several are compared in turns")
    parser.add_argument("--threads", type=int, nargs="+", default=[1])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--images", type=int, default=32)
    parser.add_argument("--statistics", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        onnx.save(network(), str(folder / "mobilenet_v2.onnx"))
        images = numpy.random.default_rng(1).standard_normal((arguments.images, 3, 224, 224), dtype=numpy.float32)
        numpy.save(folder / "images.npy", images)
        configuration = folder / "mobilenet_v2.yaml"
        configuration.write_text("model: {file: mobilenet_v2.onnx}\ndata: {format: npy, inputs: images.npy}\n"
                                 "rpu_config: {preset: StandardHWATrainingPreset}\n"
                                 f"output: {{record: {{statistics: {str(arguments.statistics).lower()}}}}}\n")
        print(f"{'threads':>7} {'ONNX Runtime':>13} {'float32':>9} {'ratio':>6} {'tiles':>9} {'ratio':>6}   images per second")
        for threads in arguments.threads:
            peer, own = 0.0, {binary: (0.0, 0.0) for binary in arguments.binary}
            for _ in range(arguments.rounds):
                peer = max(peer, peer_rate(str(folder / "mobilenet_v2.onnx"), images, threads))
                for binary in arguments.binary:
                    own[binary] = tuple(map(max, own[binary], own_rates(binary, str(configuration), threads)))
            for binary, (tiles, plain) in own.items():
                print(f"{threads:7} {peer:13.1f} {plain:9.1f} {peer / plain:6.2f} {tiles:9.1f} {peer / tiles:6.2f}   {binary}")


if __name__ == "__main__":
    main()
