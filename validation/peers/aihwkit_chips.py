#!/usr/bin/env python3
"""Accuracies of aihwkit for the cases of a target, chip by chip: writes peer.json beside target.toml.

Needs a Python with aihwkit 1.1, torch and onnx, none of which Tessera needs:
    python3.11 -m venv v && v/bin/pip install aihwkit==1.1.0 torch==2.10.0 numpy onnx
    v/bin/python validation/peers/aihwkit_chips.py validation/aihwkit_lenet5
The target's [peer] says: model, images and labels (paths as everywhere), format, scale, mean, std, limit, input_ranges by
layer, and [[peer.case]]: name, chips, times (with devices) or periphery (bits), seed.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from gallery.target import load  # noqa: E402

import aihwkit  # noqa: E402
from aihwkit.inference import GlobalDriftCompensation, PCMLikeNoiseModel  # noqa: E402
from aihwkit.nn import AnalogConv2d, AnalogLinear  # noqa: E402
from aihwkit.simulator.presets import StandardHWATrainingPreset  # noqa: E402


class Network(torch.nn.Module):
    """An ONNX graph, operator by operator; Conv and Gemm on analog tiles (rpu None: float32)."""

    def __init__(self, file: Path, rpu, ranges: dict[str, float]) -> None:
        super().__init__()
        graph = onnx.load(file).graph
        self.nodes = list(graph.node)
        self.constants = {t.name: torch.from_numpy(numpy_helper.to_array(t).copy()) for t in graph.initializer}
        for node in self.nodes:
            if node.op_type == "Constant":
                self.constants[node.output[0]] = torch.from_numpy(numpy_helper.to_array(node.attribute[0].t).copy())
        self.input, self.output = graph.input[0].name, graph.output[0].name
        self.seen: dict[str, float] = {}
        self.layers = torch.nn.ModuleDict()
        for node in self.nodes:
            if node.op_type in ("Conv", "Gemm"):
                self.layers[self.key(node)] = self.layer(node, rpu, ranges)

    @staticmethod
    def key(node) -> str:
        return node.name.replace(".", "_")

    @staticmethod
    def layer_name(node) -> str:
        """As Tessera calls it: the weight's name."""
        return node.input[1].removesuffix(".weight")

    def layer(self, node, rpu, ranges):
        attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        weight = self.constants[node.input[1]]
        bias = self.constants[node.input[2]] if len(node.input) > 2 else None
        if node.op_type == "Conv":
            pads, strides = attributes["pads"], attributes["strides"]
            arguments = (weight.shape[1], weight.shape[0], tuple(weight.shape[2:]), tuple(strides), tuple(pads[:2]))
            made = (
                torch.nn.Conv2d(*arguments, bias=bias is not None)
                if rpu is None
                else AnalogConv2d(*arguments, bias=bias is not None, rpu_config=rpu())
            )
        else:
            assert attributes.get("transB", 0) == 1
            made = (
                torch.nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
                if rpu is None
                else AnalogLinear(weight.shape[1], weight.shape[0], bias=bias is not None, rpu_config=rpu())
            )
        if rpu is None:
            made.weight.data, made.bias = weight, (torch.nn.Parameter(bias) if bias is not None else None)
        else:
            made.set_weights(weight.reshape(weight.shape[0], -1) if node.op_type == "Conv" else weight, bias)
            for tile in made.analog_tiles():
                if tile.input_range is not None:
                    tile.input_range.data.fill_(ranges[self.layer_name(node)])
        return made

    def forward(self, x):  # noqa: D102
        values = dict(self.constants)
        values[self.input] = x
        for node in self.nodes:
            a = {k.name: onnx.helper.get_attribute_value(k) for k in node.attribute}
            v = [values.get(name) for name in node.input]
            op = node.op_type
            if op == "Constant":
                continue
            if op in ("Conv", "Gemm"):
                name = self.layer_name(node)
                self.seen[name] = max(self.seen.get(name, 0.0), float(v[0].abs().max()))
                out = self.layers[self.key(node)](v[0])
            elif op == "Relu":
                out = torch.relu(v[0])
            elif op == "MaxPool":
                out = torch.nn.functional.max_pool2d(v[0], a["kernel_shape"], a["strides"])
            elif op == "AveragePool":
                out = torch.nn.functional.avg_pool2d(v[0], a["kernel_shape"], a["strides"])
            elif op == "Flatten":
                out = torch.flatten(v[0], 1)
            elif op == "Add":
                out = v[0] + v[1]
            elif op == "BatchNormalization":
                out = torch.nn.functional.batch_norm(v[0], v[3], v[4], v[1], v[2], False, 0.0, a.get("epsilon", 1e-5))
            elif op == "Slice":
                index = [slice(None)] * v[0].dim()
                for b, e, axis, step in zip(v[1].tolist(), v[2].tolist(), v[3].tolist(), v[4].tolist()):
                    index[axis] = slice(b, None if e > 2**31 - 2 else e, step)
                out = v[0][tuple(index)]
            elif op == "Pad":
                p = v[1].tolist()
                n = len(p) // 2
                out = torch.nn.functional.pad(v[0], [q for d in reversed(range(n)) for q in (p[d], p[n + d])])
            else:
                raise NotImplementedError(op)
            values[node.output[0]] = out
        return values[self.output]

    def tiles(self):
        return [tile for layer in self.layers.values() for tile in layer.analog_tiles()]


def samples(target, peer):
    """Images as float32 [n, C, H, W] and labels."""
    limit = peer["limit"]
    raw = target.resolve(peer["images"]).read_bytes()
    if peer["format"] == "idx":
        images = np.frombuffer(raw, np.uint8, offset=16).reshape(-1, 1, 28, 28)[:limit]
        labels = np.frombuffer(target.resolve(peer["labels"]).read_bytes(), np.uint8, offset=8)[:limit]
    else:
        records = np.frombuffer(raw, np.uint8).reshape(-1, 3073)[:limit]
        images, labels = records[:, 1:].reshape(-1, 3, 32, 32), records[:, 0]
    x = images.astype(np.float32) * np.float32(peer.get("scale", 1 / 255))
    mean, std = (np.float32(peer.get(k, d)).reshape(1, -1, 1, 1) for k, d in (("mean", [0.0]), ("std", [1.0])))
    return torch.from_numpy((x - mean) / std), torch.from_numpy(labels.astype(np.int64))


def correct(network, x, y, batch=250) -> int:
    with torch.no_grad():
        return sum(int((network(x[i : i + batch]).argmax(1) == y[i : i + batch]).sum()) for i in range(0, len(x), batch))


def devices(peer):
    """The standard hardware of aihwkit's examples with PCM devices."""
    rpu = StandardHWATrainingPreset()
    rpu.noise_model = PCMLikeNoiseModel(g_max=25.0)
    rpu.drift_compensation = GlobalDriftCompensation()
    rpu.remap.type = type(rpu.remap.type).NONE
    rpu.clip.type = type(rpu.clip.type).NONE
    rpu.mapping.max_input_size = peer.get("max_input_size", 512)
    rpu.mapping.max_output_size = peer.get("max_output_size", 512)
    return rpu


def periphery(peer, bits):
    """8-bit converters, output noise, and a periphery of so many bits (0: float32); no devices."""
    from aihwkit.simulator.configs import QuantizedTorchInferenceRPUConfig
    from aihwkit.simulator.parameters.enums import BoundManagementType, NoiseManagementType

    rpu = QuantizedTorchInferenceRPUConfig()
    f = rpu.forward
    f.inp_res, f.out_res, f.out_bound, f.out_noise = 254.0, 254.0, 10.0, 0.04
    f.bound_management, f.noise_management = BoundManagementType.NONE, NoiseManagementType.NONE
    f.is_perfect = False
    rpu.mapping.weight_scaling_omega, rpu.mapping.weight_scaling_columnwise = 1.0, True
    rpu.mapping.max_input_size, rpu.mapping.max_output_size = 512, 512
    rpu.pre_post.input_range.enable = True
    rpu.pre_post.periph_quant.n_bits = bits
    rpu.act_quant_config = None
    return rpu


def measure_chip(target, peer, case, chip, x, y):
    """Correct samples of one chip, time by time."""
    seed = case["seed"] + chip
    torch.manual_seed(seed)
    np.random.seed(seed)
    begin = time.time()
    make = (lambda: periphery(peer, case["periphery"])) if "periphery" in case else (lambda: devices(peer))
    network = Network(target.resolve(peer["model"]), make, peer["input_ranges"]).eval()
    if "periphery" in case:
        counts = [correct(network, x, y)]
    else:
        for tile in network.tiles():
            tile.program_weights()
        counts = []
        for seconds in case["times"]:
            for tile in network.tiles():
                tile.drift_weights(seconds)
            counts.append(correct(network, x, y))
    print(f"{case['name']}: chip {chip}, {counts} of {len(y)}, {time.time() - begin:.1f} s", flush=True)
    return counts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", type=Path)
    parser.add_argument("--set", action="append", default=[], help="as of scripts/validate")
    parser.add_argument("--ranges", action="store_true", help="only print the largest input of each layer in float32")
    parser.add_argument("--published", type=Path)
    parser.add_argument("--data", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    target = load(arguments.target, arguments.set, arguments.published, arguments.data)
    peer = target.about["peer"]
    x, y = samples(target, peer)
    exact = Network(target.resolve(peer["model"]), None, {}).eval()
    print(f"float32: {correct(exact, x, y)} of {len(y)}")
    if arguments.ranges:
        for name, largest in exact.seen.items():
            print(f'"{name}" = {largest:.4g}')
        return
    file = target.folder / "peer.json"
    cases = json.loads(file.read_text())["cases"] if file.exists() else {}
    for case in peer["case"]:
        empty = {"times": case.get("times", [0.0]), "count": len(y), "correct": [[] for _ in case.get("times", [0.0])], "seeds": []}
        kept = cases.setdefault(case["name"], empty)
        for chip in range(len(kept["seeds"]), case["chips"]):
            for row, count in zip(kept["correct"], measure_chip(target, peer, case, chip, x, y)):
                row.append(count)
            kept["seeds"].append(case["seed"] + chip)
            text = {"peer": f"aihwkit {aihwkit.__version__}, torch {torch.__version__}", "model": peer["model"], "cases": cases}
            partial = file.with_suffix(".tmp")
            partial.write_text(json.dumps(text, indent=1) + "\n")
            partial.rename(file)


if __name__ == "__main__":
    main()
