"""Signal to noise of converters behind a binary dot product: one MatMul layer of N ones with a converter of given levels.

[csnr]      table: JSON list of {N, sigma_adc_V, delta_imc_V, B, full_range, occ, cactus: [t1, tM], ..._dB}; bits, sigmas_V: which of
            them (default all); probability of a product being 1; allowed_dB; claim = {bits, strategy, against_bits,
            against, sigma_V}; monte_carlo = {vectors, cases = [[sigma_V, bits, strategy]]}

Thermal noise enters as one more input of weight 1, in units of one product. The converter's transfer is read from the simulator: a coarse
scan of the column's voltage, then 64 points within every step that was found; with the thresholds and outputs so measured, the noise
integral is exact. Monte Carlo runs draw products and noise.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..command import Tessera, yaml
from ..onnx_writer import Network
from ..report import Report
from ..target import Target, TargetError

STRATEGIES = {"full_range": "full range", "occ": "OCC", "cactus": "CACTUS"}
COARSE = 0.01
FINE = 64


@dataclass
class Column:
    """The layer, in the scratch folder."""

    tessera: Tessera
    inputs: int

    def convert(self, x: np.ndarray, first: float, last: float, bits: int) -> np.ndarray:
        """What a converter with 2^bits - 1 even thresholds from `first` to `last` gives for every vector of x [vectors, N + 1]."""
        step = (last - first) / (2**bits - 2)
        levels = first + step * (np.arange(2**bits) - 0.5)
        folder = self.tessera.scratch
        network = Network([self.inputs + 1])
        model = network.save(folder / "dot.onnx", network.matmul("dot", "x", np.ones((self.inputs + 1, 1))), 1)
        np.save(folder / "dot.npy", x.astype(np.float32))
        crossbar = {
            "core": {"style": "BALANCED"},
            "xbar": {
                "device": {"infinite_on_off_ratio": True},
                "adc": {"mvm": {"model": "QuantizerADC", "bits": bits, "levels": levels}},
            },
        }
        config = folder / "dot.yaml"
        config.write_text(
            f"model: {{file: {model}}}\ndata: {{format: npy, inputs: {folder / 'dot.npy'}, batch_size: 1000}}\n"
            f"rpu_config: {yaml({'crossbar': crossbar})}\noutput: {{record: {{statistics: false, tensors: [dot]}}}}\n",
            encoding="utf-8",
        )
        with self.tessera.run(config) as file:
            return np.asarray(file["layers/dot/output"]).reshape(-1).astype(np.float64)

    def voltages(self, v: np.ndarray) -> np.ndarray:
        """Inputs whose column sums to v: as many ones as fit, the rest in the noise's input."""
        ones = np.clip(np.rint(v), 0, self.inputs)
        return np.column_stack([np.arange(self.inputs)[None, :] < ones[:, None], v - ones])

    def transfer(self, first: float, last: float, bits: int, margin: float) -> tuple[np.ndarray, np.ndarray]:
        """Measured thresholds and outputs."""
        grid = np.arange(-margin, self.inputs + margin, COARSE)
        coarse = self.convert(self.voltages(grid), first, last, bits)
        jumps = np.flatnonzero(np.diff(coarse))
        within = (grid[jumps][:, None] + COARSE * (np.arange(FINE) + 0.5) / FINE).reshape(-1)
        fine = self.convert(self.voltages(within), first, last, bits).reshape(len(jumps), FINE)
        thresholds, outputs = [], [coarse[0]]
        for j, row in zip(jumps, fine):
            low, points = np.concatenate([[coarse[j]], row, [coarse[j + 1]]]), grid[j] + COARSE * np.arange(FINE + 1) / FINE
            for k in np.flatnonzero(np.diff(low)):
                thresholds.append(points[k])
                outputs.append(low[k + 1])
        return np.array(thresholds), np.array(outputs)


def binomial(n: int, p: float) -> np.ndarray:
    """Probabilities of 0..n."""
    ways = [math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1) for k in range(n + 1)]
    return np.exp([w + k * math.log(p) + (n - k) * math.log1p(-p) for k, w in enumerate(ways)])


def _upper(x: np.ndarray) -> np.ndarray:
    return 0.5 * np.vectorize(math.erfc)(x / math.sqrt(2.0))


def csnr_db(n: int, p: float, sigma: float, thresholds: np.ndarray, outputs: np.ndarray) -> float:
    """10 lg var(d) / E (output - d)^2 for d ~ Binomial(n, p), a converter with noise sigma in front."""
    d = np.arange(n + 1)
    z = (thresholds[None, :] - d[:, None]) / sigma
    above = np.concatenate([np.ones((n + 1, 1)), _upper(z), np.zeros((n + 1, 1))], axis=1)
    below = np.concatenate([np.zeros((n + 1, 1)), _upper(-z), np.ones((n + 1, 1))], axis=1)
    mass = np.minimum(np.abs(np.diff(above)), np.abs(np.diff(below)))  # equal but for cancellation
    error = float((binomial(n, p)[:, None] * mass * (outputs[None, :] - d[:, None]) ** 2).sum())
    return 10.0 * math.log10(n * p * (1.0 - p) / error)


def _monte_carlo(column: Column, p: float, sigma: float, adc: tuple[float, float, int], vectors: int, seed: int) -> tuple[float, float]:
    """CSNR in dB and half of its 99 % interval, from the spread of squared errors; `adc`: first and last threshold, bits."""
    random = np.random.default_rng(seed)
    x = np.column_stack([random.random((vectors, column.inputs)) < p, sigma * random.standard_normal(vectors)])
    d = x[:, :-1].sum(axis=1)
    square = (column.convert(x, *adc) - d) ** 2
    mean = float(square.mean())
    if mean == 0.0:
        raise TargetError(f"no error in {vectors:,} vectors: Monte Carlo cannot tell a CSNR that high")
    half = 2.576 * float(square.std(ddof=1)) / math.sqrt(vectors) / mean * 10.0 / math.log(10.0)
    return 10.0 * math.log10(column.inputs * p * (1 - p) / mean), half


def measure(target: Target, tessera: Tessera, report: Report) -> None:
    """Every row of the table, the claim, and Monte Carlo."""
    about = target.about["csnr"]
    entries = json.loads(target.resolve(about["table"]).read_text(encoding="utf-8"))
    p = about["probability"]
    ours: dict[tuple[float, int, str], float] = {}
    rows: list[list[Any]] = []
    worst = {key: 0.0 for key in STRATEGIES}
    for e in entries:
        if e["B"] not in about.get("bits", [e["B"]]) or e["sigma_adc_V"] not in about.get("sigmas_V", [e["sigma_adc_V"]]):
            continue
        column, sigma = Column(tessera, e["N"]), e["sigma_adc_V"] / e["delta_imc_V"]
        row: list[Any] = [f"{1e3 * e['sigma_adc_V']:g}", e["B"]]
        for key in STRATEGIES:
            thresholds, outputs = column.transfer(e[key][0], e[key][1], e["B"], 8.0 * sigma + 0.5)
            found = csnr_db(e["N"], p, sigma, thresholds, outputs)
            ours[e["sigma_adc_V"], e["B"], key] = found
            worst[key] = max(worst[key], abs(found - e[f"{key}_dB"]))
            row += [f"{found:.3f}", f"{e[f'{key}_dB']:.3f}"]
        rows.append(row)
    for key, label in STRATEGIES.items():
        report.largest(f"CSNR, {label}: {len(rows)} converters", about["what"], worst[key], about["allowed_dB"], unit="dB",
                       why="thresholds are located to 1/6400 of a product")  # fmt: skip
    claim = about.get("claim")
    if claim:
        few, many = (claim["sigma_V"], claim["bits"], claim["strategy"]), (claim["sigma_V"], claim["against_bits"], claim["against"])
        if few not in ours or many not in ours:
            raise TargetError("csnr.claim: its converters are not among `bits` and `sigmas_V`")
        table = {(e["sigma_adc_V"], e["B"], key): e[f"{key}_dB"] for e in entries for key in STRATEGIES}
        name = f"{few[1]} b {STRATEGIES[few[2]]} over {many[1]} b {STRATEGIES[many[2]]}, {1e3 * few[0]:g} mV"
        report.bound(name, about["what"], ours[few] - ours[many], table[few] - table[many], 2 * about["allowed_dB"], "dB", digits=2,
                     why="the paper's claim: three bits fewer and better by 6 dB, for N = 256")  # fmt: skip
    if "monte_carlo" in about:
        table = {(e["sigma_adc_V"], e["B"]): e for e in entries}
        for n, (sigma_V, bits, key) in enumerate(about["monte_carlo"]["cases"]):
            e = table[sigma_V, bits]
            column = Column(tessera, e["N"])
            vectors = about["monte_carlo"]["vectors"]
            found, half = _monte_carlo(column, p, sigma_V / e["delta_imc_V"], (*e[key], bits), vectors, n + 1)
            name = f"Monte Carlo: {bits} b {STRATEGIES[key]}, {1e3 * sigma_V:g} mV"
            report.bound(name, about["what"], found, e[f"{key}_dB"], half, "dB", digits=2, why=f"99 % interval of {vectors:,} vectors")
    columns = ["noise (mV)", "bits"] + [f"{label}: {who}" for label in STRATEGIES.values() for who in ("Tessera", "table")]
    report.table("CSNR (dB)", columns, rows)
    sigmas = sorted({k[0] for k in ours})
    series = []
    for key, label in STRATEGIES.items():
        points = sorted((b, v) for (s, b, k), v in ours.items() if k == key and s == sigmas[-1])
        series.append({"label": f"{label}, Tessera", "ours": True, "x": [b for b, _ in points], "y": [v for _, v in points]})
        theirs = sorted((e["B"], e[f"{key}_dB"]) for e in entries if e["sigma_adc_V"] == sigmas[-1] and (sigmas[-1], e["B"], key) in ours)
        series.append({"label": f"{label}, table", "ours": False, "x": [b for b, _ in theirs], "y": [v for _, v in theirs]})
    report.figure("lines", title=f"CSNR behind noise of {1e3 * sigmas[-1]:g} mV", x="bits", y="CSNR (dB)", series=series)
