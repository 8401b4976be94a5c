"""Time of analog forward passes here and in aihwkit: same weights, configuration, batch and threads, in turns.

    python bench/peers/aihwkit_speed.py [--mnist ../shared/data/mnist] [--rounds 10] [--threads 2]

Needs this package and aihwkit 1.1 (with its torch) in one virtual environment. A tile of 512x512 with batches of 256, and LeNet-5 with
StandardHWATrainingPreset on test images of MNIST (or random ones). Each side's quartiles over the rounds; the ratio is that of the
medians, above 1 this project is faster.
"""

from __future__ import annotations

import argparse
import copy
import gzip
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from aihwkit.nn import AnalogLinear
from aihwkit.nn.conversion import convert_to_analog
from aihwkit.simulator.configs import InferenceRPUConfig, TorchInferenceRPUConfig
from aihwkit.simulator.parameters.enums import BoundManagementType, NoiseManagementType, WeightNoiseType
from aihwkit.simulator.presets import StandardHWATrainingPreset

import tessera


def rpu_configs() -> dict[str, Any]:
    """By name: the hardware, and the class of aihwkit that simulates it."""
    found: dict[str, Any] = {}
    for engine, cls in (("C++ tile", InferenceRPUConfig), ("torch tile", TorchInferenceRPUConfig)):
        for name in ("ideal", "DAC, ADC, output noise, bound", "+ PCM_READ weight noise"):
            rpu = cls()
            rpu.mapping.weight_scaling_omega = 1.0
            rpu.mapping.weight_scaling_columnwise = True
            rpu.mapping.max_input_size = rpu.mapping.max_output_size = 512
            io = rpu.forward
            io.is_perfect = name == "ideal"
            io.inp_res = io.out_res = 1 / 254
            io.out_bound, io.out_noise = 10.0, 0.04
            io.noise_management, io.bound_management = NoiseManagementType.NONE, BoundManagementType.NONE
            if name.startswith("+"):
                if cls is TorchInferenceRPUConfig:  # which does not have it
                    continue
                io.w_noise, io.w_noise_type = 0.0175, WeightNoiseType.PCM_READ
            found[f"{name} ({engine})"] = rpu
    found["StandardHWATrainingPreset (C++ tile)"] = StandardHWATrainingPreset()
    return found


def in_turns(rounds: int, *calls: Callable[[], object]) -> list[list[float]]:
    times: list[list[float]] = [[] for _ in calls]
    for _ in range(rounds):
        for call, own in zip(calls, times):
            time.sleep(0.02)  # threads of the other side wait awake for a while
            call()
            start = time.perf_counter()
            call()
            own.append(time.perf_counter() - start)
    return times


def quartiles(times: list[float], scale: float) -> str:
    low, middle, high = (scale * q for q in statistics.quantiles(times, n=4))
    return f"{middle:.3g} ({low:.3g}–{high:.3g})"


def tiles(rounds: int) -> None:
    rng = np.random.default_rng(0)
    weight = rng.normal(0, 0.1, (512, 512)).astype(np.float32)
    x = rng.normal(0, 0.4, (256, 512)).astype(np.float32)
    given = torch.from_numpy(x)
    print("| 512x512, batch 256 | aihwkit, ms | this, ms | ratio |\n|---|---|---|---|")
    for name, rpu in rpu_configs().items():
        layer = AnalogLinear(512, 512, bias=False, rpu_config=rpu).eval()
        layer.set_weights(torch.from_numpy(weight))
        undrifted = copy.deepcopy(rpu)  # aihwkit programs nothing unless it is told to
        undrifted.noise_model = None
        tile = tessera.Tile(weight, rpu_config=undrifted, seed=1)
        with torch.no_grad():
            theirs, ours = in_turns(rounds, lambda: layer(given), lambda: tile(x))
        ratio = statistics.median(theirs) / statistics.median(ours)
        print(f"| {name} | {quartiles(theirs, 1e3)} | {quartiles(ours, 1e3)} | {ratio:.1f} |", flush=True)


def lenet5() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Conv2d(1, 6, 5, padding=2), torch.nn.ReLU(), torch.nn.MaxPool2d(2),
        torch.nn.Conv2d(6, 16, 5), torch.nn.ReLU(), torch.nn.MaxPool2d(2), torch.nn.Flatten(),
        torch.nn.Linear(400, 120), torch.nn.ReLU(), torch.nn.Linear(120, 84), torch.nn.ReLU(), torch.nn.Linear(84, 10),
    )  # fmt: skip


def images(folder: Path | None, count: int) -> np.ndarray:
    if folder is not None:
        for path in (folder / "t10k-images-idx3-ubyte", folder / "t10k-images-idx3-ubyte.gz"):
            if path.exists():
                data = gzip.open(path).read() if path.suffix == ".gz" else path.read_bytes()
                pixels = np.frombuffer(data, np.uint8, offset=16).reshape(-1, 1, 28, 28)
                return (pixels[:count] / 255).astype(np.float32)
    return np.random.default_rng(1).random((count, 1, 28, 28), np.float32)


def network(rounds: int, folder: Path | None, count: int = 5000, batch: int = 128) -> None:
    analog = convert_to_analog(lenet5(), StandardHWATrainingPreset()).eval()
    x = images(folder, count)
    batches = torch.from_numpy(x).split(batch)
    net = tessera.from_aihwkit(analog, batches[0][:1])

    def theirs_all() -> None:
        with torch.no_grad():
            for part in batches:
                analog(part)

    inside: list[float] = []
    labels = np.zeros(count, np.int64)  # so that nothing is compared with float32

    def ours_all() -> None:
        result = net.simulate(None, x, labels, statistics=False, batch_size=batch, progress=False)
        inside.append(float(result["runtime"].analog_time))

    theirs, ours = in_turns(max(3, rounds // 5), theirs_all, ours_all)
    print(f"\nLeNet-5, StandardHWATrainingPreset, {count} images in batches of {batch}, microseconds per image:")
    print(f"aihwkit {quartiles(theirs, 1e6 / count)}, simulate() {quartiles(ours, 1e6 / count)} with its float32 pass,")
    print(f"its analog passes alone {quartiles(inside, 1e6 / count)}.")
    print(f"ratio {statistics.median(theirs) / statistics.median(ours):.1f}, of the analog passes "
          f"{statistics.median(theirs) / statistics.median(inside):.1f}")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mnist", type=Path)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    tiles(options.rounds)
    network(options.rounds, options.mnist)


if __name__ == "__main__":
    main()
