"""A programming law by itself, and what it does to a network: chips programmed by Tessera against chips drawn by an independent
reading of the peer's law, device by device and in accuracy.

[law]       config, chips, limit, moment_chips; law = "saturating" (a_nA, b_nA, unit_nA_per_uS) or "linear" (a_uS, slope): sigma of a
            conductance, errors normal, clipped at 0; seed; against = [...] as in accuracy.py, of Tessera's own chips
[law.crossbar]  (optional) the same network on the circuit engine: parameters (JSON with input_max, adc_limit and dac of every layer),
            device = {...}, rows_max
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ..command import Tessera, configuration, yaml
from ..report import Report
from ..statistics import ALPHA, Sample, t_quantile
from ..target import Target, TargetError


def sigma(law: dict[str, Any], g: np.ndarray) -> np.ndarray:
    """Standard deviation (uS) of a device programmed to g (uS)."""
    if law["law"] == "saturating":
        unit = law["unit_nA_per_uS"]
        return law["a_nA"] * -np.expm1(-g * unit / law["b_nA"]) / unit
    if law["law"] == "linear":
        return np.maximum(law["a_uS"] + law["slope"] * g, 0.0)
    raise TargetError(f"law = \"{law['law']}\"; known: saturating, linear")


def _percent(file: h5py.File) -> list[float]:
    return [100.0 * float(c) / float(n) for c, n in zip(file["correct"][0], file["count"][0])]


def _targets(group: h5py.Group, g_min: float) -> np.ndarray:
    """Wanted conductances (uS), [device, output, input]: one-sided pairs, the negative device second."""
    w = np.asarray(group["target"], dtype=np.float64)
    scale = float(group.attrs["uS_per_weight"])
    return np.stack([np.maximum(w, 0.0), np.maximum(-w, 0.0)]) * scale + g_min


def _moments(law: dict[str, Any], chips: Path, count: int) -> dict[str, Any]:
    """Mean and variance of (g - wanted)/sigma over devices that are not clipped at 0, and the largest change where sigma is 0."""
    n, total, squares, idle, beyond = 0, 0.0, 0.0, 0.0, 0
    by_level: dict[int, list[float]] = {}
    with h5py.File(chips, "r") as file:
        for group in file["chips"].values():
            if not isinstance(group, h5py.Group) or int(group.attrs["repeat"]) >= count:
                continue
            wanted = _targets(group, law.get("g_min_uS", 0.0))
            g = np.asarray(group["conductances"], dtype=np.float64)
            s = sigma(law, wanted)
            idle = max(idle, float(np.abs(g - wanted)[s == 0.0].max(initial=0.0)))
            inside = (s > 0.0) & (wanted > 5.0 * s)
            z = (g[inside] - wanted[inside]) / s[inside]
            n += z.size
            total += float(z.sum())
            squares += float((z * z).sum())
            beyond += int((np.abs(z) > 3.0).sum())
            level = np.rint(15.0 * wanted[inside] / wanted.max()).astype(int)
            for k in range(16):
                sums = by_level.setdefault(k, [0.0, 0.0, 0.0, 0.0])
                here = z[level == k]
                sums[0] += here.size
                sums[1] += float(here.sum())
                sums[2] += float((here * here).sum())
                sums[3] += float(s[inside][level == k].sum())
    rows = [[k / 15.0, int(m), a / m, float(np.sqrt(b / m)), c / m] for k, (m, a, b, c) in sorted(by_level.items()) if m > 100]
    return {"n": n, "mean": total / n, "variance": squares / n, "idle": idle, "beyond": beyond / n, "levels": rows}


def _redraw(law: dict[str, Any], chips: Path, seed: int) -> None:
    """Every device drawn anew by NumPy: what the peer's program does."""
    random = np.random.default_rng(seed)
    with h5py.File(chips, "r+") as file:
        for name in sorted(file["chips"], key=str):
            group = file["chips"][name]
            if isinstance(group, h5py.Group):
                wanted = _targets(group, law.get("g_min_uS", 0.0))
                group["conductances"][...] = np.maximum(wanted + sigma(law, wanted) * random.standard_normal(wanted.shape), 0.0)


def _crossbar_config(target: Target, base: Path, about: dict[str, Any], scratch: Path) -> Path:
    """The network on the circuit engine, converters from the peer's own parameters."""
    rules = []
    for name, p in json.loads(target.resolve(about["parameters"]).read_text(encoding="utf-8")).items():
        signed = p["dac"] == "SignMagnitudeDAC"
        dac = {"model": p["dac"], "bits": 8, "signed": signed}
        adc = {"model": "SignMagnitudeADC", "bits": 8, "calibrated_range": [-p["adc_limit"], p["adc_limit"]]}
        limits = {"min": -1.0 if signed else 0.0, "max": 1.0}
        crossbar = {"core": {"mapping": {"inputs": {"mvm": limits}}}, "xbar": {"dac": {"mvm": dac}, "adc": {"mvm": adc}}}
        rules.append({"match": name, "rpu_config": {"pre_post": {"input_range": {"init_value": p["input_max"]}}, "crossbar": crossbar}})
    core = {"style": "BALANCED", "rows_max": about["rows_max"], "cols_max": about["cols_max"]}
    crossbar = {"core": core, "xbar": {"device": about["device"]}}
    hardware = {"noise_model": None, "mapping": {"weight_scaling_omega": 0.0}, "crossbar": crossbar}
    file = scratch / "crossbar.yaml"
    network = base.read_text(encoding="utf-8")
    head = [line for line in network.splitlines() if line.startswith(("base:", "seed:", "name:"))]
    layers = "\n".join(f"  - {yaml(rule)}" for rule in rules)
    file.write_text("\n".join(head) + f"\nrpu_config: {yaml(hardware)}\nlayers:\n{layers}\n", encoding="utf-8")
    return file


def measure(target: Target, tessera: Tessera, report: Report) -> None:
    """Moments of the devices, then accuracy of three kinds of chips."""
    law = target.about["law"]
    config = configuration(target, law["config"], tessera.scratch)
    chips = tessera.scratch / "chips.h5"
    settings = {"evaluation.repeats": law["chips"], "data.limit": law["limit"]}
    with tessera.run(config, {**settings, "output.chips": str(chips)}) as file:
        own = _percent(file)
    m = _moments(law, chips, law["moment_chips"])
    z = t_quantile(1.0 - 0.5 * ALPHA, 1e6)
    why, tail = f"interval of {m['n']:,} normal deviates", 0.0026997960632601866
    for name, found, expected, width in (
        ("mean of (g - wanted)/sigma", m["mean"], 0.0, 1.0),
        ("variance of (g - wanted)/sigma", m["variance"], 1.0, 2.0**0.5),
        ("fraction beyond three sigma", m["beyond"], tail, tail**0.5),
    ):
        report.bound(name, law["what"], found, expected, z * width / m["n"] ** 0.5, "", digits=6, why=why)
    report.largest("devices whose sigma is 0", law["what"], m["idle"], 1e-6, unit="uS", why="float32")
    report.table("Devices by conductance", ["wanted (of the largest)", "devices", "mean of z", "sd of z", "sigma (uS)"],
                 [[f"{a:.3f}", f"{b:,}", f"{c:+.4f}", f"{d:.4f}", f"{e:.4f}"] for a, b, c, d, e in m["levels"]])  # fmt: skip
    _redraw(law, chips, law["seed"])
    with tessera.run(config, {**settings, "evaluation.chips": str(chips)}) as file:
        drawn = _percent(file)
    kinds = {"Tessera's chips": own, "chips drawn by NumPy": drawn}
    reading = "chips drawn by NumPy from the peer's law"
    report.chips("accuracy: Tessera's chips", reading, Sample.of(own), Sample.of(drawn))
    if "crossbar" in law:
        circuit = _crossbar_config(target, config, law["crossbar"], tessera.scratch)
        with tessera.run(circuit, settings) as file:
            kinds["Tessera's circuit engine"] = _percent(file)
        report.chips("accuracy: circuit engine", reading, Sample.of(kinds["Tessera's circuit engine"]), Sample.of(drawn))
    for against in law.get("against", []):
        theirs = Sample(against["mean"], against["sd"], against["n"])
        for name, values in kinds.items():
            report.chips(f"accuracy: {name}", against["what"], Sample.of(values), theirs)
    samples = {name: Sample.of(v) for name, v in kinds.items()}
    rows = [[name, s.n, f"{s.mean:.3f} ± {s.half_width():.3f}", f"{s.sd:.3f}"] for name, s in samples.items()]
    title = f"Accuracy on the first {law['limit']:,} images, mean over chips and its 95 % interval"
    report.table(title, ["chips", "number", "accuracy (%)", "sd"], rows)
    strips = [{"label": name, "values": v, "ours": name.startswith("Tessera")} for name, v in kinds.items()]
    strips += [{"label": a["what"], "mean": a["mean"], "sd": a["sd"], "n": a["n"]} for a in law.get("against", [])]
    report.figure("strips", title="One point for each chip; bars: mean and its 95 % interval", unit="accuracy (%)", strips=strips)
    report.values = {name: values for name, values in kinds.items()} | {"moments": {k: v for k, v in m.items() if k != "levels"}}
