"""A perceptron whose tiles have wire resistance, solved exactly: one device per weight, limits of each tile, tiles cut in order.

[wires]     network (perceptron with Gemm, Relu), tile (rows and columns), lrs_ohm, hrs_ohm, ohm per segment, limit,
            images, labels, scale, mean, std; published (correct), exact (npz with e1, e2, ..., logits), curve (json: ohm_per_segment,
            correct), ties

Every tile is a MatMul of its own: w = centre + (w - centre) with the centre (min + max)/2 of the tile, so that the range of an offset
core is [min, max]; the part with the centre is digital.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from ..command import Tessera, yaml
from ..onnx_writer import Network, dense_layers
from ..report import Report
from ..target import Target


def _cuts(count: int, size: int) -> list[tuple[int, int]]:
    return [(a, min(a + size, count)) for a in range(0, count, size)]


class Tiled:
    """One layer W [inputs, outputs] cut into tiles."""

    def __init__(self, name: str, weight: np.ndarray, bias: np.ndarray, size: int) -> None:
        self.name, self.bias = name, bias
        self.rows, self.columns = _cuts(weight.shape[0], size), _cuts(weight.shape[1], size)
        self.centre = np.empty_like(weight)
        self.tiles: dict[tuple[int, int], np.ndarray] = {}
        for i, (a, b) in enumerate(self.rows):
            for j, (c, d) in enumerate(self.columns):
                tile = weight[a:b, c:d]
                middle = 0.5 * (tile.min() + tile.max())
                self.centre[a:b, c:d] = middle
                self.tiles[i, j] = tile - middle

    def tile_name(self, i: int, j: int) -> str:
        return f"{self.name}.tile{i}x{j}"

    def add_to(self, network: Network, x: str) -> str:
        """The layer's nodes: partial sums of the tiles, the digital part and the bias."""
        sums = []
        parts = [network.slice(f"{self.name}.rows{i}", x, a, b) for i, (a, b) in enumerate(self.rows)]
        for j in range(len(self.columns)):
            total = ""
            for i, part in enumerate(parts):
                made = network.matmul(self.tile_name(i, j), part, self.tiles[i, j])
                total = network.node("Add", f"{self.name}.sum{i}x{j}", [total, made]) if total else made
            sums.append(total)
        joined = network.node("Concat", f"{self.name}.columns", sums, axis=1) if len(sums) > 1 else sums[0]
        digital = network.gemm(f"{self.name}.digital", x, self.centre, self.bias)
        return network.node("Add", f"{self.name}.out", [joined, digital])

    def effective(self, responses: dict[str, np.ndarray]) -> np.ndarray:
        """W as the tiles have it, from their outputs for the unit vectors."""
        whole = self.centre.copy()
        for (i, j), _ in self.tiles.items():
            (a, b), (c, d) = self.rows[i], self.columns[j]
            whole[a:b, c:d] += responses[self.tile_name(i, j)][a:b]
        return whole


def _config(about: dict[str, Any], model: Path, data: dict[str, Any], record: list[str]) -> str:
    crossbar = {
        "core": {"style": "OFFSET", "rows_max": about["tile"], "cols_max": about["tile"], "offset": {"style": "DIGITAL_OFFSET"}},
        "xbar": {
            "device": {"Rmin": about["lrs_ohm"], "Rmax": about["hrs_ohm"]},
            "array": {"parasitics": {"enable": True, "Rp_row": about["ohm"], "Rp_col": about["ohm"]}},
        },
    }
    return "\n".join(
        [
            "seed: 1",
            f"model: {{file: {model}}}",
            f"data: {yaml(data)}",
            f"rpu_config: {yaml({'crossbar': crossbar})}",
            'layers: [{match: "*.digital", analog: false}]',
            f"output: {{record: {{statistics: false, tensors: {json.dumps(record)}}}}}",
        ]
    )


def _network(layers: list[Tiled], file: Path) -> Path:
    network = Network([layers[0].centre.shape[0]])
    value = "x"
    for n, layer in enumerate(layers):
        value = layer.add_to(network, value)
        if n + 1 < len(layers):
            value = network.node("Relu", f"{layer.name}.relu", [value])
    return network.save(file, value, layers[-1].centre.shape[1])


def _responses(tessera: Tessera, about: dict[str, Any], layer: Tiled) -> dict[str, np.ndarray]:
    """What every tile of a layer gives for the unit vectors."""
    model = _network([layer], tessera.scratch / f"{layer.name}.onnx")
    units = tessera.scratch / "units.npy"
    np.save(units, np.eye(layer.centre.shape[0], dtype=np.float32))
    config = tessera.scratch / "units.yaml"
    names = [layer.tile_name(i, j) for i, j in layer.tiles]
    config.write_text(_config(about, model, {"format": "npy", "inputs": str(units)}, names), encoding="utf-8")
    with tessera.run(config) as file:
        return {name: np.asarray(file[f"layers/{name}/output"][0, 0], dtype=np.float64) for name in names}


def measure(target: Target, tessera: Tessera, report: Report) -> None:
    """Correct images, the effective matrices element by element, and the curve over resistances."""
    about = target.about["wires"]
    layers = [
        Tiled(f"fc{n + 1}", weight, bias, about["tile"]) for n, (weight, bias) in enumerate(dense_layers(target.resolve(about["network"])))
    ]
    exact = np.load(target.resolve(about["exact"])) if "exact" in about else None
    if exact is not None:
        for n, layer in enumerate(layers):
            ours = layer.effective(_responses(tessera, about, layer))
            theirs = exact[f"e{n + 1}"]
            error = float(np.abs(ours - theirs).max() / np.abs(theirs).max())
            report.largest(f"effective weights of {layer.name}, {theirs.size:,} elements", about["exact_what"], error, about["allowed"],
                           why="of the largest element; tiles compute in float32")  # fmt: skip
    model = _network(layers, tessera.scratch / "tiled.onnx")
    data = {"format": "idx", "inputs": str(target.resolve(about["images"])), "labels": str(target.resolve(about["labels"]))}
    data |= {key: about[key] for key in ("scale", "mean", "std", "limit") if key in about}
    last = layers[-1]
    names = [last.tile_name(i, j) for i, j in last.tiles] + [f"{last.name}.digital"]
    config = tessera.scratch / "tiled.yaml"
    config.write_text(_config(about, model, data, names), encoding="utf-8")
    rows, found = [], {}
    curve = json.loads(target.resolve(about["curve"]).read_text()) if "curve" in about else []
    theirs_at = {p["ohm_per_segment"]: p["correct"] for p in curve if p["tile"] == about["tile"]}
    for ohm in sorted({about["ohm"], *theirs_at}):
        keys = {f"rpu_config.crossbar.xbar.array.parasitics.{k}": ohm for k in ("Rp_row", "Rp_col")}
        with tessera.run(config, keys) as file:
            found[ohm], count = int(file["correct"][0, 0]), int(file["count"][0, 0])
            if ohm == about["ohm"] and exact is not None and "logits" in exact:
                _logits(report, about, last, file, names, exact["logits"])
    why = "images whose two largest outputs are equal to rounding"
    wanted = [(about["ohm"], "published", about["published"])] + [(o, about["exact_what"], n) for o, n in sorted(theirs_at.items())]
    for ohm, what, correct in wanted:
        report.bound(f"correct at {ohm:g} ohm", what, found[ohm], correct, about["ties"], f"of {count}", why=why)
    for ohm, ours in sorted(found.items()):
        rows.append([f"{ohm:g}", ours, theirs_at.get(ohm, "")])
    report.table(f"Correct of {count:,} images", ["ohm per segment", "Tessera", about["exact_what"]], rows)
    report.values["correct"] = {f"{ohm:g}": ours for ohm, ours in found.items()}
    if theirs_at:
        series = [
            {"label": label, "ours": ours, "x": sorted(points), "y": [100.0 * points[o] / count for o in sorted(points)]}
            for label, points, ours in ((about["exact_what"], theirs_at, False), ("Tessera", found, True))
        ]
        title = "Accuracy of the network trained under wires, over their resistance"
        report.figure("lines", title=title, x="ohm per segment", y="accuracy (%)", log_x=True, series=series)


def _logits(report: Report, about: dict[str, Any], last: Tiled, file: Any, names: list[str], theirs: np.ndarray) -> None:
    n = len(theirs)
    out = {name: np.asarray(file[f"layers/{name}/output"][0, 0, :n], dtype=np.float64) for name in names}
    total = out[f"{last.name}.digital"]
    for i, j in last.tiles:
        c, d = last.columns[j]
        total[:, c:d] += out[last.tile_name(i, j)]
    error = float(np.abs(total - theirs).max() / np.abs(theirs).max())
    report.largest(f"outputs of the first {n} images", about["exact_what"], error, about["allowed"], why="of the largest output")
