#!/usr/bin/env python3
"""What calls from Python cost beyond the library's: ratios of the smallest times, taken in turns in one run.

  python bench/python_overhead.py [--networks]
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import tessera

ROUNDS = 40


def seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def tiles() -> None:
    """512x512, batch 256: the C++ call, tile(x) on [256, 512], and tile @ x on [512, 256] in both layouts."""
    rng = np.random.default_rng(0)
    weight = rng.normal(0, 0.1, (512, 512)).astype(np.float32)
    x = rng.normal(0, 1, (256, 512)).astype(np.float32)
    configs = {
        "ideal": {"forward": {"is_perfect": True}},
        "DAC, ADC, noise, periphery": {
            "forward": {"inp_res": 254, "out_res": 254, "out_bound": 10.0, "out_noise": 0.04},
            "mapping": {"weight_scaling_omega": 1.0, "weight_scaling_columnwise": True},
            "pre_post": {"input_range": {"enable": True}, "periph_quant": {"n_bits": 8}},
        },
        "StandardHWATrainingPreset": "StandardHWATrainingPreset",
    }
    print("| tile | C++ call | `tile(x)` | `tile @ x`, x of layout F | `tile @ x`, x of layout C |\n|---|---|---|---|---|")
    for name, rpu in configs.items():
        tile = tessera.Tile(weight, rpu_config=rpu, seed=1)
        columns_f, columns_c = x.T, np.ascontiguousarray(x.T)
        calls: list[Callable[[], object]] = [lambda: tile(x), lambda: tile @ columns_f, lambda: tile @ columns_c]
        times = [tile._core.forward_seconds(x, 3)] + [seconds(call) for call in calls]
        for _ in range(ROUNDS):
            times[0] = min(times[0], tile._core.forward_seconds(x, 2))
            for i, call in enumerate(calls):
                times[i + 1] = min(times[i + 1], seconds(call), seconds(call))
        ratios = " | ".join(f"{t / times[0]:.3f}" for t in times[1:])
        print(f"| {name} | {1e3 * times[0]:.2f} ms | {ratios} |", flush=True)


def network(name: str, config: dict[str, Any], model: Path) -> None:
    """simulate() on arrays against the command on the same configuration, best of five in turns."""
    x, y = tessera.load(config).data()
    net = tessera.from_onnx(model)
    ours, command, inside = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        written, file = Path(folder) / "config.yaml", Path(folder) / "r.h5"
        written.write_text(tessera.load(config).resolved())
        arguments = [sys.executable, "-m", "tessera", "run", str(written), "-q", "-o", str(file)]
        for _ in range(5):
            ours.append(seconds(lambda: net.simulate(config["rpu_config"], x, y, progress=False)))
            command.append(seconds(lambda: subprocess.run(arguments, check=True, capture_output=True)))
            inside.append(float(tessera.open_results(file)["runtime"].wall_time))
    print(
        f"{name}, {len(x)} images: simulate() takes {min(ours) / min(inside):.3f} of the run in the command (which also reads its "
        f"data), {min(ours) / min(command):.3f} of the whole command ({min(command):.2f} s)"
    )


def networks() -> None:
    """The shipped network, and LeNet-5 on MNIST where TESSERA_DATA_DIR (../shared/data) has it."""
    example = Path(tessera.example())
    rpu = {"preset": "StandardHWATrainingPreset"}
    glyphs = {"format": "glyphs", "scale": 0.00392156862745098, "limit": 10_000}
    shipped = example.parent / "models" / "glyphs_cnn.onnx"
    network("shipped CNN", {"model": {"file": str(shipped)}, "data": glyphs, "rpu_config": rpu}, shipped)
    folder = Path(os.environ.get("TESSERA_DATA_DIR", "../shared/data")) / "mnist"
    lenet = folder / "lenet5-relu.onnx"
    if not lenet.exists():
        print(f"LeNet-5: left out, there is no {lenet}")
        return
    mnist = {
        "format": "idx",
        "inputs": str(folder / "t10k-images-idx3-ubyte"),
        "labels": str(folder / "t10k-labels-idx1-ubyte"),
        "scale": 0.00392156862745098,
    }
    network("LeNet-5", {"model": {"file": str(lenet)}, "data": mnist, "rpu_config": rpu}, lenet)


if __name__ == "__main__":
    if "--networks" not in sys.argv:
        tiles()
    networks()
