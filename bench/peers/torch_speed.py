"""Float32 images per second of this project's executor and of PyTorch: same network, batch and threads, in turns.

    python bench/peers/torch_speed.py build/default/bin/nn_bench ../shared/data [--threads 1 2] [--rounds 3]

Needs torch, onnx and numpy. PyTorch runs the network of the ONNX file as a frozen TorchScript module (constants folded, batch
normalization fused into convolutions). The best of the rounds of each side counts; above 1 PyTorch is faster.
"""
import argparse
import os
import time

import numpy
import onnx
import torch
import torch.nn.functional as F
from onnx import numpy_helper

from onnxruntime_speed import BATCH, NETWORKS, own_rate


class Network(torch.nn.Module):
    """The nodes of an ONNX file, one after the other; for the operators of the networks compared here."""

    def __init__(self, path, shape):
        super().__init__()
        model = onnx.load(path)
        self.nodes = [n for n in model.graph.node]
        self.input, self.output = model.graph.input[0].name, model.graph.output[0].name
        self.constants = {i.name: torch.from_numpy(numpy_helper.to_array(i).copy()) for i in model.graph.initializer}
        self.shape = shape
        self.modules_of = torch.nn.ModuleDict()
        for number, node in enumerate(self.nodes):
            if node.op_type in ("Conv", "BatchNormalization", "Gemm"):
                self.modules_of[str(number)] = self.module(node)

    def module(self, node):
        attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        values = [self.constants[name] for name in node.input[1:]]
        if node.op_type == "BatchNormalization":
            scale, bias, mean, variance = values
            layer = torch.nn.BatchNorm2d(len(scale), eps=attributes.get("epsilon", 1e-5))
            layer.weight.data, layer.bias.data, layer.running_mean, layer.running_var = scale, bias, mean, variance
            return layer
        weight, bias = values[0], values[1] if len(values) > 1 else None
        if node.op_type == "Gemm":
            if not attributes.get("transB", 0):
                weight = weight.t().contiguous()
            layer = torch.nn.Linear(weight.shape[1], weight.shape[0], bias is not None)
        else:
            pads = attributes.get("pads", [0, 0, 0, 0])
            assert pads[:2] == pads[2:] and attributes.get("group", 1) == 1
            layer = torch.nn.Conv2d(weight.shape[1], weight.shape[0], tuple(weight.shape[2:]),
                                    stride=tuple(attributes.get("strides", [1, 1])), padding=tuple(pads[:2]),
                                    bias=bias is not None)
        layer.weight.data = weight
        if bias is not None:
            layer.bias.data = bias
        return layer

    def forward(self, x):
        known = dict(self.constants)
        known[self.input] = x
        for number, node in enumerate(self.nodes):
            attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
            v = [known[name] if name else None for name in node.input]
            op = node.op_type
            if str(number) in self.modules_of:
                y = self.modules_of[str(number)](v[0])
            elif op == "Relu":
                y = F.relu(v[0])
            elif op == "Add":
                y = v[0] + v[1]
            elif op in ("MaxPool", "AveragePool"):
                pool = F.max_pool2d if op == "MaxPool" else F.avg_pool2d
                assert not any(attributes.get("pads", [0])) and not attributes.get("ceil_mode", 0)
                y = pool(v[0], attributes["kernel_shape"], attributes.get("strides", [1, 1]))
            elif op == "Flatten":
                y = v[0].flatten(1)
            elif op == "Identity":
                y = v[0]
            elif op == "Softmax":
                y = F.softmax(v[0], attributes.get("axis", -1))
            elif op == "Constant":
                y = torch.from_numpy(numpy_helper.to_array(attributes["value"]).copy())
            elif op == "ConstantOfShape":
                value = numpy_helper.to_array(attributes["value"]) if "value" in attributes else numpy.zeros(1, "f4")
                y = torch.full(tuple(v[0].tolist()), value[0].item(), dtype=torch.from_numpy(value).dtype)
            elif op == "Concat":
                y = torch.cat(v, attributes["axis"])
            elif op == "Cast":
                y = v[0].to({1: torch.float32, 7: torch.int64}[attributes["to"]])
            elif op == "Reshape":
                y = v[0].reshape(v[1].tolist())
            elif op == "Transpose":
                y = v[0].permute(attributes["perm"])
            elif op == "Slice":
                y = v[0]
                starts, ends = v[1].tolist(), v[2].tolist()
                axes = v[3].tolist() if len(v) > 3 else list(range(len(starts)))
                steps = v[4].tolist() if len(v) > 4 else [1] * len(starts)
                for start, end, axis, step in zip(starts, ends, axes, steps):
                    index = torch.tensor(range(y.shape[axis])[start if start > -2**40 else None:end if end > -2**40 else None:step])
                    y = y.index_select(axis, index)
            elif op == "Pad":
                pads, rank = v[1].tolist(), v[0].dim()
                y = F.pad(v[0], [p for d in reversed(range(rank)) for p in (pads[d], pads[d + rank])])
            else:
                raise NotImplementedError(op)
            known[node.output[0]] = y
        return known[self.output]


def peer_rate(module, x, seconds=1.0):
    with torch.inference_mode():
        for _ in range(3):
            module(x)
        best, end = 0.0, time.perf_counter() + seconds
        while time.perf_counter() < end:
            start = time.perf_counter()
            module(x)
            best = max(best, BATCH / (time.perf_counter() - start))
    return best


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary")
    parser.add_argument("data")
    parser.add_argument("--threads", type=int, nargs="+", default=[1])
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    print(f"{'network':10} {'threads':>7} {'PyTorch':>13} {'this':>10} {'ratio':>6}   images per second, batch {BATCH}")
    for threads in arguments.threads:
        torch.set_num_threads(threads)
        for name, (file, shape) in NETWORKS.items():
            path = os.path.join(arguments.data, file)
            x = torch.from_numpy(numpy.random.default_rng(0).standard_normal((BATCH, *shape), dtype=numpy.float32))
            network = Network(path, shape).eval()
            with torch.inference_mode():
                module = torch.jit.optimize_for_inference(torch.jit.freeze(torch.jit.trace(network, x)))
            peer = own = 0.0
            for _ in range(arguments.rounds):
                peer = max(peer, peer_rate(module, x))
                own = max(own, own_rate(arguments.binary, arguments.data, name, threads))
            print(f"{name:10} {threads:7} {peer:13.0f} {own:10.0f} {peer / own:6.2f}", flush=True)


if __name__ == "__main__":
    main()
