"""The matrix of a discrete Fourier transform in programmed arrays: mean error of the complex weights read back.

[[case]]    name, core: "balanced" | "offset" | "sliced"; points; alpha (programming error in proportion to the conductance); rmin_ohm,
            rmax_ohm; weight_bits; slices; chips; against = [{what, kind = "chips" (mean, sd, n) | "chip" (value)}]

A complex matrix is the real block [[Re, -Im], [Im, Re]]; unit vectors read the first block column. No converters.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..command import Tessera, yaml
from ..onnx_writer import Network
from ..report import Report
from ..statistics import Sample
from ..target import Target, TargetError


def _core(case: dict[str, Any]) -> tuple[dict[str, Any], int]:
    """The core's keys and the bits of a cell."""
    bits = case["weight_bits"]
    if case["core"] == "balanced":
        return {"style": "BALANCED"}, bits - 1
    if case["core"] == "offset":
        return {"style": "OFFSET", "offset": {"style": "DIGITAL_OFFSET"}}, bits
    if case["core"] == "sliced":
        return {"style": "BITSLICED", "weight_bits": bits, "bit_sliced": {"style": "BALANCED", "num_slices": case["slices"]}}, 0
    raise TargetError(f"case {case['name']}: core = \"{case['core']}\"; known: balanced, offset, sliced")


def errors(case: dict[str, Any], tessera: Tessera) -> list[float]:
    """Mean |W - read back| of every chip."""
    n = case["points"]
    k = np.arange(n)
    w = np.exp(-2j * np.pi * np.outer(k, k) / n)
    block = np.block([[w.real, -w.imag], [w.imag, w.real]])
    network = Network([2 * n])
    model = network.save(tessera.scratch / "dft.onnx", network.matmul("dft", "x", block.T), 2 * n)
    units = tessera.scratch / "units.npy"
    np.save(units, np.eye(2 * n, dtype=np.float32)[:n])
    core, cell_bits = _core(case)
    crossbar = {
        "core": core,
        "xbar": {
            "device": {
                "Rmin": case["rmin_ohm"],
                "Rmax": case["rmax_ohm"],
                "cell_bits": cell_bits,
                "programming_error": {"enable": True, "model": "NormalProportionalDevice", "magnitude": case["alpha"]},
            }
        },
    }
    config = tessera.scratch / "dft.yaml"
    config.write_text(
        f"seed: {case.get('seed', 1)}\nmodel: {{file: {model}}}\ndata: {{format: npy, inputs: {units}}}\n"
        f"rpu_config: {yaml({'mapping': {'max_input_size': 2 * n, 'max_output_size': 2 * n}, 'crossbar': crossbar})}\n"
        f"evaluation: {{repeats: {case['chips']}}}\noutput: {{record: {{statistics: false, tensors: [dft]}}}}\n",
        encoding="utf-8",
    )
    with tessera.run(config) as file:
        read = np.asarray(file["layers/dft/output"][0], dtype=np.float64)  # [chip, unit vector, output]
    return [float(np.abs((chip[:, :n] + 1j * chip[:, n:]).T - w).mean()) for chip in read]


def measure(target: Target, tessera: Tessera, report: Report) -> None:
    """Every case against its numbers."""
    strips, rows = [], []
    for case in target.about["case"]:
        if case.get("core") is None:  # what is published and cannot be run
            for against in case["against"]:
                report.cannot(case["name"], against["what"], case["why"], f"{against['value']}")
            continue
        values = errors(case, tessera)
        ours = Sample.of(values)
        strips.append({"label": f"{case['name']}: Tessera", "values": values, "ours": True})
        rows.append([case["name"], ours.n, f"{ours.mean:.5f} ± {ours.half_width():.5f}", f"{ours.sd:.5f}"])
        for against in case["against"]:
            if against["kind"] == "chips":
                report.chips(case["name"], against["what"], ours, Sample(against["mean"], against["sd"], against["n"]), unit="", digits=5)
                moments = {key: against[key] for key in ("mean", "sd", "n")}
                strips.append({"label": f"{case['name']}: {against['what']}", **moments})
            else:
                report.one_chip(case["name"], against["what"], ours, against["value"], unit="", digits=5)
                strips.append({"label": f"{case['name']}: {against['what']}", "values": [against["value"]]})
        report.values[case["name"]] = values
    report.table("Tessera: mean over chips and its 95 % interval", ["case", "chips", "mean error", "sd"], rows)
    report.figure("strips", title="One point for each chip; bars: mean and its 95 % interval", unit="mean |W - read back|", strips=strips)
